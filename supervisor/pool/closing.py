"""How a pool ends: closed, abandoned, broken, cut off by a fork; and who is told what then."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from supervisor.pool.latch import Latch
from supervisor.pool.report import PoolBroken
from supervisor.pool.task import Error

if TYPE_CHECKING:
    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.task import Task

LEAVING = 1.0  # seconds workers have to leave at the end


class Closing:
    """Called from any thread where it does not say otherwise."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._owner = os.getpid()
        self.maps: set[object] = set()  # accepted, and not yet submitted to their end
        self.is_closing = self._is_leaving = self.is_broken = False
        self.is_final = False  # nor is the rest of a map taken any more
        self.is_abandoned = False  # nobody can submit anything any more
        self._ended = Latch()

    def accept(self, plan: object, *, is_lazy: bool) -> None:
        """A map; unless it is lazy its tasks are taken whatever is closed by then, until it is `accepted`.

        Raises what `error` is.
        """
        with self._dispatcher.lock:
            if self._dispatcher.error is not None:
                raise self._dispatcher.error
            if not is_lazy:
                self.maps.add(plan)

    def accepted(self, plan: object) -> None:
        """All its tasks were submitted."""
        self.maps.discard(plan)
        if self.is_closing:
            with self._dispatcher.lock:  # the thread sleeps, or looks when it has the lock again
                self._dispatcher.loop.wake()

    def close(self, *, cancel: bool, now: bool) -> None:
        """Take no more tasks; end when those taken are done. cancel: those not begun are cancelled. now: all are."""
        self._dispatcher.error = self._dispatcher.error or RuntimeError("cannot schedule new futures after shutdown")
        self._dispatcher.ask(lambda: self.begin(cancel=cancel, now=now))

    def begin(self, *, cancel: bool, now: bool) -> None:
        """See `close`, under the lock."""
        if self._dispatcher.loop.is_closed:
            return
        self._dispatcher.error = self._dispatcher.error or RuntimeError("cannot schedule new futures after shutdown")
        self.is_closing = True
        if cancel or now:
            self.refuse_all()
            self._call_off(begun=now)
        if self._dispatcher.thread is None:
            self._end()
        self._dispatcher.loop.wake()

    def abandon(self) -> None:
        """Nobody has the pool any more: it ends when its tasks are done."""
        # The garbage collector calls, in any thread, holding any lock: the thread, if there is one, sees to it.
        self.is_abandoned = True
        if self._dispatcher.thread is not None:
            self._dispatcher.loop.wake()
        else:
            self.begin(cancel=False, now=False)

    def wait(self) -> None:
        """Until everything has ended, callbacks included; not at all where that would be for ever."""
        if threading.current_thread() is self._dispatcher.thread or self._dispatcher.is_interrupting():
            return
        self._ended.wait()
        if self._dispatcher.thread is not None:
            self._dispatcher.thread.join()
            self._dispatcher.errands.close()
            self._dispatcher.feeder.close()

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left of it."""
        return self._dispatcher.loop.is_closed

    def disown(self) -> None:
        """In a child forked by the user's program: nothing of this may touch what is the parent's, and nobody waits in vain."""
        # The parent's other threads may have held any lock: none is taken here, and those of ours are made anew.
        self._dispatcher.lock = threading.RLock()
        self._ended.open()
        self._dispatcher.loop.disown()
        self._dispatcher.thread = None
        self._dispatcher.error = error = RuntimeError(
            f"this pool is process {self._owner}'s, and none of a child's that it forked"
        )
        self.refuse_all()
        for task in self._unfinished():
            future = task.chunk.future if task.chunk is not None else task.future
            if future is not None:
                future.disown(error)
        if not self._dispatcher.loop.is_closed:
            self._dispatcher.loop.close()
            if self._dispatcher.engine is not None:
                self._dispatcher.engine.close(within=0.0)
            for remote in list(self._dispatcher.crew.remotes.values()):
                remote.close()

    # -- under the lock ----------------------------------------------------------------------------------------------------

    def strand(self) -> None:
        """The pool was closed, or broke, while tasks were being submitted: nobody will ever look at them."""
        with self._dispatcher.lock:
            self.refuse_rest()

    def refuse_rest(self) -> None:
        """Whatever waits still, or comes back, is told why."""
        for task in self._dispatcher.feeding.take_all():
            self._dispatcher.finish(task, Error(self._dispatcher.error or RuntimeError("the pool has ended")))
        self._dispatcher.loop.wake()

    def collapse(self, error: BaseException) -> None:
        """Nothing is sure any more: everybody who waits is told, and everything ends."""
        self._dispatcher.error = broken = PoolBroken(f"the pool's own thread failed: {error!r}")
        self.refuse_all()
        broken.__cause__ = error
        for task in self._unfinished():
            self._dispatcher.finish(task, Error(broken))
        try:
            self._end()
        finally:
            self._ended.open()

    def _unfinished(self) -> list[Task]:
        given = [
            task
            for remote in self._dispatcher.crew.remotes.values()
            for _, task in remote.outstanding
            if task is not None
        ]
        in_hand = [] if self._dispatcher.aftermath.in_hand is None else [self._dispatcher.aftermath.in_hand]
        return [*given, *in_hand, *self._dispatcher.feeding.waiting(), *self._dispatcher.apart]

    def leave(self) -> None:
        """Everything is done: workers leave in their own time, or with the engine."""
        if not self._is_leaving:
            self._is_leaving = True
            self._dispatcher.crew.close()
            self._dispatcher.loop.at(time.monotonic() + LEAVING, self._end)
        if not self._dispatcher.crew.remotes:
            self._end()

    def _end(self) -> None:
        if self._dispatcher.loop.is_closed:
            return
        self._dispatcher.loop.close()
        self.refuse_all()
        if self._dispatcher.engine is not None:
            self._dispatcher.engine.close(within=LEAVING)
        self._dispatcher.crew.dissolve()
        self._dispatcher.lending.close()
        self.refuse_rest()
        self._dispatcher.errands.leave()
        self._dispatcher.feeder.leave()
        self._ended.open()

    def refuse_all(self) -> None:
        """Take nothing more, whoever brings it."""
        self.is_final = True
        self.maps.clear()

    def _call_off(self, *, begun: bool) -> None:
        """Cancel what is not begun; and what is."""
        remotes = list(self._dispatcher.crew.remotes.values())
        for remote in remotes:
            self._dispatcher.feeding.give_back(remote.take_back())
        # Before anybody is put down: who takes his place would be given what waits.
        for waiting in (*self._dispatcher.feeding.take_all(), *self._dispatcher.apart):
            self.cancelled(waiting)
        for remote in remotes if begun else ():
            if remote.held:
                for _, task in list(remote.outstanding):
                    if task is not None:
                        self.cancelled(task)
                self._dispatcher.crew.put_down(remote, "cancelled")

    def cancelled(self, task: Task) -> None:
        """It is over, and its future knows."""
        future = task.chunk.future if task.chunk is not None else task.future
        self._dispatcher.finish(task)
        if future is not None:
            future.called_off()
