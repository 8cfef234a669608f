"""Segments between processes: a Store here, a Shelf in a forked child, and the other way round."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from supervisor.pool.arena import COPIED_BELOW, Place, Shelf, Store
from supervisor.pool.parcel import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.pool_child import Child, Link

LARGE = 2 * COPIED_BELOW

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # OpenBLAS


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
