"""What the tests of the pool's faults stand on: pools, their processes, and the bar every one of them has to clear."""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from supervisor import kernel
from tests.real import pool_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool import Pool, TaskFuture, View

PATIENCE = 30.0  # seconds after which something hangs
T = TypeVar("T")


class Innocents:
    """Tasks beside the bad ones: every one of them has to succeed."""

    def __init__(self, pool: View) -> None:
        self._pool = pool
        self._futures: list[TaskFuture] = []

    def add(self, count: int) -> None:
        self._futures += [
            self._pool.submit(pool_tasks.double, number)
            for number in range(len(self._futures), len(self._futures) + count)
        ]

    def check(self) -> None:
        """All of them are right; and so is what is submitted afterwards."""
        self.add(4)
        assert [future.result(PATIENCE) for future in self._futures] == [2 * n for n in range(len(self._futures))]


def among_innocents(pool: View, submit: Callable[[], TaskFuture]) -> Any:
    """What becomes of a bad task among good ones, all of which succeed: its result, or its exception."""
    others = Innocents(pool)
    others.add(5)
    bad = submit()
    others.add(5)
    error = bad.exception(PATIENCE)
    others.check()
    return bad.result() if error is None else error


def terminate(pool: Pool) -> None:
    """End it, or fail: a test that hangs must not hang once more in the end."""
    ending = threading.Thread(target=pool.terminate, daemon=True)
    ending.start()
    ending.join(PATIENCE / 3)
    if ending.is_alive():
        faulthandler.dump_traceback()
        raise TimeoutError(f"{pool!r} does not end")


def crew(pool: Pool) -> list[int]:
    """The pids of its workers, standbys included."""
    return [remote.pid for remote in list(pool._core.dispatcher.crew.remotes.values()) if remote.is_up]


def root(pool: Pool) -> int:
    trunk = pool._core.dispatcher.running_engine._trunk
    assert trunk.root is not None
    return trunk.root.pid


def templates(pool: Pool) -> list[int]:
    """The living templates of a pool."""
    found = (kernel.stat(pid) for pid in kernel.children_of_one_thread(root(pool)))
    return [now.pid for now in found if now is not None and now.command == "template pool" and now.state not in "ZX"]


def eventually(look: Callable[[], T]) -> T:
    """What it returns as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"never: {look}")
        time.sleep(0.002)
    return found


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ninelives-")}


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))
