"""Who is blamed for a worker's death, how often he is tried again, and what is told of it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from supervisor.pool import TaskFailed
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, Innocents, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool

pytestmark = pytest.mark.numpy
POISON = 617


@pytest.fixture
def numeric(hire: Callable[..., Pool]) -> Pool:
    """Of workers that have NumPy from birth."""
    return hire(preload=["numpy"])


@pytest.mark.parametrize("how", ["kill", "segfault", "leave", "give_up", "complain"])
@pytest.mark.parametrize("chunksize", [1000, 300, None])
def test_of_a_thousand_items_exactly_the_poisoned_one_is_lost(pool: Pool, how: str, chunksize: int | None) -> None:
    """Whatever it does and however they are cut: the other 999 have their results, in order."""
    items = [(number, POISON, how) for number in range(1000)]
    found = list(pool.starmap(tasks.end_if, items, chunksize=chunksize, on_error="return"))
    assert [number for number, value in enumerate(found) if value != 2 * number] == [POISON]
    assert isinstance(found[POISON], tasks.Odd if how == "complain" else TaskFailed)


def test_items_lost_to_the_unpickling_or_the_pickling_of_a_chunk(pool: Pool) -> None:
    """Where the page cannot tell one item from another they are tried one by one: only the bad ones are lost."""
    for moment, act in (("unpickle", tasks.echo), ("pickle", tasks.make_bomb)):
        for how, kind in (("kill", TaskFailed), ("complain", tasks.Odd)):
            bad = tasks.Bomb(moment, how, spares=os.getpid()) if act is tasks.echo else ("pickle", how)
            items = [*range(20), bad, *range(20, 40)]
            function = tasks.echo if act is tasks.echo else tasks.make_bomb_of
            found = list(pool.map(function, items, chunksize=41, on_error="return"))
            assert isinstance(found.pop(20), kind)
            assert found == list(range(40))


@pytest.mark.parametrize("how", ["complain", "give_up"])
def test_an_item_whose_result_does_not_unpickle_here_is_lost_alone(pool: Pool, how: str) -> None:
    """In the parent: it came in one piece with the others, which are had once more, each by itself."""
    items = [*range(20), ("unpickle", how), *range(20, 40)]
    found = list(pool.map(tasks.make_bomb_of, items, chunksize=41, on_error="return"))
    assert isinstance(found.pop(20), tasks.Odd if how == "complain" else SystemExit)
    assert found == list(range(40))


def test_an_item_that_cannot_be_pickled_is_lost_alone(pool: Pool) -> None:
    """Here, in the parent: its chunk goes without it."""
    items = [*range(20), tasks.Bomb("pickle", "complain"), *range(20, 40)]
    found = list(pool.map(tasks.echo, items, chunksize=41, on_error="return"))
    assert isinstance(found.pop(20), tasks.Odd)
    assert found == list(range(40))


def test_the_report_of_a_lost_item_says_which_it_was(pool: Pool) -> None:
    """By its place among all inputs, in the words of the sentence too."""
    items = [(number, POISON) for number in range(1000)]
    error = next(
        each
        for each in pool.starmap(tasks.end_if, items, chunksize=250, on_error="return")
        if not isinstance(each, int)
    )
    assert isinstance(error, TaskFailed)
    assert error.report.item == POISON
    assert error.report.function == "end_if"
    assert f"end_if, item {POISON}: given up after 3 attempts" in str(error)


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_a_task_is_tried_as_often_as_was_asked(pool: Pool, tmp_path: Path, retries: int) -> None:
    """Once, and then so many times more, each in another worker; the report has every one of them."""
    path = str(tmp_path / "begun")
    error = pool.options(retries=retries).submit(tasks.end_noted, path, "kill").exception(PATIENCE)
    assert isinstance(error, TaskFailed)
    assert [attempt.pid for attempt in error.report.attempts] == tasks.noted(path)
    assert len(set(tasks.noted(path))) == retries + 1
    for attempt in error.report.attempts:
        assert (attempt.cause, attempt.phase) == ("killed by SIGKILL", "run")
        assert 0 <= attempt.seconds < PATIENCE
        assert attempt.rss_bytes is not None
        assert attempt.rss_bytes > 1 << 20


def test_a_task_that_works_the_third_time_has_worked(pool: Pool, tmp_path: Path) -> None:
    """Its first two workers died of it; nobody needs to know."""
    assert pool.submit(tasks.end_until, str(tmp_path / "begun"), 2, "segfault").result(PATIENCE) == 3


@pytest.mark.parametrize("how", ["kill", "leave"])
def test_what_must_not_be_begun_twice_never_is(pool: Pool, tmp_path: Path, how: str) -> None:
    """idempotent=False: of fifty such tasks and a map of them, each is begun exactly once, whatever becomes of it."""
    once, others = pool.options(idempotent=False), Innocents(pool)
    paths = [str(tmp_path / str(number)) for number in range(20)]
    futures = []
    for number, path in enumerate(paths[:10]):
        futures.append(once.submit(tasks.end_noted if number % 2 else tasks.note, path, *[how] * (number % 2)))
        others.add(2)
    for number, future in enumerate(futures):
        error = future.exception(PATIENCE)
        if number % 2:
            assert isinstance(error, TaskFailed)
            assert len(error.report.attempts) == 1
        else:
            assert error is None
    calls = [(path, how if number % 2 else "") for number, path in enumerate(paths[10:])]
    found = list(once.starmap(tasks.note_and_perhaps_end, calls, on_error="return", chunksize=5))
    assert [isinstance(each, TaskFailed) for each in found] == [bool(number % 2) for number in range(10)]
    others.check()
    assert [len(tasks.noted(path)) for path in paths] == [1] * 20


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_second_attempt_sees_the_arguments_as_they_were(numeric: Pool, tmp_path: Path, size: int) -> None:
    """An array the first attempt has written over, small or in a segment, is whole again for the second."""
    path, array = str(tmp_path / "begun"), np.arange(size, dtype=float)
    assert numeric.submit(tasks.scribble_and_end, array, path).result(PATIENCE) == array.sum()
    assert len(tasks.noted(path)) == 2
    assert array[1] == 1.0


def test_a_second_attempt_sees_the_items_of_a_chunk_as_they_were(numeric: Pool, tmp_path: Path) -> None:
    """Arrays pickled together, of which one kills its worker after all before it were scribbled on."""
    arrays = [np.full(20_000, float(number)) for number in range(8)]
    calls = [(array, str(tmp_path / str(number)), "kill") for number, array in enumerate(arrays)]
    assert list(numeric.starmap(tasks.scribble_and_end, calls, chunksize=8)) == [array.sum() for array in arrays]
    assert all(len(tasks.noted(path)) == 2 for _, path, _ in calls)


def test_a_second_attempt_sees_a_list_as_it_was(pool: Pool, tmp_path: Path) -> None:
    """What was appended died with the first."""
    assert pool.submit(tasks.append_and_end, [1, 2, 3], str(tmp_path / "begun")).result(PATIENCE) == 3


def test_those_behind_a_poisoned_task_are_not_blamed(hire: Callable[..., Pool]) -> None:
    """One worker with many short tasks ahead: each may fail no attempt, and none does."""
    pool = hire(1)
    strict = pool.options(retries=0)
    assert list(strict.map(tasks.double, range(500), chunksize=1)) == [
        2 * n for n in range(500)
    ]  # they are short, it has seen
    futures = [strict.submit(tasks.end_if, number, 57) for number in range(200)]
    failed = [number for number, future in enumerate(futures) if future.exception(PATIENCE) is not None]
    assert failed == [57]


def test_one_in_fifty_kills_its_worker(hire: Callable[..., Pool]) -> None:
    """200 tasks of which four are bad: 196 are right."""
    pool = hire(2)
    futures = [pool.submit(tasks.end_if, number % 50, 25) for number in range(200)]
    failed = [number for number, future in enumerate(futures) if future.exception(PATIENCE) is not None]
    assert failed == [25, 75, 125, 175]
    assert all(future.result() == 2 * (n % 50) for n, future in enumerate(futures) if n not in failed)


def test_a_callback_that_fails_stops_nobody(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exiting and submitting something that crashes, in callbacks of good and bad tasks: everything goes on."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda told_of: told.append(told_of.exc_type))
    others = Innocents(pool)

    def submit_a_crash(_: object) -> None:
        told.append(pool.submit(tasks.kill).exception(PATIENCE))

    def exit_here(_: object) -> None:
        told.append("exiting")
        raise SystemExit(3)

    for task in (tasks.pid, tasks.kill):
        future = pool.submit(task)
        others.add(3)
        future.add_done_callback(exit_here)
        future.add_done_callback(submit_a_crash)
        future.add_done_callback(lambda _: told.append("last"))
    others.check()
    eventually(lambda: told.count("last") == 2)
    assert told.count("exiting") == told.count(SystemExit) == 2
    assert sum(isinstance(each, TaskFailed) for each in told) == 2
