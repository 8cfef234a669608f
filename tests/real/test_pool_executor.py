"""A pool is an executor, and its futures are futures: what every program that knows concurrent.futures relies on."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Executor,
    Future,
    as_completed,
    wait,
)
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
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
