"""How a pool begins and ends: shut down, called off, interrupted, dropped, forked, or not ended at all."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from supervisor.pool import Pool


ASK: dict[str, Callable[[Pool], object]] = {
    "submit": lambda pool: pool.submit(tasks.double, 1),
    "submit of a view": lambda pool: pool.options(retries=0).submit(tasks.double, 1),
    "map": lambda pool: pool.map(tasks.double, [1]),
    "lazy map": lambda pool: pool.map(tasks.double, iter([1])),
    "imap_unordered": lambda pool: pool.imap_unordered(tasks.double, [1]),
    "starmap": lambda pool: pool.starmap(tasks.double, [(1,)]),
}


@pytest.mark.parametrize("how", ASK)
@pytest.mark.parametrize("is_used", [False, True])
def test_after_shutdown_nothing_more_is_taken(hire: Callable[..., Pool], how: str, is_used: bool) -> None:
    """Neither by the pool nor by its views, in whatever way; whether it ever worked or not."""
    pool = hire()
    if is_used:
        assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
    pool.shutdown()
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        ASK[how](pool)
    assert pool.is_closed


def test_shutdown_without_waiting_lets_everything_finish(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """What runs, what was sent, what waits; then the workers leave."""
    pool = hire()
    gate = tmp_path / "gate"
    futures = [pool.submit(tasks.wait_for, str(gate)) for _ in range(2)] + [
        pool.submit(tasks.double, n) for n in range(50)
    ]
    eventually(futures[0].running)
    workers = crew(pool)
    pool.shutdown(wait=False)
    assert not futures[0].done()
    gate.touch()
    assert [future.result(PATIENCE) for future in futures[2:]] == [2 * n for n in range(50)]
    eventually(lambda: not any(map(is_alive, workers)))


def test_shutdown_that_cancels_lets_only_finish_what_has_begun(hire: Callable[..., Pool], tmp_path: Path) -> None:
    pool = hire(1)
    gate = tmp_path / "gate"
    begun = pool.submit(tasks.wait_for, str(gate))
    eventually(begun.running)
    waiting = [pool.submit(tasks.double, n) for n in range(50)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    gate.touch()
    assert isinstance(begun.result(PATIENCE), int)
    pool.shutdown()


def test_shutdown_waits_for_callbacks(hire: Callable[..., Pool]) -> None:
    pool = hire()
    called: list[int] = []
    for number in range(20):
        pool.submit(tasks.double, number).add_done_callback(lambda future: called.append(future.result()))
    pool.shutdown()
    assert sorted(called) == [2 * n for n in range(20)]


def test_terminate_ends_everything_at_once(hire: Callable[..., Pool]) -> None:
    """However often it is said, and whatever state the tasks are in."""
    pool = hire()
    running = [pool.submit(tasks.wait_for, "/nowhere") for _ in range(2)]
    chunked = pool.map(tasks.wait_for, ["/nowhere"] * 100)
    waiting = [pool.submit(tasks.double, n) for n in range(50)]
    eventually(lambda: all(future.running() for future in running))
    assert waiting[0].cancel()
    workers = crew(pool)
    began = time.monotonic()
    pool.terminate()
    pool.terminate()
    pool.shutdown()
    assert time.monotonic() - began < 5
    assert not any(map(is_alive, workers))
    assert all(future.cancelled() for future in (*running, *waiting))
    with pytest.raises(CancelledError):
        next(chunked)


def test_who_takes_over_at_the_end_is_given_nothing(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """The first worker comes last, and stands by: it is looked at before the others, who are put down and whom it follows."""
    go = tmp_path / "go"
    pool = hire(2, min_workers=2, initializer=tasks.wait_for_if_called, initargs=("pool 1", str(go)))
    running = [pool.submit(tasks.wait_for, "/nowhere") for _ in range(20)]
    staff = pool._core.dispatcher.crew
    eventually(lambda: [remote.number for remote in staff.members] == [2, 3])
    go.touch()
    eventually(lambda: [remote.number for remote in staff.standbys] == [1])
    pool.terminate()
    assert all(future.cancelled() for future in running)


def leave(pool: Pool, error: BaseException, task: Callable[..., Any], argument: Any) -> list[Future[Any]]:
    """Ends a `with` block by that error, with five tasks under way."""
    futures: list[Future[Any]] = []
    with contextlib.suppress(type(error)), pool:
        futures += [pool.submit(task, argument) for _ in range(5)]
        raise error
    return futures


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()], ids=repr)
def test_an_interrupt_in_a_with_block_ends_the_pool_at_once(hire: Callable[..., Pool], error: BaseException) -> None:
    """Who presses Ctrl-C does not mean: when everything is done. An ordinary exception waits, as with any executor."""
    assert all(future.cancelled() for future in leave(hire(), error, tasks.wait_for, "/nowhere"))
    assert [future.result(0) for future in leave(hire(), plain.Odd(), tasks.nap, 0.05)] == [0.05] * 5


def test_a_pool_that_is_never_used_costs_nothing(hire: Callable[..., Pool]) -> None:
    """No process, no thread."""
    before = threading.active_count()
    with hire() as pool:
        assert pool._core.dispatcher.engine is None
        assert threading.active_count() == before


@pytest.mark.parametrize("is_crashing", [False, True])
def test_a_pool_that_nobody_has_any_more_ends_when_its_tasks_are_done(is_crashing: bool) -> None:
    """Also if one of them ends its worker; also if a circle held the pool, and the collector finds it in whatever thread."""
    from supervisor.pool import Pool  # noqa: PLC0415 not the fixture's: that one keeps them

    pool = Pool(2)
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
    workers = crew(pool)
    futures = [pool.submit(tasks.nap, 0.02) for _ in range(5)]
    crashing = [pool.options(retries=0).submit(tasks.kill)] if is_crashing else []
    futures += [pool.submit(tasks.double, n) for n in range(20)]
    circle: list[Any] = [pool]
    circle.append(circle)
    del circle, pool
    gc.collect()
    assert [future.result(PATIENCE) for future in futures] == [0.02] * 5 + [2 * n for n in range(20)]
    for future in crashing:
        assert "killed" in str(future.exception(PATIENCE))
    eventually(lambda: not any(map(is_alive, workers)))
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "ninelives-pool"])


def test_a_map_outlives_the_pool_object(tmp_path: Path) -> None:
    """The iterator is enough."""
    from supervisor.pool import Pool  # noqa: PLC0415 not the fixture's: that one keeps them

    assert list(Pool(2).map(tasks.double, range(1000))) == [2 * n for n in range(1000)]
    gc.collect()
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ninelives-pool")])


# -- from many sides at once ------------------------------------------------------------------------------------------


def test_ten_threads_submit_while_workers_are_killed(hire: Callable[..., Pool]) -> None:
    """Every task is done once for its future, whatever happens to the workers."""
    kills, between = 40, 20  # a kill for so many results: nobody is killed faster than anything can be done
    pool = hire(2)
    patient = pool.options(retries=kills)  # so that no task can run out of attempts, were it hit by every kill
    results: dict[int, list[int]] = {}
    done: list[int] = []

    def work(number: int) -> None:
        futures = [patient.submit(tasks.double, number * 1000 + n) for n in range(100)]
        for future in futures:
            future.add_done_callback(lambda _: done.append(number))
        results[number] = [future.result(PATIENCE) for future in futures]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for kill in range(kills):
        eventually(lambda: len(done) >= between * kill)  # noqa: B023 it is waited for here
        tasks.kill_other(eventually(lambda: crew(pool))[0])
    for thread in threads:
        thread.join()
    assert results == {number: [2 * (number * 1000 + n) for n in range(100)] for number in range(10)}
    eventually(lambda: len(done) == 1000)
    assert sorted(done) == sorted(list(range(10)) * 100)


@pytest.mark.parametrize("is_used", [False, True])
def test_threads_that_submit_while_the_pool_is_shut_down(hire: Callable[..., Pool], is_used: bool) -> None:
    """Each submit either raises, or gives a future that is done in the end."""
    for _ in range(8):
        pool = hire(1, standby=0)
        if is_used:
            pool.submit(tasks.double, 0).result(PATIENCE)
        futures: list[Future[Any]] = []
        begun = threading.Barrier(5)

        def submit(pool: Pool = pool, futures: list[Future[Any]] = futures, begun: threading.Barrier = begun) -> None:
            begun.wait()
            with contextlib.suppress(RuntimeError):
                futures.extend(pool.submit(tasks.double, number) for number in range(10_000))

        threads = [threading.Thread(target=submit) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        pool.shutdown()
        for thread in threads:
            thread.join()
        for future in futures:
            assert future.exception(PATIENCE) is None or "after shutdown" in str(future.exception())


def test_the_thread_sleeps_while_nobody_can_take_what_waits(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """Whether a first worker is still to be born, or a task that must be alone is at work."""
    gate = tmp_path / "go"
    pool = hire(2, initializer=tasks.wait_for, initargs=(str(gate),))
    dispatcher = pool._core.dispatcher
    first = pool.submit(tasks.pid)
    alone = first.task
    eventually(lambda: not dispatcher._must_stay())  # it has asked for a worker
    with dispatcher.lock:
        assert dispatcher.feeding.pending
        assert not dispatcher.crew.members
        assert not dispatcher._must_stay()
    gate.touch()
    first.result(PATIENCE)
    eventually(lambda: dispatcher.feeding.free)
    dispatcher.feeding._alone = alone
    second = pool.submit(tasks.pid)
    eventually(lambda: not dispatcher._must_stay())  # it has asked for another worker, and seen that there is nothing to do
    with dispatcher.lock:
        assert dispatcher.feeding.pending
        assert not dispatcher._must_stay()
        dispatcher.feeding._alone = None
        dispatcher.feeding.feed_all()
    assert second.result(PATIENCE)
