"""An initializer that fails: a few starts, with pauses; then every future says why, and nothing hangs."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import PoolBroken
from supervisor.pool.crew import FAILURES
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, Innocents, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool


@pytest.mark.parametrize("how", ["complain", "give_up"])
def test_an_initializer_that_raises_breaks_the_pool(hire: Callable[..., Pool], tmp_path: Path, how: str) -> None:
    """After a few starts, with what it raised as the cause; every future says so, and so does submit."""
    path = str(tmp_path / "starts")
    pool = hire(initializer=misdeeds.noted_failure, initargs=(path, how))
    futures = [pool.submit(tasks.double, n) for n in range(10)]
    for future in futures:
        error = future.exception(PATIENCE)
        assert isinstance(error, PoolBroken)
        assert "the initializer failed" in str(error)
        assert isinstance(error.__cause__, tasks.Odd if how == "complain" else SystemExit)
    with pytest.raises(PoolBroken):
        pool.submit(tasks.double, 1)
    pool.shutdown()
    assert len(tasks.noted(path)) <= 12


@pytest.mark.parametrize("how", ["kill", "segfault", "leave"])
def test_an_initializer_that_ends_its_worker_breaks_the_pool(
    hire: Callable[..., Pool], tmp_path: Path, how: str
) -> None:
    """After a few starts, with the way it ended in the sentence."""
    path = str(tmp_path / "starts")
    pool = hire(initializer=misdeeds.noted_failure, initargs=(path, how))
    words = {"kill": "killed by SIGKILL", "segfault": "killed by SIGSEGV", "leave": "exit code 0"}[how]
    for future in [pool.submit(tasks.double, n) for n in range(10)]:
        error = future.exception(PATIENCE)
        assert isinstance(error, PoolBroken)
        assert words in str(error)
    pool.shutdown()
    assert len(tasks.noted(path)) <= 12


@pytest.mark.parametrize("how", ["kill", "leave", "complain"])
def test_an_initializer_that_fails_at_first(hire: Callable[..., Pool], tmp_path: Path, how: str) -> None:
    """The third start works: every task is done."""
    pool = hire(1, standby=0, initializer=misdeeds.fail_at_first, initargs=(str(tmp_path / "starts"), 2, how))
    Innocents(pool).check()
    assert len(tasks.noted(str(tmp_path / "starts"))) == 3


def test_an_initializer_that_is_pickled_badly(hire: Callable[..., Pool]) -> None:
    """Its arguments raise in the worker: that is why the pool is broken."""
    pool = hire(initializer=tasks.echo, initargs=(tasks.Bomb("unpickle", "complain", spares=os.getpid()),))
    error = pool.submit(tasks.double, 1).exception(PATIENCE)
    assert isinstance(error, PoolBroken)
    assert isinstance(error.__cause__, tasks.Odd)


def test_an_initializer_that_hangs_is_no_reason_to_wait_at_the_end(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """terminate() ends it, and what waited for it is cancelled."""
    pool = hire(initializer=misdeeds.noted_spin, initargs=(str(tmp_path / "starts"),))
    future = pool.submit(tasks.double, 1)
    eventually(lambda: tasks.noted(str(tmp_path / "starts")))
    pool.terminate()
    assert future.cancelled()


def test_an_initializer_that_hangs_and_is_killed(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """From outside: another worker is started, and does the tasks."""
    path = str(tmp_path / "starts")
    pool = hire(1, initializer=misdeeds.hang_at_first, initargs=(path,))
    others = Innocents(pool)
    others.add(5)
    tasks.kill_other(eventually(lambda: tasks.noted(path))[0])
    others.check()


def test_standbys_that_die_of_what_they_load(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """A function that only the first worker survives: he does every task, and standbys are tried ever more rarely."""
    path = str(tmp_path / "loads")
    pool = hire(1)
    results = pool.map(tasks.SecondTimeBomb(path, spares=os.getpid()), itertools.count(), chunksize=1)
    assert next(results) == 0
    eventually(lambda: len(tasks.noted(path)) > FAILURES + 3)
    assert [next(results) for _ in range(20)] == list(range(1, 21))
    # At a moment when one has just come up, and not died yet, there is no pause.
    eventually(lambda: pool._core.dispatcher.crew._start_at > time.monotonic())
    pool.terminate()
    assert len(tasks.noted(path)) < 50


def test_one_worker_lives_and_no_other_can_be_started(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """As long as there is one to do them tasks are done, however many starts have failed."""
    path = str(tmp_path / "starts")
    pool = hire(3, initializer=misdeeds.fail_but_at_first, initargs=(path,))
    others = Innocents(pool)
    while len(tasks.noted(path)) <= 6:
        others.check()
    others.check()
