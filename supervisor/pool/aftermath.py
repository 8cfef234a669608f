"""After a worker's death: who is to blame, what is tried again, what is given up.

The page says what the worker was at. That task has had an attempt, the others it was given have not: they go back to the
front without blame. Of a chunk only the item it was at is blamed; the rest goes on in up to two pieces. Where the page cannot
tell one item from another (arguments and results are pickled together) every item is tried by itself.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from supervisor.pool import oom, page, retry
from supervisor.pool.ending import Ending
from supervisor.pool.parcel import pack
from supervisor.pool.report import Attempt
from supervisor.pool.retry import Cause
from supervisor.pool.share import shared_in
from supervisor.pool.task import Error, Task

if TYPE_CHECKING:
    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.remote import Remote

RETURNS = 5  # deaths of fresh workers a task may be first in line at with nobody to blame, before it is blamed itself
STACK = 8192  # bytes of a worker's stacks that are kept
_OURS = ("retired", "cancelled")  # dooms that nothing in the worker has brought about


class Aftermath:
    """Called under the pool's lock."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._kills = oom.Kills()
        self.in_hand: Task | None = None  # nobody else has it: should anything fail here, it is to be told

    def of(self, remote: Remote, ending: Ending | str | None) -> None:
        """A worker is dead, its last results are told."""
        culprit, others = remote.left()
        if culprit is None and others and not remote.told and remote.doom not in _OURS:
            others[0].returned += 1
            if others[0].returned >= RETURNS:
                culprit = others.pop(0)
        self._dispatcher.feeding.give_back(others)
        self._dispatcher.feeding.feed_all()  # before anything is found out: they wait for nothing but a worker
        if culprit is not None and not culprit.is_over:
            self._blame(culprit, remote, ending)
        self.in_hand = None
        self._dispatcher.feeding.feed_all()

    def _blame(self, task: Task, remote: Remote, ending: Ending | str | None) -> None:
        self.in_hand = task
        words = remote.page.words
        phase = words[page.PHASE] if words[page.PHASE] < len(page.PHASES) else page.IDLE
        cause, text = self._cause(remote, ending)
        attempt = Attempt(
            pid=remote.pid,
            cause=text,
            phase=page.PHASES[phase],
            seconds=max(0.0, (time.monotonic_ns() - words[page.BEGAN_NS]) / 1e9) if phase != page.IDLE else 0.0,
            rss_bytes=ending.maxrss_bytes if isinstance(ending, Ending) else None,
            stack=self._dispatcher.running_engine.stack(remote.number)[-STACK:],
        )
        if task.chunk is not None and task.count > 1:
            item = words[page.ITEM] - (task.span[0] if task.span is not None else 0)
            if phase != page.RUNNING or not 0 <= item < task.count:
                self.split(task)
                return
            task = self.in_hand = self._single_out(task, item)
        task.attempts += (attempt,)
        if retry.again(task, cause):
            alone = cause is Cause.MEMORY
            self._dispatcher.feeding.retry(task, after=retry.delay(len(task.attempts)), alone=alone)
        else:
            self._dispatcher.finish(task, Error(retry.failure(task, cause)))

    def _cause(self, remote: Remote, ending: Ending | str | None) -> tuple[Cause, str]:
        if remote.doom == "timeout":
            return Cause.TIMEOUT, "put down: it ran longer than its time limit"
        if remote.doom == "memory":
            return Cause.MEMORY, "put down: it held more than its limit of memory"
        if remote.doom:
            return Cause.CRASH, f"put down: {remote.doom}"
        if ending is None:
            return Cause.CRASH, "killed together with the root of the pool"
        if isinstance(ending, Ending) and ending.signal == signal.SIGKILL and self._kills.claim():
            return Cause.MEMORY, "killed by the kernel, which was out of memory"
        return Cause.CRASH, str(ending)

    # -- chunks ------------------------------------------------------------------------------------------------------

    def _single_out(self, task: Task, item: int) -> Task:
        """One item of a chunk, as a task of its own; what lies before and behind it goes back."""
        one = self._piece(task, item, item + 1)
        innocent = [self._piece(task, *span) for span in ((0, item), (item + 1, task.count)) if span[1] > span[0]]
        self._dispatcher.finish(task)
        self._dispatcher.feeding.give_back(innocent)
        return one

    def _piece(self, task: Task, first: int, end: int) -> Task:
        start = task.span[0] if task.span is not None else 0
        piece = task.piece(task.first + first, end - first)
        piece.span = (start + first, start + end)
        if piece.place is not None:
            self._dispatcher.lending.want(piece.place.segment)
        return piece

    def split(self, task: Task) -> None:
        """Every item by itself, pickled anew, for together they cannot be told apart."""
        self._dispatcher.apart.add(task)
        self._dispatcher.later(lambda: self.pickle_singly(task))

    def pickle_singly(self, task: Task) -> None:
        """See `split`. Not under the lock: pickling is the user's code."""
        chunk = task.chunk
        assert chunk is not None
        parts: list[Task] = []
        failed: list[tuple[Task, BaseException]] = []
        for first in range(task.first, task.first + task.count):
            part = task.piece(first, 1)
            part.place, part.span = None, None
            try:
                parcel = pack([chunk.items[first]])
                part.data, part.buffers, part.shared = parcel.data, parcel.buffers, tuple(shared_in(parcel))
            except BaseException as reason:  # noqa: BLE001 the item's own failure
                failed.append((part, reason))
            parts.append(part)
            part.is_single = True
        with self._dispatcher.lock:
            self._dispatcher.apart.discard(task)
            if task.is_over:
                return
            self._dispatcher.finish(task)
            for part, error in failed:
                self._dispatcher.finish(part, Error(error))
            self._dispatcher.feeding.give_back([part for part in parts if not part.is_over])
            self._dispatcher.feeding.feed_all()
            self._dispatcher.loop.wake()  # it may sleep: there may be no worker yet, or this was the last of a closing pool
