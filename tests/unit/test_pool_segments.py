"""Segments: written by a Store, read through a Shelf; here both in one process."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.pool import arena, segment
from supervisor.pool.arena import ALIGN, COPIED_BELOW, Place, Shelf, Store
from tests.unit.readers import descriptors, reader_of

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 2 * COPIED_BELOW
MIB = 1 << 20


@given(st.lists(st.integers(0, 3 * segment.PAGE), max_size=6), st.integers(0, 1))
def test_what_is_put_is_what_is_opened(sizes: list[int], again: int) -> None:
    """However many buffers of whatever size, the first time and when the segment is written again."""
    store = Store()
    try:
        place = Place(0, ())
        for turn in range(again + 1):
            buffers = [os.urandom(size) for size in sizes]
            place = store.put(buffers)
            assert all(offset % ALIGN == 0 for offset, _ in place.layout)
            assert [bytes(view) for view in reader_of(store, place).open(place)] == buffers
            if turn < again:
                store.release(place.segment)
    finally:
        store.close()


@pytest.mark.parametrize("sizes", [(LARGE,), (LARGE, 0, 7, LARGE), (5, LARGE)])
def test_large_ones_come_out_writable_and_are_the_readers_own(store: Store, sizes: tuple[int, ...]) -> None:
    """What is written there does not reach the segment: whoever opens it again sees it as it was."""
    buffers = [os.urandom(size) for size in sizes]
    place = store.put(buffers)
    shelf = reader_of(store, place)
    for view in shelf.open(place):
        view[:] = bytes(len(view))
    assert [bytes(view) for view in shelf.open(place)] == buffers


def test_a_segment_is_written_again_when_it_is_released_and_not_before(store: Store) -> None:
    """The same memory: its pages are there already."""
    one, two = store.put([b"1" * LARGE]), store.put([b"2" * LARGE])
    assert one.segment != two.segment
    store.release(one.segment)
    three = store.put([b"3" * LARGE])
    four = store.put([b"4" * LARGE])
    assert three.segment == one.segment
    assert four.segment not in {one.segment, two.segment}
    views = [reader_of(store, place).open(place)[0] for place in (two, three, four)]
    assert [bytes(view[:1]) for view in views] == [b"2", b"3", b"4"]


def test_a_longer_buffer_in_a_segment_that_was_written_by_a_shorter_one(store: Store) -> None:
    """The pages behind the shorter one are made now, and a kept mapping of it does not hide them."""
    first = store.put([b"1" * LARGE])
    for size in (LARGE, LARGE - 5000, LARGE + LARGE // 8, LARGE + LARGE // 8):
        store.release(first.segment)
        place = store.put([b"x" * size])
        assert bytes(reader_of(store, place).open(place)[0]) == b"x" * size


def test_a_dropped_segment_is_never_written_again(store: Store) -> None:
    """Its readers keep it: the memory is theirs."""
    place = store.put([b"1" * LARGE])
    (view,) = reader_of(store, place).open(place)
    store.drop(place.segment)
    assert store.put([b"2" * LARGE]).segment != place.segment
    assert bytes(view) == b"1" * LARGE


def test_dropping_and_releasing_what_is_gone_is_nothing(store: Store) -> None:
    """Messages cross on their way."""
    place = store.put([b"1" * LARGE])
    store.drop(place.segment)
    store.drop(place.segment)
    store.release(place.segment)
    store.release(99)
    assert "0 segments in use, 0 bytes; 0 idle" in repr(store)


def test_a_segment_is_looked_at_until_the_last_view_is_gone(store: Store) -> None:
    """A slice of a slice is one. Then its writer is told, once."""
    place = store.put([b"1" * LARGE, b"2" * LARGE])
    shelf = reader_of(store, place)
    told: list[int] = []
    views = shelf.open(place, released=told.append)
    piece = views[1][10:20]
    del views
    assert (shelf.still_used(place.segment), told) == (True, [])
    piece.release()
    del piece
    gc.collect()
    assert (shelf.still_used(place.segment), told) == (False, [place.segment])
    assert "0 looked at" in repr(shelf)


def test_two_looks_at_one_segment_are_two(store: Store) -> None:
    """Each is told of, and it is used until both are over."""
    place = store.put([b"1" * LARGE])
    shelf = reader_of(store, place)
    told: list[int] = []
    one = shelf.open(place, released=told.append)
    two = shelf.open(place, released=told.append)
    del one
    assert (shelf.still_used(place.segment), len(told)) == (True, 1)
    del two
    assert (shelf.still_used(place.segment), len(told)) == (False, 2)


def test_small_ones_are_copied_out_and_given_back_at_once(store: Store) -> None:
    """Ten thousand kept results hold no segment, no mapping and no descriptor."""
    place = store.put([b"1" * 70_000])
    shelf = reader_of(store, place)
    told: list[int] = []
    (view,) = shelf.open(place, released=told.append)
    assert (told, shelf.still_used(place.segment)) == ([place.segment], False)
    store.release(place.segment)
    store.put([b"2" * 70_000])
    view[0] = 0
    assert bytes(view[1:]) == b"1" * 69_999


def test_beyond_so_many_kept_results_they_are_copied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have 65,530 mappings; at the last of them not even malloc works any more."""
    monkeypatch.setattr(arena, "MAPPED_MOST", len(arena._mappings) + 2)
    place = store.put([b"1" * LARGE])
    shelf = reader_of(store, place)
    told: list[int] = []
    views = [shelf.open(place, released=told.append)[0] for _ in range(4)]
    assert len(told) == 2
    del views[0]
    views.append(shelf.open(place, released=told.append)[0])
    assert len(told) == 3
    assert all(view == b"1" * LARGE for view in views)


