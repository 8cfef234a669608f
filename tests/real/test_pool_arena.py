"""Segments between processes: a Store here, a Shelf in a forked child, and the other way round."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import signal
import socket
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool.arena import COPIED_BELOW, Place, Shelf, Store
from supervisor.pool.parcel import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGE = 2 * COPIED_BELOW

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # OpenBLAS


class Link:
    """One end of a socket: objects and descriptors, a message at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def say(self, word: Any, *fds: int) -> None:
        socket.send_fds(self.sock, [pickle.dumps(word)], fds)

    def hear(self) -> tuple[Any, list[int]]:
        data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 8)
        if not data:
            raise EOFError("the other side is gone")
        return pickle.loads(data), fds

    def word(self) -> Any:
        return self.hear()[0]


class Child:
    """A forked process that runs `life(link)`."""

    def __init__(self, life: Callable[[Link], None]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                ours.close()
                life(Link(theirs))
                code = 0
            except BaseException:  # noqa: BLE001 the test sees the exit code
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        ours.settimeout(20)
        self.link = Link(ours)
        self.is_over = False

    def end(self) -> int:
        self.link.sock.close()
        self.is_over = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL


@pytest.fixture
def born() -> Iterator[Callable[[Callable[[Link], None]], Child]]:
    children: list[Child] = []

    def fork(life: Callable[[Link], None]) -> Child:
        children.append(Child(life))
        return children[-1]

    yield fork
    for child in children:
        if not child.is_over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            child.end()


@pytest.fixture
def store() -> Iterator[Store]:
    one = Store()
    yield one
    one.close()


def reading(link: Link) -> None:
    """Opens what it is sent; `keep` keeps it, `scribble` writes all over it; says what it saw, and whether it uses it still."""
    shelf = Shelf()
    kept: list[memoryview] = []
    while True:
        try:
            (act, place), fds = link.hear()
        except EOFError:
            return
        if fds:
            shelf.adopt(place.segment, fds[0])
        if act == "look again":
            link.say([bytes(view[:1]) + bytes(view[-1:]) for view in kept])
            continue
        (view,) = shelf.open(place)
        seen = bytes(view[:1]) + bytes(view[-1:])
        if act == "keep":
            kept.append(view)
        if act == "scribble":
            view[:] = b"!" * len(view)
        del view
        link.say((seen, shelf.still_used(place.segment)))


def test_a_segment_a_reader_keeps_is_given_up_and_never_changes_under_it(
    store: Store, born: Callable[[Callable[[Link], None]], Child]
) -> None:
    """The task put the array into a global; the next task's array lies elsewhere."""
    child = born(reading)
    kept = store.put([b"1" * LARGE])
    child.link.say(("keep", kept), store.fd(kept.segment))
    assert child.link.word() == (b"11", True)
    store.drop(kept.segment)
    for digit in (b"2", b"3"):
        place = store.put([digit * LARGE])
        assert place.segment != kept.segment
        child.link.say(("look", place), store.fd(place.segment))
        assert child.link.word() == (digit * 2, False)
        store.release(place.segment)
    child.link.say(("look again", kept))
    assert child.link.word() == [b"11"]


def test_a_segment_crosses_once_and_is_written_again_many_times(
    store: Store, born: Callable[[Callable[[Link], None]], Child]
) -> None:
    """The reader maps it afresh, and sees what was put last."""
    child = born(reading)
    first = store.put([b"0" * LARGE])
    child.link.say(("look", first), store.fd(first.segment))
    assert child.link.word() == (b"00", False)
    for number in range(50):
        store.release(first.segment)
        place = store.put([bytes([number]) * LARGE])
        assert place == first
        child.link.say(("look", place))
        assert child.link.word() == (bytes([number, number]), False)


def test_a_second_try_sees_the_arguments_as_they_were(
    store: Store, born: Callable[[Callable[[Link], None]], Child]
) -> None:
    """Though the first one wrote all over them before it died."""
    place = store.put([b"1" * LARGE])
    first, second = born(reading), born(reading)
    first.link.say(("scribble", place), store.fd(place.segment))
    assert first.link.word() == (b"11", False)
    first.kill()
    second.link.say(("look", place), store.fd(place.segment))
    assert second.link.word() == (b"11", False)


def test_a_reader_cannot_reach_the_segment_itself(
    store: Store, born: Callable[[Callable[[Link], None]], Child]
) -> None:
    """It writes to every descriptor it has, and cuts every one short."""

    def vandal(link: Link) -> None:
        _, fds = link.hear()
        for fd in fds:
            for act in (
                partial(os.pwrite, fd, b"!", 0),
                partial(os.ftruncate, fd, 0),
                partial(os.posix_fallocate, fd, 0, 1 << 30),
            ):
                with contextlib.suppress(OSError):
                    act()
        link.say("done")

    place = store.put([b"1" * LARGE])
    child = born(vandal)
    child.link.say("", store.fd(place.segment))
    assert child.link.word() == "done"
    shelf = Shelf()
    shelf.adopt(place.segment, os.dup(store.fd(place.segment)))
    assert bytes(shelf.open(place)[0]) == b"1" * LARGE


def writing(link: Link) -> None:
    """Answers with results; released segments come with the next question."""
    store, told = Store(), set()
    while True:
        try:
            (value, released), _ = link.hear()
        except EOFError:
            return
        for number in released:
            store.release(number)
        place = store.put([value * LARGE])
        link.say(place, *([] if place.segment in told else [store.fd(place.segment)]))
        told.add(place.segment)


def test_results_come_back_in_the_same_memory_as_long_as_nobody_keeps_them(
    born: Callable[[Callable[[Link], None]], Child],
) -> None:
    """The parent says so when the last array is gone."""
    child, shelf = born(writing), Shelf()
    released: list[int] = []
    used = set()
    for number in range(20):
        child.link.say((bytes([number]), [released.pop() for _ in range(len(released))]))
        place, fds = child.link.hear()
        for fd in fds:
            shelf.adopt(place.segment, fd)
        (view,) = shelf.open(place, released=released.append)
        assert (view[0], view[-1]) == (number, number)
        used.add(place.segment)
        del view
    assert used == {1}


def test_kept_results_outlive_the_worker_that_was_killed(born: Callable[[Callable[[Link], None]], Child]) -> None:
    """They are memory of ours by then, and change under nobody."""
    child, shelf = born(writing), Shelf()
    kept = []
    for number in range(5):
        child.link.say((bytes([number]), []))
        place, (fd,) = child.link.hear()
        shelf.adopt(place.segment, fd)
        kept.extend(shelf.open(place))
    child.kill()
    del shelf
    gc.collect()
    for number, view in enumerate(kept):
        assert bytes(view) == bytes([number]) * LARGE
        view[0] = 99


def test_a_worker_that_changes_its_segments_afterwards_does_not_crash_us(
    born: Callable[[Callable[[Link], None]], Child],
) -> None:
    """It cannot make one shorter: a SIGBUS here would be the end of the parent."""

    def shortening(link: Link) -> None:
        store = Store()
        place = store.put([b"1" * LARGE])
        link.say(place, store.fd(place.segment))
        link.word()
        for found in store._used.values():
            with pytest.raises(PermissionError):
                os.ftruncate(found.fd, 0)
        link.say("could not")

    child, shelf = born(shortening), Shelf()
    place, (fd,) = child.link.hear()
    shelf.adopt(place.segment, fd)
    (view,) = shelf.open(place)
    child.link.say("try")
    assert child.link.word() == "could not"
    assert bytes(view) == b"1" * LARGE


def test_a_limit_on_the_size_of_files_is_an_error_with_its_name(
    born: Callable[[Callable[[Link], None]], Child],
) -> None:
    """Not a death by SIGXFSZ, though the signal is not ignored."""

    def limited(link: Link) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (COPIED_BELOW, resource.RLIM_INFINITY))
        try:
            Store().put([bytes(LARGE)])
        except MemoryError as error:
            link.say(str(error))

    said = born(limited).link.word()
    assert "is above the limit on the size of files, 524,288 bytes (RLIMIT_FSIZE, ulimit -f)" in said


