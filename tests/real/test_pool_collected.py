"""What nobody has any more is gone, without anybody collecting circles; what a task leaves in circles does not pile up."""

from __future__ import annotations

import gc
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import Pool, TaskFailed
from tests.real import pool_objects as objects
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LITTER = 3 << 20  # bytes that a task leaves behind
MOST = 150 << 20  # bytes a worker may hold


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["done", "raised", "crashed", "cancelled"])
def test_a_future_is_gone_with_its_last_name(pool: Pool, how: str) -> None:
    """Result, exception, report and all; its argument went before it, as soon as the task was over."""
    argument = plain.Weak()
    argument_gone = weakref.ref(argument)
    if how == "done":
        future = pool.submit(tasks.echo, argument)
        value = weakref.ref(future.result(PATIENCE))
    else:
        act: dict[str, Callable[[Any], Any]] = {
            "raised": plain.odd_is_wrong,
            "crashed": partial(tasks.end_with, "kill"),
        }
        future = pool.options(retries=0).submit(act.get(how, objects.hang_beside), 1 if how == "raised" else argument)
        if how == "cancelled":
            eventually(future.running)
            assert future.cancel()
            value = argument_gone
        else:
            error = future.exception(PATIENCE)
            assert isinstance(error, TaskFailed if how == "crashed" else plain.Odd)
            value = weakref.ref(error)
            del error
    del argument
    assert argument_gone() is None
    gone = weakref.ref(future)
    del future
    eventually(lambda: gone() is None)  # of a task that is ended its worker has to be buried first
    assert value() is None


@pytest.mark.usefixtures("no_collector")
def test_a_pool_is_gone_with_its_last_name() -> None:
    """Its views and maps keep it; then its workers leave."""
    pool = Pool(2)
    view = pool.options(retries=0)
    assert list(pool.map(tasks.double, range(100))) == [2 * number for number in range(100)]
    assert isinstance(view.submit(tasks.kill).exception(PATIENCE), TaskFailed)
    workers, gone, core_gone = crew(pool), weakref.ref(pool), weakref.ref(pool._core)
    results = pool.map(tasks.double, iter(range(10)))
    del pool
    assert gone() is None
    assert view.submit(tasks.double, 4).result(PATIENCE) == 8
    del view
    assert list(results) == [2 * number for number in range(10)]
    del results
    eventually(lambda: core_gone() is None)  # the thread may be at the last of it
    eventually(lambda: not any(map(is_alive, workers)))


def test_what_tasks_leave_in_circles_does_not_pile_up(hire: Callable[..., Pool]) -> None:
    """3 MB each, 300 times, and hardly an object for the collector to count: workers are replaced, every result is right."""
    pool = hire(2, max_memory_per_child=MOST)
    futures = [pool.submit(objects.double_and_litter, number, LITTER) for number in range(300)]
    found = [future.result(PATIENCE) for future in futures]
    assert [value for value, _, _ in found] == [2 * number for number in range(300)]
    # It is looked at between two tasks, of which a worker has a few before it.
    assert max(rss for _, _, rss in found) < MOST + 16 * LITTER
    assert len({pid for _, pid, _ in found}) > 2


def test_what_a_task_was_given_is_gone_when_it_is_done(hire: Callable[..., Pool]) -> None:
    """In the worker too: the next task finds nothing of it."""
    pool = hire(1)
    before = pool.submit(objects.own_rss).result(PATIENCE)
    for _ in range(3):
        assert pool.submit(objects.size_of, bytes(100 << 20)).result(PATIENCE) == 100 << 20
    assert pool.submit(objects.own_rss).result(PATIENCE) < before + (50 << 20)


@pytest.mark.usefixtures("no_collector")
def test_a_pool_whose_map_nobody_takes_from_is_gone_when_that_is_done() -> None:
    """The map has been worked on to its end, and keeps nothing: neither itself nor its pool."""
    pool = Pool(1, standby=0)
    pool.map(tasks.double, range(100))
    dispatcher, core = pool._core.dispatcher, weakref.ref(pool._core)
    del pool
    eventually(lambda: core() is None)
    eventually(lambda: dispatcher.loop.is_closed)
