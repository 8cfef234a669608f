"""What a pool and its views can be told: options, limits, who the workers are, how many, and what they share."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import Options, Pool, PoolBroken, SoftTimeout, TaskFailed, TaskTimeout
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, crew, eventually, templates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def members(pool: Pool) -> int:
    return len(pool._core.dispatcher.crew.members)


# -- views ------------------------------------------------------------------------------------------------------------


def test_a_view_has_its_options_and_the_pools_workers(pool: Pool, tmp_path: Path) -> None:
    """Each its own; what is not changed is the pool's, or the view's it was made from."""
    impatient = pool.options(task_timeout=0.1, retries=0)
    assert isinstance(impatient.submit(tasks.wait_for, "/nowhere").exception(PATIENCE), TaskTimeout)
    assert impatient.options(task_timeout=None)._options == Options(retries=0)
    assert pool._options == Options()
    assert pool.submit(tasks.nap, 0.15).result(PATIENCE) == 0.15
    for retries in (0, 1, 3):
        path = str(tmp_path / f"noted{retries}")
        failed = pool.options(retries=retries).submit(tasks.end_noted, path, "kill").exception(PATIENCE)
        assert isinstance(failed, TaskFailed)
        assert len(tasks.noted(path)) == len(failed.report.attempts) == retries + 1
    assert pool.options(retries=0).submit(tasks.pid).result(PATIENCE) in crew(pool)


def test_options_hold_for_maps_too(pool: Pool) -> None:
    """A time limit for each item, not for the chunk."""
    found = list(pool.options(task_timeout=0.25).map(tasks.nap, [0.05] * 20, chunksize=20))
    assert found == [0.05] * 20
    slow = pool.options(task_timeout=0.1, retries=0).map(tasks.nap, [0.0, 600.0, 0.0], chunksize=3, on_error="return")
    assert [type(value) for value in slow] == [float, TaskTimeout, float]
    soft = pool.options(soft_timeout=0.05).map(tasks.nap, [0.0, 600.0], chunksize=1, on_error="return")
    assert [type(value) for value in soft] == [float, SoftTimeout]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"task_timeout": 0}, "task_timeout"),
        ({"soft_timeout": -1}, "soft_timeout"),
        ({"memory": 0}, "memory"),
        ({"retries": -1}, "retries"),
        ({"task_timeout": float("nan")}, "task_timeout"),
    ],
)
def test_options_that_mean_nothing(pool: Pool, words: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        pool.options(**words)
    with pytest.raises(TypeError):
        pool.options(timeout=5)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"max_workers": 0}, "max_workers"),
        ({"max_workers": 2, "min_workers": 3}, "min_workers"),
        ({"min_workers": -1}, "min_workers"),
        ({"standby": -1}, "standby"),
        ({"max_tasks_per_child": 0}, "max_tasks_per_child"),
        ({"max_memory_per_child": 0}, "max_memory_per_child"),
        ({"idle_after": -1.0}, "idle_after"),
    ],
)
def test_pools_that_cannot_be(words: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Pool(**words)


# -- who the workers are ----------------------------------------------------------------------------------------------


def test_workers_come_as_tasks_come_and_leave_when_there_are_none(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """From one to max_workers, and back to min_workers after idle_after."""
    pool = hire(3, min_workers=1, idle_after=0.2, standby=0)
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
    assert members(pool) == 1
    assert list(pool.map(partial(plain.until_together, 3), [str(tmp_path)] * 3, chunksize=1)) == [True] * 3
    eventually(lambda: members(pool) == 1)
    eventually(lambda: len(crew(pool)) == 1)
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("standby", [0, 1, 3])
def test_so_many_stand_by(hire: Callable[..., Pool], standby: int) -> None:
    """Beside the members; one that takes over is replaced."""
    pool = hire(1, standby=standby)
    for _ in range(2):
        assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
        eventually(lambda: len(crew(pool)) == 1 + standby)
        victim = pool.submit(tasks.pid).result(PATIENCE)
        tasks.kill_other(victim)
        eventually(lambda victim=victim: not is_alive(victim))  # type: ignore[misc]
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
    eventually(lambda: len(crew(pool)) == 1 + standby)


def test_a_worker_is_replaced_after_so_many_tasks(hire: Callable[..., Pool]) -> None:
    """Ten tasks, one worker, two each: five processes, and no waiting (where ProcessPoolExecutor hangs, gh-115634)."""
    pool = hire(1, max_tasks_per_child=2)
    pids = [future.result(PATIENCE) for future in [pool.submit(tasks.pid) for _ in range(10)]]
    assert sorted(pids.count(pid) for pid in set(pids)) == [2] * 5
    eventually(lambda: not any(is_alive(pid) for pid in set(pids)))
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2


def test_a_pool_that_replaces_its_workers_can_be_shut_down_meanwhile(hire: Callable[..., Pool]) -> None:
    pool = hire(2, max_tasks_per_child=1)
    futures = [pool.submit(tasks.double, n) for n in range(12)]
    pool.shutdown()
    assert [future.result(0) for future in futures] == [2 * n for n in range(12)]


def test_a_worker_is_replaced_when_it_holds_too_much_memory(hire: Callable[..., Pool]) -> None:
    """Between two tasks; all results are right."""
    pool = hire(1, max_memory_per_child=120 << 20)
    futures = [pool.submit(plain.hoard, 30) for _ in range(12)]
    pids = [future.result(PATIENCE) for future in futures]
    one_by_one = [pool.submit(plain.hoard, 30).result(PATIENCE) for _ in range(8)]
    assert len(set(one_by_one)) >= 2
    assert len(pids) == 12


def test_what_is_preloaded_is_there_before_the_first_task(hire: Callable[..., Pool]) -> None:
    """In every worker, imported once, in the template; what was not is not."""
    assert hire(1).submit(plain.modules, "sqlite3", "colorsys").result(PATIENCE) == [False, False]
    pool = hire(2, preload=["sqlite3"])
    assert list(pool.map(plain.modules, ["sqlite3"] * 4, chunksize=1)) == [[True]] * 4
    assert pool.submit(plain.modules, "sqlite3", "colorsys").result(PATIENCE) == [True, False]
    assert len(templates(pool)) == 1


def test_the_initializer_is_called_in_each_worker_before_its_first_task(hire: Callable[..., Pool]) -> None:
    """Once, with its arguments; also in those that take the place of the dead."""
    pool = hire(1, initializer=plain.remember, initargs=(1, "two"))
    assert pool.submit(plain.remembered).result(PATIENCE) == [1, "two"]
    first = pool.submit(tasks.pid).result(PATIENCE)
    assert pool.options(retries=0).submit(tasks.kill).exception(PATIENCE) is not None
    assert pool.submit(plain.remembered).result(PATIENCE) == [1, "two"]
    assert pool.submit(tasks.pid).result(PATIENCE) != first


def test_an_initializer_that_fails_breaks_the_pool_and_says_why(hire: Callable[..., Pool]) -> None:
    """After several attempts; whoever waits and whoever comes is told."""
    pool = hire(2, initializer=tasks.complain)
    waiting = [pool.submit(tasks.double, n) for n in range(5)]
    mapped = pool.map(tasks.double, range(100))
    for future in waiting:
        error = future.exception(PATIENCE)
        assert isinstance(error, PoolBroken)
        assert "initializer failed" in str(error)
        assert isinstance(error.__cause__, tasks.Odd)
    with pytest.raises(PoolBroken):
        list(mapped)
    for act in (lambda: pool.submit(tasks.double, 1), lambda: pool.map(tasks.double, [1])):
        with pytest.raises(PoolBroken):
            act()
    pool.shutdown()


@pytest.mark.numpy
def test_the_initializer_may_be_given_arrays_and_shared_objects(hire: Callable[..., Pool]) -> None:
    """Of any size; they are the worker's own."""
    import numpy as np  # noqa: PLC0415 not everybody has it

    array = np.ones(1_000_000)
    pool = hire(1, initializer=plain.remember, initargs=(array, b"x" * 3_000_000))
    shared = pool.share(array)
    assert pool.submit(plain.remembered_sum).result(PATIENCE) == 1_000_004.0
    assert array[0] == 1.0
    other = hire(1, initializer=plain.remember, initargs=(shared,))
    assert other.submit(plain.remembered).result(PATIENCE)[0].get().sum() == 1_000_000.0


