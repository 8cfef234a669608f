"""Segments of arguments: lent, looked at, kept, and free again only when nobody can see them."""

from __future__ import annotations

from collections import deque
from pickle import PickleBuffer
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import Options, frames, lending
from supervisor.pool.lending import Lending
from supervisor.pool.parcel import THRESHOLD
from supervisor.pool.task import Function, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = b"x" * (4 * THRESHOLD)


@pytest.fixture
def loans() -> Iterator[Lending]:
    made = Lending()
    yield made
    made.close()


def put(loans: Lending) -> int:
    data, place = loans.put(LARGE, ())
    assert data is None
    return place.segment


def task_of(data: bytes) -> Task:
    return Task(Function(1, "f", b"", None, (), deque()), frames.CALL, data, (), Options())


def test_what_is_small_needs_no_segment() -> None:
    assert not Lending.is_needed(b"x" * THRESHOLD, ())
    assert Lending.is_needed(b"x" * (THRESHOLD + 1), ())
    assert Lending.is_needed(b"", [PickleBuffer(b"")])


def test_a_segment_is_free_when_its_task_is_over_and_nobody_holds_it(loans: Lending) -> None:
    """In whatever order: then the next one gets it."""
    first = put(loans)
    loans.lend(first, 1)
    loans.lend(first, 2)
    loans.done(first)
    assert put(loans) != first
    loans.take_back(first, 1)
    assert put(loans) != first
    loans.take_back(first, 2)
    assert put(loans) == first


def test_several_tasks_may_need_one_segment(loans: Lending) -> None:
    """The pieces of a chunk."""
    segment = put(loans)
    loans.want(segment)
    loans.done(segment)
    assert put(loans) != segment
    loans.done(segment)
    assert put(loans) == segment


def test_the_dead_hold_nothing(loans: Lending) -> None:
    segment = put(loans)
    loans.lend(segment, 7)
    loans.done(segment)
    loans.bury(8)
    assert put(loans) != segment
    loans.bury(7)
    assert put(loans) == segment


def test_what_a_workers_own_code_still_looks_at_is_given_up(loans: Lending) -> None:
    """It is never written again, and all workers are told to forget it."""
    segment = put(loans)
    loans.lend(segment, 1)
    loans.take_back(segment, 1, kept=True)
    loans.done(segment)
    assert segment in loans.gone
    assert put(loans) != segment


def test_what_is_told_twice_or_of_nobody_is_nothing(loans: Lending) -> None:
    """A worker may say what it likes."""
    segment = put(loans)
    loans.take_back(12345, 1)
    loans.take_back(segment, 99)
    loans.done(segment)
    loans.done(segment)
    loans.take_back(segment, 1)
    assert put(loans) == segment


def test_only_so_much_is_copied_before_its_turn(loans: Lending, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in any case; the others wait where they are until there is room."""
    monkeypatch.setattr(lending, "EARLY", 2 * len(LARGE))
    tasks = [task_of(LARGE) for _ in range(4)]
    for task in tasks:
        loans.put_early(task)
    assert [task.place is not None for task in tasks] == [True, True, False, False]
    assert tasks[2].data == LARGE
    assert tasks[0].place is not None
    loans.done(tasks[0].place.segment)
    loans.put_early(tasks[2])
    assert tasks[2].place is not None
    monkeypatch.setattr(lending, "EARLY", 1)
    alone = Lending()
    huge = task_of(LARGE)
    alone.put_early(huge)
    assert huge.place is not None
    alone.close()
