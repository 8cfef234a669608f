"""Time and memory limits of tasks, and workers that were stopped: looks at one only while there is reason to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from supervisor import kernel
from supervisor.pool import page
from supervisor.pool.worker import SOFT_SIGNAL

if TYPE_CHECKING:
    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.remote import Remote
    from supervisor.pool.task import Task

MEMORY_EVERY = 0.05  # seconds between two looks at a worker's memory
BEGINS = 0.005  # seconds after which a task that was not begun is looked for again
STOPPED = 1.0  # seconds a worker may be stopped by a signal
STACKS = 0.03  # seconds a worker has to write its stacks down before it is killed


class Watch:
    """Called under the pool's lock."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._watched: set[Remote] = set()

    def begin(self, remote: Remote) -> None:
        """It has been given a task with a limit."""
        if remote not in self._watched:
            self._watched.add(remote)
            self._look(remote)

    def stopped(self, remote: Remote) -> None:
        """A signal has stopped it: whoever did that has STOPPED seconds to continue it."""
        self._dispatcher.loop.at(time.monotonic() + STOPPED, lambda: self._is_it_still(remote))

    def _is_it_still(self, remote: Remote) -> None:
        now = kernel.stat(remote.pid) if remote.number in self._dispatcher.crew.remotes else None
        if now is not None and now.state == "T":
            self._dispatcher.crew.put_down(remote, f"stopped by a signal, and not continued within {STOPPED:g} s")

    def _look(self, remote: Remote) -> None:
        if remote.doom or remote.is_idle or remote.number not in self._dispatcher.crew.remotes:
            self._watched.discard(remote)
            return
        at = remote.running()
        task = remote.outstanding[0][1]
        wait: float | None = BEGINS
        if at is not None and at[0] == remote.outstanding[0][0] and task is not None:
            wait = self._enforce(remote, task, *at)
        if wait is None:
            self._watched.discard(remote)
        else:
            self._dispatcher.loop.at(time.monotonic() + wait, lambda: self._look(remote))

    def _enforce(self, remote: Remote, task: Task, sequence: int, seconds: float) -> float | None:
        """Seconds until the next look; None when it was the last."""
        options = task.options
        waits = [MEMORY_EVERY]  # the next task's limits may be nearer than this one's
        if options.memory is not None and remote.rss_bytes() > options.memory:
            self._dispatcher.crew.put_down(remote, "memory")
            return None
        if options.task_timeout is not None:
            if seconds >= options.task_timeout:
                self._put_down(remote)
                return None
            waits.append(options.task_timeout - seconds)
        if options.soft_timeout is not None:
            if seconds < options.soft_timeout:
                waits.append(options.soft_timeout - seconds)
            elif remote.warned != sequence:
                remote.warned = sequence
                remote.page.words[page.SOFT] = sequence
                self._dispatcher.running_engine.signal(remote.number, SOFT_SIGNAL)
        return min(waits)

    def _put_down(self, remote: Remote) -> None:
        # Its stacks first: where it hung is what everybody will want to know.
        remote.doom = "timeout"
        self._dispatcher.running_engine.signal(remote.number, kernel.STACK_SIGNAL)
        self._dispatcher.loop.at(time.monotonic() + STACKS, lambda: self._dispatcher.crew.put_down(remote, "timeout"))
