"""A pool is an executor, and its futures are futures: what every program that knows concurrent.futures relies on."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    as_completed,
    wait,
)
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import TaskFailed
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from supervisor.pool import Pool


def test_a_pool_is_an_executor_and_gives_futures(pool: Pool) -> None:
    """So is a view of it."""
    assert isinstance(pool, Executor)
    assert isinstance(pool.options(retries=0), Executor)
    assert isinstance(pool.submit(tasks.pid), Future)
    assert isinstance(pool.options(retries=0).submit(tasks.pid), Future)


def test_arguments_of_any_name_reach_the_function(pool: Pool) -> None:
    """Those that submit itself might have been called by among them."""
    names = {"fn": 1, "self": 2, "function": 3, "args": 4, "timeout": 5}
    assert pool.submit(plain.tell, 1, *"ab", **names).result(PATIENCE) == ((1, "a", "b"), names)


VALUES = [None, True, 1.5, 2j, -(10**50_000), "x", b"x" * 70_000, "x" * 3_000_000, (), {"a": [1]}]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back_as_they_went(pool: Pool, value: Any) -> None:
    """Of every size, small ones in numbers."""
    assert pool.submit(tasks.echo, value).result(PATIENCE) == value
    assert [future.result(PATIENCE) for future in [pool.submit(tasks.echo, value) for _ in range(30)]] == [value] * 30


def test_a_value_of_300_megabytes_comes_back_as_it_went(pool: Pool) -> None:
    """Bytes, which pickle does not take out of band: through a segment each way."""
    value = bytes(range(256)) * (300_000_000 // 256)
    assert pool.submit(tasks.echo, value).result(PATIENCE) == value


def test_functions_of_every_kind(pool: Pool) -> None:
    """Of a module, built in, a class, a method, a partial, with and without a name."""
    shift = 5
    for function, argument, expected in (
        (abs, -3, 3),
        (str, 3, "3"),
        ("a-b".split, "-", ["a", "b"]),
        (partial(plain.add, 1, 2), 3, 6),
        (lambda number: number + shift, 1, 6),
        (tasks.double, 4, 8),
    ):
        assert pool.submit(function, argument).result(PATIENCE) == expected
        assert list(pool.map(function, [argument] * 3)) == [expected] * 3


def test_a_task_with_a_hundred_shared_objects(pool: Pool) -> None:
    """More descriptors than one message carries."""
    handles = [pool.share(number) for number in range(100)]
    assert pool.submit(plain.sum_of_shared, handles).result(PATIENCE) == sum(range(100))


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_as_completed_gives_each_as_it_is_done(pool: Pool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    last = pool.submit(tasks.wait_for, str(gate))
    quick = [pool.submit(tasks.double, n) for n in range(20)]
    order = as_completed([last, *quick], timeout=PATIENCE)
    first = [next(order) for _ in quick]
    assert set(first) == set(quick)
    gate.touch()
    assert list(order) == [last]
    with pytest.raises(TimeoutError):
        list(as_completed([pool.submit(tasks.wait_for, "/nowhere")], timeout=0.05))
    pool.terminate()


def test_wait_for_the_first_the_first_error_and_all(pool: Pool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = pool.submit(tasks.wait_for, str(gate))
    quick = pool.submit(tasks.double, 1)
    assert wait([slow, quick], PATIENCE, FIRST_COMPLETED) == ({quick}, {slow})
    wrong = pool.submit(plain.odd_is_wrong, 1)
    done, missing = wait([slow, quick, wrong], PATIENCE, FIRST_EXCEPTION)
    assert wrong in done
    assert missing == {slow}
    assert wait([slow, quick], 0.05, ALL_COMPLETED) == ({quick}, {slow})
    crashed = pool.options(retries=0).submit(tasks.kill)
    assert wait([slow, crashed], PATIENCE, FIRST_EXCEPTION) == ({crashed}, {slow})
    gate.touch()
    assert wait([slow, quick, wrong], PATIENCE) == ({slow, quick, wrong}, set())
    assert wait([slow, quick, wrong]).not_done == set()


def test_result_waits_so_long_and_no_longer(pool: Pool, tmp_path: Path) -> None:
    """And can be asked again; from many threads at once it is the same object."""
    gate = tmp_path / "gate"
    future = pool.submit(plain.wait_and_make_list, str(gate))
    for ask in (future.result, future.exception):
        with pytest.raises(TimeoutError):
            ask(timeout=0.02)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(future.result(PATIENCE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.touch()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(one is found[0] for one in found)
    assert future.exception() is None


def test_callbacks_are_called_in_order_once_and_whatever_one_of_them_raises(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the future; later ones at once; none in the thread that serves the workers, which they may not hold up."""
    shown: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))
    calls: list[Any] = []
    callers = set()
    release = threading.Event()

    def first(future: Future[Any]) -> None:
        callers.add(threading.current_thread().name)
        assert release.wait(PATIENCE)
        calls.append(("first", future.result()))

    def second(_future: Future[Any]) -> None:
        raise SystemExit

    future = pool.submit(tasks.nap, 0.02)
    future.add_done_callback(first)
    future.add_done_callback(second)
    future.add_done_callback(lambda future: calls.append(("third", future.result())))
    assert future.result(PATIENCE) == 0.02
    assert [pool.submit(tasks.double, n).result(PATIENCE) for n in range(5)] == [0, 2, 4, 6, 8]
    release.set()
    eventually(lambda: len(calls) == 2)
    assert calls == [("first", 0.02), ("third", 0.02)]
    assert shown == [SystemExit]
    assert "ninelives-pool" not in callers
    future.add_done_callback(lambda future: calls.append("late"))
    assert calls[-1] == "late"


