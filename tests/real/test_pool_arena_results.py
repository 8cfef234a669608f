"""Segments a worker writes its results into, and what becomes of them when it dies or runs short."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from supervisor.pool.arena import COPIED_BELOW, Shelf, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.pool_child import Child, Link

LARGE = 2 * COPIED_BELOW

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # OpenBLAS


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