def test_without_descriptors_nothing_is_put_and_nothing_lost(
    born: Callable[[Callable[[Link], None]], Child],
) -> None:
    """When there are some again, all goes on."""

    def limited(link: Link) -> None:
        store = Store()
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        try:
            store.put([bytes(LARGE)])
        except OSError as error:
            link.say(str(error))
        for fd in taken:
            os.close(fd)
        link.say((store.put([bytes(LARGE)]).layout, repr(store)))

    child = born(limited)
    assert "Too many open files" in child.link.word()
    layout, shown = child.link.word()
    assert layout == ((0, LARGE),)
    assert "1 segments in use" in shown
    assert "0 idle" in shown


@pytest.mark.numpy
def test_arrays_go_there_and_back(born: Callable[[Callable[[Link], None]], Child], store: Store) -> None:
    """Written to on the way, in C order and in Fortran's, beside small ones; what was sent stays what it was."""
    import numpy as np  # noqa: PLC0415 tests without it run without it

    def doubling(link: Link) -> None:
        shelf, mine = Shelf(), Store()
        (data, place), (fd,) = link.hear()
        shelf.adopt(place.segment, fd)
        arrays = unpack(data, shelf.open(place))
        for name in arrays:
            arrays[name] *= 2
        parcel = pack(arrays)
        back: Place = mine.put(parcel.buffers)
        link.say((parcel.data, back), mine.fd(back.segment))

    sent = {
        "c": np.arange(200_000.0),
        "f": np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
        "small": np.arange(5),
    }
    parcel = pack(sent)
    place = store.put(parcel.buffers)
    child = born(doubling)
    child.link.say((parcel.data, place), store.fd(place.segment))
    (data, back), (fd,) = child.link.hear()
    shelf = Shelf()
    shelf.adopt(back.segment, fd)
    got = unpack(data, shelf.open(back))
    for name, array in got.items():
        assert np.array_equal(array, sent[name] * 2)
        assert array.flags.writeable
        assert array.flags.f_contiguous == sent[name].flags.f_contiguous
        got[name] += 1
    del got, array
    assert child.end() == 0
