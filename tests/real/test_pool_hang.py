"""Tasks that do not end, or take more than they may: put down in time, with where they hung in the report."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.pool import SoftTimeout, TaskFailed, TaskOutOfMemory, TaskTimeout
from supervisor.pool.watch import STOPPED
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, among_innocents, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool

LIMIT = 0.2  # seconds


@pytest.mark.parametrize(
    ("hang", "where"),
    [(misdeeds.spin, "in spin"), (misdeeds.hang_in_c, "in hang_in_c"), (misdeeds.hang_deaf_to_term, "in spin")],
)
def test_a_task_that_hangs_is_put_down(pool: Pool, hang: Callable[[], None], where: str) -> None:
    """In Python, in C with the GIL, deaf to every polite signal: TaskTimeout with the line it hung in, all others done."""
    error = among_innocents(pool, lambda: pool.options(task_timeout=LIMIT, retries=1).submit(hang))
    assert isinstance(error, TaskTimeout)
    assert isinstance(error, TimeoutError)
    assert len(error.report.attempts) == 2
    for attempt in error.report.attempts:
        assert attempt.phase == "run"
        assert attempt.cause == "put down: it ran longer than its time limit"
        assert attempt.seconds >= LIMIT
        assert where in attempt.stack
        assert not is_alive(attempt.pid)


def test_one_item_of_a_map_that_hangs_is_lost_alone(pool: Pool) -> None:
    """The limit is for each item: those before and behind it in its chunk have their results."""
    strict = pool.options(task_timeout=LIMIT, retries=0)
    found = list(strict.map(misdeeds.spin_if, [(number, 33) for number in range(100)], chunksize=50, on_error="return"))
    assert isinstance(found.pop(33), TaskTimeout)
    assert found == [2 * number for number in range(100) if number != 33]


def test_items_that_together_take_longer_than_one_may(pool: Pool) -> None:
    """A chunk of ten short items under a limit that all of them together exceed: nobody is put down."""
    assert list(pool.options(task_timeout=0.7).map(tasks.nap, [0.1] * 10, chunksize=10)) == [0.1] * 10


def test_several_tasks_hang_at_once(hire: Callable[..., Pool]) -> None:
    """Each in its worker, with others waiting behind them: each is put down on its own account."""
    pool = hire(3)
    others = Innocents(pool)
    hanging = [pool.options(task_timeout=LIMIT, retries=0).submit(misdeeds.spin) for _ in range(6)]
    others.add(10)
    assert all(isinstance(future.exception(PATIENCE), TaskTimeout) for future in hanging)
    others.check()


def test_a_task_told_softly_cleans_up(pool: Pool, tmp_path: Path) -> None:
    """SoftTimeout is raised inside it; its worker lives on, and what it returns counts."""
    path = str(tmp_path / "cleaned")
    assert (
        among_innocents(pool, lambda: pool.options(soft_timeout=LIMIT).submit(misdeeds.spin_softly, path))
        == "cleaned up"
    )
    assert all(map(is_alive, tasks.noted(path)))


def test_a_task_told_softly_that_does_not_listen(pool: Pool) -> None:
    """In C there is nothing that could be raised: the hard limit comes behind the soft one."""
    limits = pool.options(soft_timeout=LIMIT, task_timeout=2 * LIMIT, retries=0)
    assert isinstance(among_innocents(pool, lambda: limits.submit(misdeeds.hang_in_c)), TaskTimeout)


def test_a_soft_limit_nobody_catches_is_the_tasks_error(pool: Pool) -> None:
    """As any exception of its own; the worker lives on."""
    assert isinstance(
        among_innocents(pool, lambda: pool.options(soft_timeout=LIMIT).submit(misdeeds.spin)), SoftTimeout
    )


def test_a_stopped_task_with_a_limit_is_put_down(pool: Pool) -> None:
    """SIGSTOP: no signal but KILL reaches it, and that does."""
    error = among_innocents(pool, lambda: pool.options(task_timeout=LIMIT, retries=0).submit(misdeeds.stop))
    assert isinstance(error, TaskTimeout)
    assert not is_alive(error.report.last.pid)


def test_a_stopped_task_without_a_limit_is_put_down_after_a_while(pool: Pool) -> None:
    """The root has seen it: nobody continues it, so it is dead to us."""
    error = among_innocents(pool, lambda: pool.options(retries=0).submit(misdeeds.stop))
    assert isinstance(error, TaskFailed)
    assert "stopped by a signal" in error.report.last.cause
    assert error.report.last.phase == "run"
    assert error.report.last.seconds >= STOPPED
    assert not is_alive(error.report.last.pid)


def test_a_stopped_task_that_is_continued_goes_on(pool: Pool, tmp_path: Path) -> None:
    """In time: it has not lost an attempt, nor its worker, long after it would have been put down."""
    path = str(tmp_path / "pid")
    future = pool.options(retries=0).submit(misdeeds.stop_noted, path)
    pid = eventually(lambda: tasks.noted(path))[0]
    eventually(lambda: (now := kernel.stat(pid)) is not None and now.state == "T")
    os.kill(pid, signal.SIGCONT)
    assert future.result(PATIENCE) == pid
    deadline = time.monotonic() + STOPPED
    while time.monotonic() < deadline:
        assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
    assert is_alive(pid)


def test_idle_workers_that_are_stopped_are_replaced(hire: Callable[..., Pool]) -> None:
    """Those with nothing to do, and standbys: what is submitted to them is done by others."""
    pool = hire(2, min_workers=2)
    Innocents(pool).check()
    eventually(lambda: len(crew(pool)) == 3)
    stopped = crew(pool)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    assert [pool.options(retries=0).submit(tasks.double, n).result(PATIENCE) for n in range(4)] == [0, 2, 4, 6]
    eventually(lambda: not any(map(is_alive, stopped)))


def test_a_task_that_leaks_is_put_down(pool: Pool) -> None:
    """It passes its limit of memory: tried once more, alone, then TaskOutOfMemory."""
    error = among_innocents(pool, lambda: pool.options(memory=150 << 20).submit(misdeeds.leak, 8 << 20))
    assert isinstance(error, TaskOutOfMemory)
    assert isinstance(error, MemoryError)
    assert [attempt.cause for attempt in error.report.attempts] == [
        "put down: it held more than its limit of memory"
    ] * 2
    assert all((attempt.rss_bytes or 0) > 150 << 20 for attempt in error.report.attempts)


def test_what_took_all_memory_is_tried_again_alone(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """The second attempt of such a task begins when nothing else runs, and nothing begins beside it."""
    pool = hire(2)
    path, gate = str(tmp_path / "log"), str(tmp_path / "gate")
    leaking = pool.options(memory=150 << 20).submit(misdeeds.leak_logged, path, gate)
    others = [pool.submit(misdeeds.logged_nap, path, 0.02) for _ in range(20)]
    (tmp_path / "gate").touch()
    assert isinstance(leaking.exception(PATIENCE), TaskOutOfMemory)
    assert [future.result(PATIENCE) for future in others] == [0.02] * 20
    lines = (tmp_path / "log").read_text().split()
    begun = [at for at, line in enumerate(lines) if line == "leak"]
    assert len(begun) == 2
    assert lines[: begun[1]].count("nap") == lines[: begun[1]].count("woke")
    rest = lines[begun[1] + 1 :]
    assert "leak" not in rest
    assert rest.count("nap") == rest.count("woke")


def test_what_took_all_memory_and_then_dies_of_something_else(pool: Pool, tmp_path: Path) -> None:
    """Alone it has the attempts it has left, and afterwards nobody waits for it."""
    careful = pool.options(memory=150 << 20)
    assert among_innocents(pool, lambda: careful.submit(misdeeds.leak_then_end, str(tmp_path / "log"))) == 3


def test_a_worker_that_has_grown_is_replaced_between_two_tasks(hire: Callable[..., Pool]) -> None:
    """max_memory_per_child: three megabytes a task are left behind, all 60 results are right, several workers made them."""
    pool = hire(1, max_memory_per_child=60 << 20)
    pids = [pool.submit(misdeeds.hold, 3 << 20).result(PATIENCE) for _ in range(60)]
    assert len(set(pids)) >= 3
    eventually(lambda: not any(map(is_alive, set(pids[:-1]) - {pids[-1]})))
