"""Where other pools have waited for ever: on a full pipe, a dead reader, somebody to be woken, an end that never came."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import TaskFailed
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_objects as objects
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, among_innocents, crew, eventually, root, templates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool, TaskFuture

INLINE = b"x" * 60_000  # travels in the frame, not in a segment
HOWS = ["kill", "segfault", "leave", "give_up", "complain"]


def behind(pool: Pool, gate: str) -> tuple[list[TaskFuture], int]:
    """Futures of a waiting task and of megabytes of arguments that its worker has been sent and cannot read; its pid."""
    strict = pool.options(retries=0)
    list(strict.map(tasks.echo, [INLINE] * 200, chunksize=1))  # they are short, the pool has seen
    running = pool.submit(tasks.wait_for, gate)
    futures = [strict.submit(tasks.echo, INLINE) for _ in range(300)]
    (remote,) = pool._core.dispatcher.crew.members
    eventually(lambda: remote.is_behind)
    return [running, *futures], remote.pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_dies_while_megabytes_are_being_written_to_it(
    hire: Callable[..., Pool], tmp_path: Path, number: int
) -> None:
    """Nobody reads the rest: it is written to the next one, and none of those tasks has lost an attempt (gh-94777)."""
    pool = hire(1)
    (running, *futures), pid = behind(pool, str(tmp_path / "gate"))
    os.kill(pid, number)
    (tmp_path / "gate").touch()
    assert running.result(PATIENCE) != pid
    assert all(future.result(PATIENCE) == INLINE for future in futures)
    Innocents(pool).check()


@pytest.mark.parametrize("how", ["terminate", "shutdown"])
def test_the_pool_ends_while_megabytes_are_being_written(hire: Callable[..., Pool], tmp_path: Path, how: str) -> None:
    """At once, or when everything is done."""
    pool = hire(1)
    futures, pid = behind(pool, str(tmp_path / "gate"))
    ending = threading.Thread(target=getattr(pool, how), daemon=True)
    ending.start()
    eventually(lambda: pool.is_closed)
    (tmp_path / "gate").touch()
    ending.join(PATIENCE)
    assert not ending.is_alive()
    assert not is_alive(pid)
    if how == "terminate":
        assert all(future.cancelled() or future.done() for future in futures)
    else:
        assert all(future.result(0) == INLINE for future in futures[1:])


def test_arguments_of_several_megabytes_to_workers_that_die_of_them(hire: Callable[..., Pool]) -> None:
    """Ten at once, of three kinds of death: each fails alone, with as large ones all around it."""
    pool = hire(2)
    data = bytes(5_000_000)
    bad, good = [], []
    for number in range(10):
        bad.append(pool.options(retries=0).submit(tasks.end_with, HOWS[number % 3], data))
        good.append(pool.submit(tasks.echo, data))
    assert all(isinstance(future.exception(PATIENCE), TaskFailed) for future in bad)
    assert all(future.result(PATIENCE) == data for future in good)
    Innocents(pool).check()


def test_however_often_the_pools_thread_is_woken_nobody_waits(hire: Callable[..., Pool]) -> None:
    """A hundred thousand times while it cannot look: there is no pipe that could be full (gh-105829)."""
    pool = hire(2)
    Innocents(pool).check()
    dispatcher = pool._core.dispatcher
    with dispatcher.lock:  # from where every submit leaves word for the thread, and the thread cannot read it
        for _ in range(100_000):
            dispatcher.loop.wake()
        futures = [pool.submit(tasks.double, number) for number in range(5000)]
    assert [future.result(PATIENCE) for future in futures] == [2 * number for number in range(5000)]


def test_a_hundred_thousand_tasks_at_once(hire: Callable[..., Pool]) -> None:
    """Submitted faster than they are done, and the last of them kills its worker: all others are right."""
    pool = hire(2)
    futures = [pool.submit(tasks.double, number) for number in range(100_000)]
    dying = pool.options(retries=0).submit(tasks.kill)
    assert all(future.result(PATIENCE) == 2 * number for number, future in enumerate(futures))
    assert isinstance(dying.exception(PATIENCE), TaskFailed)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("is_used", [True, False])
def test_shutdown_right_after_arguments_that_do_not_pickle(
    hire: Callable[..., Pool], wait: bool, is_used: bool
) -> None:
    """The pool may not even have begun: the future says why, what was submitted beside it is done, and it ends (gh-83285)."""
    for _ in range(5):
        pool = hire(2)
        if is_used:
            Innocents(pool).check()
        good = [pool.submit(tasks.double, 1)] if is_used else []
        bad = pool.submit(tasks.echo, tasks.Bomb("pickle", "complain"))
        good += [pool.submit(tasks.double, 1)]
        pool.shutdown(wait=wait)
        assert isinstance(bad.exception(PATIENCE), tasks.Odd)
        assert [future.result(PATIENCE) for future in good] == [2] * len(good)


@pytest.mark.parametrize(
    ("moment", "how"),
    # In the parent a crash would be the parent's own end.
    [
        *((moment, how) for moment in ("run", "unpickle", "pickle") for how in HOWS),
        *(("here", how) for how in HOWS[3:]),
    ],
)
def test_shutdown_right_after_a_task_that_ends_its_worker(hire: Callable[..., Pool], moment: str, how: str) -> None:
    """It waits for the innocents, not for the dead."""
    pool = hire(2)
    others = [pool.submit(tasks.double, number) for number in range(10)]
    bad = {
        "run": lambda: pool.submit(tasks.end, how),
        "unpickle": lambda: pool.submit(tasks.echo, tasks.Bomb("unpickle", how, spares=os.getpid())),
        "pickle": lambda: pool.submit(tasks.make_bomb, "pickle", how),
        "here": lambda: pool.submit(tasks.make_bomb, "unpickle", how),
    }[moment]()
    others += [pool.submit(tasks.double, number) for number in range(10, 20)]
    pool.shutdown()
    assert [future.result(0) for future in others] == [2 * number for number in range(20)]
    assert isinstance(bad.exception(0), TaskFailed | tasks.Odd | SystemExit)


def test_shutdown_right_after_a_result(hire: Callable[..., Pool]) -> None:
    """A task that was done a moment ago, before anybody had time to notice (gh-94440)."""
    for _ in range(20):
        pool = hire(1, standby=0)
        future = pool.submit(tasks.double, 1)
        while not future.done():
            pass
        pool.shutdown(wait=True)
        assert future.result(0) == 2


def test_terminate_with_large_arguments_and_results_under_way(hire: Callable[..., Pool]) -> None:
    """Ten of 30 MB each way: it does not wait for one of them, and none is half there."""
    pool = hire(2)
    futures = [pool.submit(tasks.echo, bytes([number]) * (30 << 20)) for number in range(10)]
    eventually(lambda: any(future.running() for future in futures))
    family = [root(pool), *crew(pool)]
    began = time.monotonic()
    pool.terminate()
    assert time.monotonic() - began < PATIENCE / 3
    assert not any(map(is_alive, family))
    for number, future in enumerate(futures):
        assert future.cancelled() or future.result(0) == bytes([number]) * (30 << 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whom", [templates, lambda pool: [root(pool)]], ids=["template", "root"])
def test_somebody_signals_the_template_or_the_root(
    hire: Callable[..., Pool], whom: Callable[[Pool], list[int]], number: int
) -> None:
    """Whether they mind or not: the workers' tasks are done, the dead are replaced."""
    pool = hire(2, min_workers=2)
    Innocents(pool).check()
    for _ in range(3):
        others = Innocents(pool)
        others.add(20)
        for pid in eventually(lambda: whom(pool)):
            os.kill(pid, number)
        assert isinstance(among_innocents(pool, lambda: pool.options(retries=1).submit(tasks.kill)), TaskFailed)
        others.check()


