"""Cancelling what waits and what runs, and asyncio, which gives up on things."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import (
    CancelledError,
    as_completed,
    wait,
)
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
