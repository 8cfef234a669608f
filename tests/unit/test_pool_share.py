"""What is shared: packed once, found again by its handle, the same for all and for nobody to change."""

from __future__ import annotations

import copy
import gc
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import share as sharing
from supervisor.pool.parcel import THRESHOLD, pack, unpack
from supervisor.pool.share import Shared, forget, receive, share, shared_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def worker() -> Iterator[None]:
    """Makes this process one that knows of no handle, as a worker is when it begins."""
    before = dict(sharing._handles)
    sharing._handles.clear()
    yield
    sharing._received.clear()
    sharing._handles.update(before)


def test_a_handle_gives_what_was_shared_and_the_same_object_each_time() -> None:
    """Unpacked once."""
    handle = share({"table": list(range(1000))})
    assert handle.get() == {"table": list(range(1000))}
    assert handle.get() is handle.get()


def test_a_handle_in_a_task_is_a_few_bytes() -> None:
    """And the packer is told of it, so that the segment can be sent."""
    handle = share(b"x" * 1_000_000)
    parcel = pack(("args", {"table": handle}))
    assert len(parcel.data) < 200
    assert shared_in(parcel) == [handle]
    assert unpack(*parcel)[1]["table"] is handle
    assert shared_in(pack((1, 2))) == []


def test_a_handle_met_twice_is_one_and_one_within_another_is_found_too() -> None:
    """Whoever unpacks the outer one needs the inner."""
    inner = share([1, 2])
    outer = share({"inner": inner})
    assert sorted(handle.key for handle in shared_in(pack([outer, outer, inner]))) == sorted([inner.key, outer.key])
    assert outer.get()["inner"].get() == [1, 2]


def test_a_handle_in_what_travels_by_value_is_met_too() -> None:
    """A closure holds it as well as an argument would."""
    handle = share([1, 2, 3])
    parcel = pack(lambda: sum(handle.get()))
    assert shared_in(parcel) == [handle]
    assert unpack(*parcel)() == 6


@pytest.mark.usefixtures("worker")
def test_a_worker_gets_it_by_the_segment_it_was_sent() -> None:
    """Once, before the first task that needs it."""
    handle = share({"answer": 42})
    data, _ = pack(handle)
    sharing._handles.clear()
    receive(handle.key, os.dup(handle.fd))
    mine: Shared[Any] = unpack(data)
    assert mine is not handle
    assert mine.get() == {"answer": 42}


@pytest.mark.usefixtures("worker")
def test_a_handle_nobody_sent_the_segment_of_says_so() -> None:
    """It was pickled by somebody else, into a file perhaps."""
    handle = share(1)
    data = pickle.dumps(handle, 4)
    sharing._handles.clear()
    with pytest.raises(LookupError, match="was never sent it"):
        pickle.loads(data).get()


@pytest.mark.usefixtures("worker")
def test_a_forgotten_handle_is_good_as_long_as_somebody_has_it() -> None:
    """A task may have kept it; then its memory is given back."""
    handle = share([1])
    receive(handle.key, os.dup(handle.fd))
    mine = sharing._received[handle.key]
    forget(handle.key)
    forget(handle.key)
    assert mine.get() == [1]
    fd = mine.fd
    del mine
    gc.collect()
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        os.fstat(fd)
    assert handle.key not in sharing._unpacked


def test_with_the_last_handle_the_segment_goes_and_whoever_asked_is_told() -> None:
    """So that workers can be told to forget it; pending tasks hold handles of their own."""
    handle = share(bytes(1_000_000))
    told: list[int] = []
    handle.tell_end(told.append)
    fd, key = handle.fd, handle.key
    again = copy.copy(handle)
    assert again is handle
    del handle, again
    gc.collect()
    assert told == [key]
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        os.fstat(fd)


def test_a_process_keeps_a_few_of_them_unpacked() -> None:
    """Those asked for last; the others are unpacked again."""
    handles = [share([number]) for number in range(sharing.KEPT + 2)]
    values = [handle.get() for handle in handles]
    assert handles[-1].get() is values[-1]
    assert handles[0].get() == values[0]
    assert handles[0].get() is not values[0]
    assert len(sharing._unpacked) == sharing.KEPT


def test_a_shared_segment_cannot_be_changed_by_anybody() -> None:
    """It is sealed, and readers have a descriptor that only reads."""
    handle = share(bytes(1_000_000))
    for attempt in (lambda: os.pwrite(handle.fd, b"2", 0), lambda: os.ftruncate(handle.fd, 0)):
        with pytest.raises(OSError, match=r"Bad file descriptor|Invalid argument|not permitted"):
            attempt()
    with pytest.raises(PermissionError):
        os.pwrite(os.open(f"/proc/self/fd/{handle.fd}", os.O_RDWR), b"2", 0)


@pytest.mark.numpy
def test_a_shared_array_is_mapped_and_only_to_be_read() -> None:
    """It outlives its handle, as any array outlives what it was made from."""
    import numpy as np  # noqa: PLC0415 tests without it run without it

    handle = share({"a": np.arange(THRESHOLD), "b": np.asfortranarray(np.ones((300, 400)))})
    got = handle.get()
    assert not got["a"].flags.writeable
    assert not got["a"].flags.owndata
    assert got["b"].flags.f_contiguous
    with pytest.raises(ValueError, match="read-only"):
        got["a"][0] = 1
    array = got["a"]
    del handle, got
    gc.collect()
    assert array.sum() == THRESHOLD * (THRESHOLD - 1) // 2


def test_what_is_no_segment_is_not_received() -> None:
    """It could change, or shrink."""
    read, write = os.pipe()
    try:
        with pytest.raises(ValueError, match="is no segment"):
            receive(1, read)
    finally:
        os.close(write)
