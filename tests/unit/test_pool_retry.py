"""Whether a task is tried again, when, and what its future raises: the table, cell by cell. And what the reports say."""

from __future__ import annotations

import pickle
from collections import deque
from concurrent.futures import BrokenExecutor

import pytest

from supervisor.pool import (
    Attempt,
    CrashReport,
    Options,
    PoolBroken,
    TaskFailed,
    TaskOutOfMemory,
    TaskTimeout,
    frames,
    retry,
)
from supervisor.pool.retry import Cause
from supervisor.pool.task import Function, Task

DEATH = Attempt(pid=7, cause="killed by SIGSEGV", phase="run", seconds=0.25, rss_bytes=64 << 20, stack="File x, line 1")


def task(*, deaths: int, alone: bool = False, **options: object) -> Task:
    function = Function(1, "score", b"", None, (), deque())
    made = Task(function, frames.CALL, b"", (), Options(**options))  # type: ignore[arg-type]
    made.attempts, made.alone = (DEATH,) * deaths, alone
    return made


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("retries", [0, 1, 2])
@pytest.mark.parametrize("deaths", [1, 2, 3, 4])
@pytest.mark.parametrize("alone", [True, False])
def test_every_cell_of_the_table(cause: Cause, idempotent: bool, retries: int, deaths: int, alone: bool) -> None:
    """Out of memory: once more, alone, if it is to be tried again at all. Else: as often as `retries` says."""
    one = task(deaths=deaths, alone=alone, idempotent=idempotent, retries=retries)
    if not idempotent:
        expected = False
    elif cause is Cause.MEMORY:
        expected = retries > 0 and not alone
    else:
        expected = deaths <= retries
    assert retry.again(one, cause) is expected


@pytest.mark.parametrize(("cause", "kind"), [*zip(Cause, [TaskFailed, TaskTimeout, TaskOutOfMemory], strict=True)])
def test_what_is_raised_is_named_by_its_cause(cause: Cause, kind: type[TaskFailed]) -> None:
    """Each is a TaskFailed with the report; a time limit is a TimeoutError too, no memory a MemoryError."""
    failed = retry.failure(task(deaths=3), cause)
    assert type(failed) is kind
    assert len(failed.report.attempts) == 3
    assert isinstance(failed, TimeoutError) == (cause is Cause.TIMEOUT)
    assert isinstance(failed, MemoryError) == (cause is Cause.MEMORY)
    assert isinstance(failed, RuntimeError)


def test_the_first_retry_is_at_once_and_the_next_ones_wait_ever_longer() -> None:
    """Up to a limit, and each with a little chance."""
    assert retry.delay(0) == retry.delay(1) == 0.0
    for attempts in range(2, 40):
        least = min(retry.LONGEST, retry.FIRST * 2 ** (attempts - 2))
        found = {retry.delay(attempts) for _ in range(20)}
        assert all(least <= seconds <= least + retry.JITTER for seconds in found)
        assert len(found) > 1


def test_a_report_is_a_sentence_with_the_facts() -> None:
    report = CrashReport("score", (DEATH, DEATH), item=33)
    text = "worker 7: killed by SIGSEGV in phase 'run' after 0.250 s, 64 MiB"
    assert str(report) == f"score, item 33: given up after 2 attempts; {text}\nFile x, line 1"
    bare = Attempt(pid=7, cause="exit code 3", phase="write", seconds=1.0)
    assert str(CrashReport("score", (bare,))) == (
        "score: given up after 1 attempt; worker 7: exit code 3 in phase 'write' after 1.000 s"
    )
    assert report.last is DEATH


@pytest.mark.parametrize("kind", [TaskFailed, TaskTimeout, TaskOutOfMemory])
def test_a_failure_travels(kind: type[TaskFailed]) -> None:
    """Between processes and through nested pools, with its report."""
    failed = kind(CrashReport("score", (DEATH,), 4))
    again = pickle.loads(pickle.dumps(failed))
    assert type(again) is kind
    assert again.report == failed.report
    assert str(again) == str(failed)


def test_a_broken_pool_is_a_broken_executor() -> None:
    """Whoever knows BrokenProcessPool's base catches it."""
    assert issubclass(PoolBroken, BrokenExecutor)


@pytest.mark.parametrize(
    ("options", "is_watched"),
    [
        ({}, False),
        ({"retries": 9}, False),
        ({"task_timeout": 1}, True),
        ({"soft_timeout": 1}, True),
        ({"memory": 1}, True),
    ],
)
def test_only_tasks_with_a_limit_are_watched(options: dict[str, float], is_watched: bool) -> None:
    assert Options(**options).is_watched is is_watched  # type: ignore[arg-type]