def test_views_outlive_the_store_and_the_shelf_and_hold_no_descriptor(store: Store) -> None:
    """So results may be kept: as many as there is memory for."""
    before = descriptors()
    other = Store()
    places = [other.put([bytes([number]) * LARGE]) for number in range(20)]
    shelf = reader_of(other, *places)
    views = [shelf.open(place)[0] for place in places]
    other.close()
    del shelf
    assert descriptors() == before
    assert [view[-1] for view in views] == list(range(20))


def test_a_forgotten_segment_is_closed_when_nobody_opens_it_any_more(store: Store) -> None:
    """The memory is free then."""
    place = store.put([b"1" * LARGE])
    before = descriptors()
    shelf = reader_of(store, place)
    (view,) = shelf.open(place)
    shelf.forget(place.segment)
    assert descriptors() <= before + 1  # the store's own, for readers
    assert view[0] == ord("1")
    assert not shelf.still_used(place.segment)
    with pytest.raises(KeyError):
        shelf.open(place)


@pytest.mark.parametrize(
    "layout", [((0, 1 << 40),), ((1 << 40, 1),), ((-64, 10),), ((0, -1),), ((64, 10), (0, 1 << 62))]
)
def test_a_place_that_is_not_in_its_segment_is_refused(store: Store, layout: tuple[tuple[int, int], ...]) -> None:
    """A worker out of its mind costs its own task, not the parent."""
    shelf = reader_of(store, place := store.put([b"1" * LARGE]))
    with pytest.raises(ValueError, match=r"is not in its segment of \d"):
        shelf.open(Place(place.segment, layout))


def test_a_descriptor_that_could_shrink_is_refused_and_closed(tmp_path: Path) -> None:
    """Mapping it would mean dying by SIGBUS when it does."""
    before = descriptors()
    with pytest.raises(ValueError, match="is no segment: it could shrink"):
        Shelf().adopt(1, os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    with pytest.raises(ValueError, match="is no segment"):
        Shelf().adopt(1, segment.create(4096))
    gc.collect()
    assert descriptors() == before


def test_what_a_reader_is_given_cannot_be_written_through(store: Store) -> None:
    """Not even by a worker that writes to every descriptor it has."""
    fd = store.fd(store.put([b"1" * LARGE]).segment)
    for attempt in (lambda: os.pwrite(fd, b"2", 0), lambda: os.ftruncate(fd, 0), lambda: segment.keep_size(fd)):
        with pytest.raises(OSError, match=r"Bad file descriptor|Invalid argument|not permitted"):
            attempt()
    with pytest.raises(MemoryError, match="Permission denied"):
        segment.map_shared(fd, LARGE)


def test_threads_that_put_at_once_get_segments_of_their_own(store: Store) -> None:
    """Nobody waits for another's copying, and nobody writes where another does."""
    found: list[tuple[int, Place]] = []

    def put(number: int) -> None:
        for _ in range(20):
            place = store.put([bytes([number]) * LARGE])
            found.append((number, place))
            if len(found) % 3 == 0:
                view = reader_of(store, place).open(place)[0]
                assert bytes(view) == bytes([number]) * LARGE
                store.release(place.segment)
                found.remove((number, place))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({place.segment for _, place in found}) == len(found)
    for number, place in found:
        assert bytes(reader_of(store, place).open(place)[0]) == bytes([number]) * LARGE


@pytest.mark.parametrize("size", [1, 128 * 1024, 128 * 1024 + 1, 1_000_000, 32 << 20, (32 << 20) + 1, 10**12])
def test_a_size_class_is_a_quarter_too_large_at_most(size: int) -> None:
    """But for the smallest."""
    assert size <= arena._size_class(size) <= max(128 * 1024, size * 5 // 4 + 1)