def test_a_callback_may_submit_and_shut_down(hire: Callable[..., Pool]) -> None:
    """It waits for everybody but itself."""
    pool = hire()
    second: list[Future[Any]] = []

    def go_on(_future: Future[Any]) -> None:
        second.append(pool.submit(tasks.double, 21))
        pool.shutdown()

    pool.submit(tasks.nap, 0.01).add_done_callback(go_on)
    eventually(lambda: second)
    assert second[0].result(PATIENCE) == 42
    pool.shutdown()


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_cancel_in_every_state(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """What waits is taken back, what runs is ended, what is done stays; each tells its callbacks."""
    pool = hire(1)
    path, gate = str(tmp_path / "noted"), str(tmp_path / "gate")
    called: list[str] = []
    running = pool.submit(tasks.wait_for, gate)
    sent = [pool.submit(tasks.note, path) for _ in range(3)]
    running.add_done_callback(lambda _: called.append("running"))
    sent[0].add_done_callback(lambda _: called.append("sent"))
    eventually(running.running)
    assert not sent[0].running()
    assert all(future.cancel() for future in sent)
    assert all(future.cancelled() and future.done() and not future.running() for future in sent)
    assert running.cancel()
    assert running.cancel()
    for future in (running, *sent):
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
        with pytest.raises(CancelledError):
            future.exception(PATIENCE)
    eventually(lambda: set(called) == {"running", "sent"})
    assert wait([running, *sent], PATIENCE).not_done == set()
    done = pool.submit(tasks.double, 4)
    assert done.result(PATIENCE) == 8
    assert not done.cancel()
    assert not done.cancelled()
    assert tasks.noted(path) == []


def test_who_waits_hears_of_the_cancelling(hire: Callable[..., Pool]) -> None:
    """In result, in wait and in as_completed, from other threads."""
    pool = hire(1)
    future = pool.submit(tasks.wait_for, "/nowhere")
    heard: list[Any] = []

    def ask() -> None:
        try:
            future.result(PATIENCE)
        except CancelledError:
            heard.append("result")

    threads = [
        threading.Thread(target=ask),
        threading.Thread(target=lambda: heard.append(wait([future], PATIENCE).done == {future})),
        threading.Thread(target=lambda: heard.append(list(as_completed([future], PATIENCE)) == [future])),
    ]
    for thread in threads:
        thread.start()
    eventually(future.running)
    assert future.cancel()
    for thread in threads:
        thread.join()
    assert sorted(map(str, heard)) == ["True", "True", "result"]


# -- asyncio ----------------------------------------------------------------------------------------------------------


def test_asyncio_runs_in_it(pool: Pool) -> None:
    """run_in_executor: results, exceptions, crashes."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        calls: list[Awaitable[Any]] = [
            loop.run_in_executor(pool, tasks.double, 4),
            loop.run_in_executor(pool, plain.odd_is_wrong, 3),
            loop.run_in_executor(pool.options(retries=0), tasks.kill),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    value, error, crash = asyncio.run(main())
    assert value == 8
    assert isinstance(error, plain.Odd)
    assert isinstance(crash, TaskFailed)


def test_what_asyncio_gives_up_is_ended(hire: Callable[..., Pool]) -> None:
    """A time limit there ends the task here, and the worker is free again."""
    pool = hire(1)

    async def main() -> int:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(pool, tasks.wait_for, "/nowhere"), 0.2)
        number: int = await loop.run_in_executor(pool, tasks.double, 1)
        return number

    assert asyncio.run(main()) == 2


def test_what_later_pythons_ask_of_a_future(pool: Pool) -> None:
    """_get_snapshot, from 3.14 on: done, cancelled, result, exception, at once."""
    waiting = pool.submit(tasks.wait_for, "/nowhere")
    assert waiting._get_snapshot() == (False, False, None, None)
    waiting.cancel()
    assert waiting._get_snapshot() == (True, True, None, None)
    done = pool.submit(tasks.double, 4)
    done.result(PATIENCE)
    assert pool.submit(tasks.double, 4) is not done
    assert done._get_snapshot() == (True, False, 8, None)
    wrong = pool.submit(plain.odd_is_wrong, 3)
    eventually(wrong.done)
    is_done, is_cancelled, value, error = wrong._get_snapshot()
    assert (is_done, is_cancelled, value) == (True, False, None)
    assert isinstance(error, plain.Odd)


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_nothing_holds_an_argument_or_a_result_that_nobody_wants(pool: Pool) -> None:
    """Arguments go when the task is done, a result with its future, an exception with its own."""
    argument = plain.Weak()
    gone = weakref.ref(argument)
    future = pool.submit(tasks.echo, argument)
    result = weakref.ref(future.result(PATIENCE))
    del argument
    gc.collect()
    assert gone() is None
    assert result() is not None
    del future
    gc.collect()
    assert result() is None
    wrong = pool.submit(plain.odd_is_wrong, 1)
    with pytest.raises(plain.Odd):
        wrong.result(PATIENCE)
    error = weakref.ref(wrong)
    del wrong
    assert error() is None  # without the collector: no circle through the traceback