# -- what they share --------------------------------------------------------------------------------------------------


@pytest.mark.numpy
def test_what_is_shared_is_mapped_once_by_each_worker(hire: Callable[..., Pool]) -> None:
    """However many tasks are given it, in partials, tuples and chunks; and unmapped when nobody has it any more."""
    import numpy as np  # noqa: PLC0415 not everybody has it

    pool = hire(1)
    table = pool.share(np.zeros(5_000_000, dtype=np.uint8))
    before = pool.submit(plain.large_maps, 5_000_000).result(PATIENCE)
    lengths = pool.map(partial(plain.length_of, table), range(50), chunksize=1)
    assert list(lengths) == [5_000_000] * 50
    assert pool.submit(plain.length_of, table, 1).result(PATIENCE) == 5_000_000
    assert pool.submit(plain.large_maps, 5_000_000).result(PATIENCE) == before + 1
    del table, lengths
    eventually(lambda: pool.submit(plain.large_maps, 5_000_000).result(PATIENCE) == before)


@pytest.mark.numpy
def test_arrays_come_out_as_they_went_in_and_can_be_written_to(pool: Pool) -> None:
    """Small and large, as arguments, as results, in partials; what a task writes is nobody else's."""
    import numpy as np  # noqa: PLC0415 not everybody has it

    for size in (10, 100_000, 3_000_000):
        array = np.arange(size, dtype=np.float64)
        futures = [pool.submit(plain.add_one_in_place, array) for _ in range(4)]
        for future in futures:
            result = future.result(PATIENCE)
            assert np.array_equal(result, array + 1)
            result += 1.0
        assert np.array_equal(array, np.arange(size))
        found = list(pool.map(plain.add_one_in_place, [array] * 3, chunksize=1))
        assert all(np.array_equal(result, array + 1) for result in found)


def test_a_pool_within_a_worker(hire: Callable[..., Pool]) -> None:
    """And all of it is gone with the task."""
    pool = hire(2)
    assert list(pool.map(plain.inner_pool, [3, 5], chunksize=1)) == [[0, 2, 4], [0, 2, 4, 6, 8]]


def test_a_pool_may_be_used_from_any_thread(pool: Pool) -> None:
    """Each gets its own results."""
    found: dict[int, list[int]] = {}

    def work(number: int) -> None:
        found[number] = list(pool.map(plain.add, range(200), [number] * 200))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [n + number for n in range(200)] for number in range(8)}


def test_by_default_there_are_as_many_workers_as_cpus(tmp_path: Path) -> None:
    with Pool() as pool:
        assert pool._core.dispatcher.crew.most == len(os.sched_getaffinity(0))
        assert "Pool: open, 0 workers" in repr(pool)
    assert "Pool: closed" in repr(pool)
