"""When a worker dies others go on at once; what it died of is found out behind that."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import TaskFailed
from supervisor.pool.loop import Loop
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, Innocents, crew, eventually, root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from supervisor.pool import Pool


def test_what_a_dead_worker_had_not_begun_is_done_before_anybody_knows_how_it_ended(
    hire: Callable[..., Pool], tmp_path: Path
) -> None:
    """The root, which alone can tell, is stopped meanwhile; afterwards the blamed task fails with the whole truth."""
    pool = hire(1)
    Innocents(pool).check()
    eventually(lambda: len(crew(pool)) == 2)
    gate = tmp_path / "gate"
    pid = pool.submit(tasks.pid).result(PATIENCE)
    blamed = pool.options(retries=0).submit(tasks.wait_for, str(gate))
    eventually(blamed.running)
    behind = [pool.submit(tasks.double, number) for number in range(200)]
    eventually(lambda: pool._core.dispatcher.crew.members[0].held > 1)
    teller = root(pool)
    os.kill(teller, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        assert [future.result(PATIENCE) for future in behind] == [2 * number for number in range(200)]
        assert not blamed.done()
    finally:
        os.kill(teller, signal.SIGCONT)
    error = blamed.exception(PATIENCE)
    assert isinstance(error, TaskFailed)
    assert (error.report.last.cause, error.report.last.phase) == ("killed by SIGKILL", "run")


@pytest.fixture
def loop() -> Iterator[Loop]:
    """One whose lock is held, as its thread holds it."""
    lock = threading.RLock()
    with lock:
        made = Loop(lock)
        yield made
        made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_what_is_deferred_is_heard_at_its_time(loop: Loop, pipe: tuple[int, int]) -> None:
    """Not before, and not later should that be asked for in the meantime."""
    heard: list[float] = []
    loop.watch(pipe[0], lambda: heard.append(float(os.read(pipe[0], 1) == b"x") and time.monotonic()))
    os.write(pipe[1], b"x")
    began = time.monotonic()
    loop.defer(pipe[0], 0.05)
    loop.defer(pipe[0], PATIENCE)
    while not heard and time.monotonic() < began + PATIENCE:
        loop.turn(PATIENCE, lambda: False)
    assert 0.05 <= heard[0] - began < PATIENCE / 2


def test_a_descriptor_of_the_same_number_is_another_one(loop: Loop, pipe: tuple[int, int]) -> None:
    """The first is closed while it is deferred; the second waits to write, and goes on doing so when that time is over."""
    heard: list[str] = []
    number = os.dup(pipe[0])
    loop.watch(number, lambda: heard.append("the first"))
    began = time.monotonic()
    loop.defer(number, 0.02)
    loop.unwatch(number)
    os.dup2(pipe[1], number)
    loop.watch(number, lambda: heard.append("the second"))
    loop.watch_both_ways(number, both=True)
    while time.monotonic() < began + 0.03:
        loop.turn(0.01, lambda: False)
    heard.clear()
    loop.turn(1.0, lambda: False)
    assert heard == ["the second"]
    loop.unwatch(number)
    os.close(number)
