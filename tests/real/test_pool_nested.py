"""Pools in pools, workers that do not leave, and a parent that has no descriptor left."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.pool import PoolBroken, TaskFailed
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_nested as nested
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, among_innocents, crew, eventually, root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from supervisor.pool import Pool


def test_a_pool_in_a_worker(pool: Pool) -> None:
    """Its tasks crash and its innocents succeed as anywhere; afterwards nothing of it is alive."""
    inner = among_innocents(pool, lambda: pool.submit(nested.crash_in_a_pool))
    assert inner["innocents"] == [0, 2, 4, 6]
    assert inner["error"] == "TaskFailed"
    eventually(lambda: not any(map(is_alive, inner["pids"])))


def test_a_pool_in_a_pool_in_a_pool(pool: Pool) -> None:
    """Three deep."""
    assert among_innocents(pool, lambda: pool.submit(nested.double_at_depth, 21, 2)) == 42


@pytest.mark.parametrize("how", ["kill", "leave", "segfault"])
def test_a_worker_dies_with_a_pool_inside(pool: Pool, tmp_path_factory: pytest.TempPathFactory, how: str) -> None:
    """Busy as its workers are: they, their root and their template go with it."""
    path = str(tmp_path_factory.mktemp("inner") / "pids")
    error = among_innocents(pool, lambda: pool.options(retries=0).submit(nested.end_with_a_pool_inside, path, how))
    assert isinstance(error, TaskFailed)
    family = tasks.noted(path)
    assert len(family) == 3
    eventually(lambda: not any(map(is_alive, family)))


def test_the_outer_pool_does_not_wait_for_an_inner_one(hire: Callable[..., Pool]) -> None:
    """A task leaves a pool open, with idle workers: its worker leaves, and they with it."""
    pool = hire(1)
    family = pool.submit(nested.leave_a_pool_open).result(PATIENCE)
    assert all(map(is_alive, family))
    began = time.monotonic()
    pool.shutdown()
    assert time.monotonic() - began < PATIENCE / 2
    eventually(lambda: not any(map(is_alive, family)))


@pytest.mark.parametrize("hook", ["hang_at_exit", "hang_in_a_thread", "babble_at_exit"])
def test_a_worker_that_does_not_leave(hire: Callable[..., Pool], hook: str) -> None:
    """A hook of its exit hangs, a thread of its does not end: shutdown waits a second, and no longer."""
    pool = hire(2)
    pid = among_innocents(pool, lambda: pool.submit(getattr(nested, hook)))
    began = time.monotonic()
    pool.shutdown()
    assert time.monotonic() - began < PATIENCE / 2
    assert not is_alive(pid)


def test_termination_with_everybody_hanging(hire: Callable[..., Pool]) -> None:
    """In C, stopped, deaf: terminate() takes them all along, and every future is cancelled."""
    pool = hire(3)
    futures = [pool.submit(act) for act in (misdeeds.hang_in_c, misdeeds.stop, misdeeds.hang_deaf_to_term) * 2]
    eventually(lambda: sum(future.running() for future in futures) == 3)
    family = [root(pool), *kernel.descendants(root(pool))]
    began = time.monotonic()
    pool.terminate()
    assert time.monotonic() - began < PATIENCE / 2
    assert all(future.cancelled() for future in futures)
    assert not any(map(is_alive, family))


def test_a_running_task_that_is_cancelled_is_ended(pool: Pool) -> None:
    """With its worker; those behind it are not."""
    hanging = pool.submit(misdeeds.hang_in_c)
    eventually(hanging.running)
    victims = {remote.pid for remote in pool._core.dispatcher.crew.members if remote.held}
    others = Innocents(pool)
    others.add(20)
    assert hanging.cancel()
    assert hanging.cancelled()
    others.check()
    eventually(lambda: not all(map(is_alive, victims)))


@pytest.fixture
def no_descriptors() -> Iterator[Callable[[int], None]]:
    """Takes all of this process's descriptors but so many; gives them back in the end."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def take(left: int) -> None:
        while taken and left < 0:
            os.close(taken.pop())
        highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 16, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(left):
            os.close(taken.pop())

    yield take
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for fd in taken:
        os.close(fd)


@pytest.mark.numpy
@pytest.mark.parametrize("left", range(6))
def test_the_parent_has_no_descriptor_left(
    hire: Callable[..., Pool], no_descriptors: Callable[[int], None], left: int
) -> None:
    """What needs one fails with OSError or MemoryError, or is done; what needs none is done; and nothing hangs."""
    pool = hire(2, min_workers=2, preload=["numpy"])
    Innocents(pool).check()
    eventually(lambda: len(crew(pool)) == 3)
    array = misdeeds.many(1 << 20)
    no_descriptors(left)
    small = [pool.submit(tasks.double, n) for n in range(20)]
    big = [pool.submit(tasks.echo, array) for _ in range(4)] + [pool.submit(misdeeds.many, 1 << 20) for _ in range(4)]
    assert [future.result(PATIENCE) for future in small] == [2 * n for n in range(20)]
    for future in big:
        error = future.exception(PATIENCE)
        assert error is None or isinstance(error, OSError | MemoryError | TaskFailed)


def test_the_parent_gets_descriptors_back(hire: Callable[..., Pool], no_descriptors: Callable[[int], None]) -> None:
    """A worker dies while there is none for another: its successor comes when there is."""
    pool = hire(2, min_workers=2)
    Innocents(pool).check()
    eventually(lambda: len(crew(pool)) == 3)
    no_descriptors(0)
    assert isinstance(pool.options(retries=0).submit(tasks.kill).exception(PATIENCE), TaskFailed)
    assert [pool.submit(tasks.double, n).result(PATIENCE) for n in range(10)] == [2 * n for n in range(10)]
    no_descriptors(-1)
    Innocents(pool).check()


def test_the_pools_own_thread_fails(pool: Pool) -> None:
    """It must not; if it does, everybody who waits is told, nothing of the pool is alive, and nothing more is taken."""
    Innocents(pool).check()
    family = [root(pool), *kernel.descendants(root(pool))]
    waiting = [pool.submit(misdeeds.spin) for _ in range(4)]
    eventually(lambda: sum(future.running() for future in waiting) == 2)
    with pool._core.dispatcher.lock:
        pool._core.dispatcher.loop.at(time.monotonic(), [].pop)
    for future in waiting:
        error = future.exception(PATIENCE)
        assert isinstance(error, PoolBroken)
        assert isinstance(error.__cause__, IndexError)
    with pytest.raises(PoolBroken):
        pool.submit(tasks.double, 1)
    pool.shutdown()
    assert not any(map(is_alive, family))
