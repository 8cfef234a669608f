"""Our futures beside the base class's: the same questions get the same answers, in every state."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import CancelledError, Future, as_completed, wait
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import future as future_module
from supervisor.pool.errands import Errands
from supervisor.pool.future import TaskFuture
from supervisor.pool.task import Error, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Office:
    """An owner that does what a pool does: cancels what is not over, and runs callbacks in a thread of its own."""

    def __init__(self) -> None:
        self.errands = Errands("office")
        self.running: set[Task] = set()

    def cancel(self, task: Task) -> None:
        if not task.is_over:
            task.is_over = True
            assert task.future is not None
            task.future.called_off()

    def is_running(self, task: Task) -> bool:
        return task in self.running

    def later(self, errand: Callable[[], object]) -> None:
        self.errands.add(errand)


@pytest.fixture
def office() -> Iterator[Office]:
    made = Office()
    yield made
    made.errands.close()


def ours(office: Office) -> TaskFuture:
    future = TaskFuture(office)
    future.task = object.__new__(Task)
    future.task.is_over, future.task.future = False, future
    return future


def end(future: Future[Any], how: str) -> None:
    """As a pool ends its futures, or as an executor does."""
    if isinstance(future, TaskFuture):
        if how == "value":
            future.deliver(pickle.dumps(5))
        elif how == "error":
            future.deliver(Error(KeyError("x")))
        elif how == "cancelled":
            future.cancel()
    elif how == "value":
        future.set_running_or_notify_cancel()
        future.set_result(5)
    elif how == "error":
        future.set_running_or_notify_cancel()
        future.set_exception(KeyError("x"))
    elif how == "cancelled":
        future.cancel()
        future.set_running_or_notify_cancel()


def asked(ask: Callable[[], Any]) -> str:
    try:
        return repr(ask())
    except (CancelledError, TimeoutError, KeyError) as error:
        return f"raises {error!r}"


QUESTIONS: dict[str, Callable[[Future[Any]], Any]] = {
    "done": lambda future: future.done(),
    "cancelled": lambda future: future.cancelled(),
    "running": lambda future: future.running(),
    "result": lambda future: future.result(timeout=0.001),
    "exception": lambda future: future.exception(timeout=0.001),
    "again": lambda future: future.result(timeout=0.001),
    "wait": lambda future: tuple(map(len, wait([future], timeout=0.001))),
    "as_completed": lambda future: len(list(as_completed([future], timeout=0.001))),
    "cancel": lambda future: future.cancel(),
    "cancelled then": lambda future: future.cancelled(),
}


@pytest.mark.parametrize("how", ["pending", "value", "error", "cancelled"])
def test_every_question_is_answered_as_the_base_class_answers_it(office: Office, how: str) -> None:
    """Pending, done, failed, cancelled."""
    mine, theirs = ours(office), Future[Any]()
    for future in (mine, theirs):
        end(future, how)
    for name, ask in QUESTIONS.items():
        answers = [asked(lambda ask=ask, future=future: ask(future)) for future in (mine, theirs)]  # type: ignore[misc]
        if name == "as_completed" and how == "pending":
            assert all("1 (of 1) futures unfinished" in answer for answer in answers)
        else:
            assert answers[0] == answers[1], name


@pytest.mark.parametrize("how", ["value", "error", "cancelled"])
def test_callbacks_come_in_order_and_once(office: Office, how: str) -> None:
    """Those added before the end in the office's thread, those added after it at once."""
    future = ours(office)
    called: list[Any] = []

    def call(number: int, _future: Future[Any]) -> None:
        called.append((number, threading.current_thread().name))

    for number in range(5):
        future.add_done_callback(partial(call, number))
    end(future, how)
    future.cancel()
    office.errands.close()
    assert called == [(number, "office") for number in range(5)]
    future.add_done_callback(partial(call, 9))
    assert called[5:] == [(9, threading.current_thread().name)]


def test_a_result_is_unpickled_once_by_whoever_asks_first(office: Office) -> None:
    """In his thread; who asks meanwhile waits, and gets the same."""
    openers = []

    class Slow:
        is_error = False

        def open(self) -> list[int]:
            openers.append(threading.current_thread())
            assert may_go_on.wait(30)
            return [1]

    may_go_on = threading.Event()
    future = ours(office)
    future.deliver(Slow())
    assert future.done()
    assert openers == []
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(future.result(30))) for _ in range(5)]
    for thread in threads:
        thread.start()
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert len(openers) == 1
    assert len(found) == 5
    assert all(one is found[0] for one in found)


def test_what_comes_after_the_end_changes_nothing(office: Office) -> None:
    """A result for what was cancelled; a second result; a second end."""
    hooks: list[str] = []
    cancelled = ours(office)
    cancelled.hook = lambda: hooks.append("cancelled")
    assert cancelled.cancel()
    cancelled.deliver(pickle.dumps(5))
    cancelled.called_off()
    assert cancelled.cancelled()
    done = ours(office)
    done.hook = lambda: hooks.append("done")
    done.deliver(pickle.dumps(5))
    done.deliver(pickle.dumps(6))
    done.called_off()
    assert done.result() == 5
    assert hooks == ["cancelled", "done"]


def test_running_is_what_the_owner_says_until_it_is_done(office: Office) -> None:
    future = ours(office)
    assert not future.running()
    assert future.task is not None
    office.running.add(future.task)
    assert future.running()
    future.deliver(pickle.dumps(5))
    assert not future.running()


def test_who_waits_is_woken(office: Office) -> None:
    """In result, wait and as_completed: a condition that is made while the future ends is not missed."""
    for _ in range(200):
        future = ours(office)
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda future=future, found=found: found.append(future.result(30))),
            threading.Thread(target=lambda future=future, found=found: found.append(len(wait([future], 30).done))),
        ]
        for thread in threads:
            thread.start()
        future.deliver(pickle.dumps(1))
        for thread in threads:
            thread.join()
        assert found == [1, 1]


def test_errands_are_run_in_order_whatever_one_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one thread, started by the first; `close` waits for all, and what comes later is done too."""
    shown: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))
    errands = Errands("some")
    found: list[int] = []
    for number in range(50):
        errands.add(lambda number=number: found.append(number))  # type: ignore[misc]
        if number == 20:
            errands.add(lambda: 1 / 0)
    errands.close()
    assert found == list(range(50))
    assert shown == [ZeroDivisionError]
    errands.add(lambda: found.append(99))
    errands.close()
    assert found[-1] == 99


def test_who_never_lets_go_of_a_condition_keeps_nobody_waiting(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody was interrupted while he held it: the result is there at once, and callbacks are called."""
    monkeypatch.setattr(future_module, "PATIENCE", 0.05)
    made = ours(office)
    called = threading.Event()
    made.add_done_callback(lambda _: called.set())
    thread = threading.Thread(target=made._condition.acquire)
    thread.start()
    thread.join()
    made.deliver(pickle.dumps(5))
    assert made.result(5) == 5
    assert called.wait(5)
