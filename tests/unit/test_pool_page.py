"""The memory a worker shares with its parent: whatever one writes the other reads, and garbage is called garbage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.pool import page
from supervisor.pool.page import HEAD, LARGEST, PAGE, RING, RUNG, TAIL, Broken, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = st.one_of(
    st.integers(0, 100), st.integers(0, LARGEST - 16), st.sampled_from([15, 16, 17, LARGEST - 16, LARGEST])
)


class Both:
    """A page, and both ends of it."""

    def __init__(self) -> None:
        self.parent, fd = Page.create()
        self.worker = Page(fd)
        os.close(fd)

    def close(self) -> None:
        self.worker.close()
        self.parent.close()


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    yield made
    made.close()


def payload(number: int, size: int) -> bytes:
    return bytes([number % 251]) * size


@given(st.lists(st.tuples(SIZES, st.booleans()), max_size=60))
def test_whatever_is_written_is_read_in_order_and_once(script: list[tuple[int, bool]]) -> None:
    """Of any sizes, read at any time; when there is no room there is as soon as the parent has read."""
    both = Both()
    try:
        written: list[page.Record] = []
        found: list[page.Record] = []
        for number, (size, is_read) in enumerate(script, 1):
            record = (number, page.VALUE, payload(number, size))
            if not both.worker.write(*record):
                found += both.parent.read()
                assert both.worker.write(*record)
            written.append(record)
            if is_read:
                found += both.parent.read()
                assert found == written
        assert found + both.parent.read() == written
        assert both.parent.read() == []
    finally:
        both.close()


def test_records_go_round_and_round(both: Both) -> None:
    """Many times the length of the ring, with a size that never divides it."""
    for number in range(1, 500):
        record = (number, page.VALUE, payload(number, 7001))
        assert both.worker.write(*record)
        assert both.parent.read() == [record]
    assert both.parent.words[HEAD] == both.parent.words[TAIL] > 10 * RING


def test_a_full_ring_takes_nothing_and_loses_nothing(both: Both) -> None:
    """Nor does what did not fit leave a trace."""
    number = 0
    while both.worker.write(number, page.VALUE, payload(number, 1000)):
        number += 1
    assert RING // 1024 - 2 <= number <= RING // 1016
    tail = both.worker.words[TAIL]
    assert not both.worker.write(number, page.VALUE, payload(number, 1000))
    assert both.worker.words[TAIL] == tail
    assert [record[0] for record in both.parent.read()] == list(range(number))


def test_a_record_is_told_the_moment_its_end_is(both: Both) -> None:
    """One that a worker died in the middle of was never told."""
    assert both.worker.write(1, page.VALUE, b"whole")
    tail = both.worker.words[TAIL]
    assert both.worker.write(2, page.VALUE, b"torn")
    both.worker.words[TAIL] = tail
    assert both.parent.read() == [(1, page.VALUE, b"whole")]


def test_a_worker_rings_once_for_each_time_the_parent_looks(both: Both) -> None:
    assert both.worker.must_ring()
    assert not both.worker.must_ring()
    both.parent.read(rest=False)
    assert not both.worker.must_ring()
    both.parent.read()
    assert both.parent.words[RUNG] == 0
    assert both.worker.must_ring()


@given(
    st.integers(0, 2**64 - 1) | st.integers(0, RING // 16).map(lambda n: 16 * n),
    st.lists(st.tuples(st.integers(0, (RING >> 2) - 1), st.integers(0, 2**32 - 1)), max_size=50),
)
def test_garbage_is_broken_or_records_and_never_hangs(tail: int, scribbles: list[tuple[int, int]]) -> None:
    """Whatever a worker writes anywhere, the parent ends, and what it believes fits the ring."""
    both = Both()
    try:
        words = both.worker._view[PAGE:].cast("I")
        for at, value in scribbles:
            words[at] = value
        words.release()
        both.worker.words[TAIL] = tail
        try:
            records = both.parent.read()
        except Broken:
            pass
        else:
            assert sum(16 + len(data) for _, _, data in records) <= RING
            assert both.parent.words[HEAD] == tail
    finally:
        both.close()


@pytest.mark.parametrize(
    ("tail", "records"),
    [
        (8, []),  # not a multiple of 16
        (RING + 16, []),  # more than there is
        (16, [(0, page._KINDS, 0)]),  # no such kind
        (16, [(0, page.VALUE, 2**32 - 1)]),  # longer than the ring
        (16, [(0, page.VALUE, 100)]),  # longer than was told
        (32, [(0, page.VALUE, 0)]),  # then nothing: a record of kind 0, length 0 is a filler
    ],
)
def test_what_cannot_be_is_broken(both: Both, tail: int, records: list[tuple[int, int, int]]) -> None:
    for record in records:
        page._RECORD.pack_into(both.worker._map, PAGE, *record)
    both.worker.words[TAIL] = tail
    if tail == 32:
        assert both.parent.read() == [(0, page.VALUE, b"")]
        return
    with pytest.raises(Broken):
        both.parent.read()


def test_what_is_taken_back_is_a_range(both: Both) -> None:
    both.parent.skip(5, 9)
    words = both.worker.words
    assert [number for number in range(12) if words[page.SKIP_FROM] <= number < words[page.SKIP_TO]] == [5, 6, 7, 8]


def test_every_phase_has_words() -> None:
    """The report prints them."""
    assert len(page.PHASES) == page.STARTING + 1
    assert len(set(page.PHASES)) == len(page.PHASES)
    assert page.LARGEST * 4 == RING
    assert RING & RING - 1 == 0