def test_a_worker_whose_files_may_not_grow(hire: Callable[..., Pool]) -> None:
    """A full disk, a limit on files: a large result is its task's MemoryError, a crash is told, small results arrive."""
    pool = hire(2, initializer=objects.no_large_files, initargs=(4096,))
    error = among_innocents(pool, lambda: pool.submit(objects.zeros, 1 << 20))
    assert isinstance(error, MemoryError)
    assert "RLIMIT_FSIZE" in str(error)
    error = among_innocents(pool, lambda: pool.submit(tasks.segfault))
    assert isinstance(error, TaskFailed)
    assert error.report.last.cause == "killed by SIGSEGV"


def test_the_clock_on_the_wall_jumps(hire: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    """By days, both ways, while tasks have limits, pauses and workers that may be idle: nobody here looks at it."""
    jumps = iter(range(1 << 30))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 1e6)
    pool = hire(2, idle_after=60)
    limited = pool.options(task_timeout=20, soft_timeout=10)
    others = [limited.submit(tasks.nap, 0.01) for _ in range(10)]
    hanging = pool.options(task_timeout=0.2, retries=0).submit(misdeeds.spin)
    assert [future.result(PATIENCE) for future in others] == [0.01] * 10
    error = hanging.exception(PATIENCE)
    assert isinstance(error, TaskFailed)
    assert 0.2 <= error.report.last.seconds < PATIENCE
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.kill)), TaskFailed)
