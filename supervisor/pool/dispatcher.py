"""Tasks to workers, results to futures: one thread, one lock, no user code.

    submit ──> feeding ──> a worker's socket ··· its ring ──> results ──> future.deliver
                  ^                                              │
                  └── taken back, returned, tried again <── aftermath: a worker died; who is to blame?

Rules:
- Everything here runs under the lock, in whichever thread; nothing in it blocks or runs what the user wrote.
- But a signal handler or a `__del__` may interrupt it anywhere, and call us: what finds the lock its own already does no more
  than leave word.
- A caller who finds a worker free sends the task himself: the fewer threads between a task and its worker the better.
- A result is taken from the ring before anything is decided about the worker that wrote it.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from supervisor.pool.aftermath import Aftermath
from supervisor.pool.crew import Crew, Welcome
from supervisor.pool.errands import Errands
from supervisor.pool.feeding import Feeding
from supervisor.pool.lending import Lending
from supervisor.pool.loop import LONGEST, Loop
from supervisor.pool.parcel import unpack_error
from supervisor.pool.remote import Unsent
from supervisor.pool.report import PoolBroken
from supervisor.pool.results import Results
from supervisor.pool.task import Error
from supervisor.pool.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.ending import Ending
    from supervisor.pool.engine import Engine
    from supervisor.pool.remote import Remote
    from supervisor.pool.task import Function, Placed, Task

FLOOD = 0.0001  # seconds; tasks that take less, and follow one another faster, are sent together
KNOWN = 16  # functions a new standby loads, those used first by somebody last
LOOK = 64  # tasks a caller leaves behind before he looks himself whether a worker has room
UNHEARD = 1.0  # seconds after which rings are read though nobody rang
LEAVING = 1.0  # seconds workers have to leave at the end


class Dispatcher:
    """See the head of this file. `error`: what submit raises once the pool is closed or broken."""

    def __init__(
        self,
        *,
        most: int,
        least: int,
        standby: int,
        engine: Callable[[Dispatcher, bool], Engine],
        welcome: Welcome,
        max_tasks: int | None,
        max_memory: int | None,
        idle_after: float,
    ) -> None:
        self.lock = threading.RLock()
        self.loop = Loop(self.lock)
        self.lending = Lending()
        self.errands, self.feeder = Errands("ninelives-pool-errands"), Errands("ninelives-pool-feeder")
        self.error: Exception | None = None
        self.gone: deque[Function] = deque()  # functions nobody needs any more; any thread appends
        self.unshared: deque[int] = (
            deque()
        )  # keys of shared objects nobody has a handle to any more; any thread appends
        self._make_engine = engine
        self._engine: Engine | None = None
        self.crew = Crew(self, most=most, least=least, standby=standby, welcome=welcome)
        self.feeding = Feeding(self, max_tasks=max_tasks, max_memory=max_memory, idle_after=idle_after)
        self.results, self.aftermath, self.watch_over = Results(self), Aftermath(self), Watch(self)
        self._known: weakref.WeakValueDictionary[int, Function] = weakref.WeakValueDictionary()
        self.apart: set[Task] = set()  # chunks whose items are being pickled one by one
        self._offered_at = 0.0
        self._is_asked = False  # the thread was asked to send what waits
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()
        self.maps: set[object] = set()  # accepted, and not yet submitted to their end
        self._is_closing = self._is_leaving = self.is_broken = False
        self._is_final = False  # nor is the rest of a map taken any more
        self._is_abandoned = False  # nobody can submit anything any more
        self._ended = threading.Event()

    def __repr__(self) -> str:
        state = "closed" if self.loop.is_closed else f"closing ({self.error})" if self.error else "open"
        return f"{state}, {len(self.crew.members)} workers, {len(self.crew.standbys)} standbys, {self._open()} tasks"

    # -- from any thread ---------------------------------------------------------------------------------------------

    def submit(self, task: Task, *, is_accepted: bool = False) -> None:
        """Take a task. Raises what `error` is, unless it belongs to a map that was accepted before."""
        if self.error is not None and (self._is_final or not is_accepted):
            raise self.error
        is_interrupting = self._is_interrupting()
        if self._thread is None and not is_interrupting:
            self._start(task)
        # Not under the lock, which the thread may hold while it waits for the interpreter that we have: it looks once more
        # when it has let go of the lock.
        self.feeding.pending.append(task)
        if is_interrupting:
            self.loop.wake()
        elif self.lock.acquire(blocking=False):
            try:
                self._offer()
            finally:
                self.lock.release()
        if self.loop.is_closed or self.is_broken:
            self._strand()

    def _is_interrupting(self) -> bool:
        """Whether this thread is in the middle of something here already."""
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 there is no other way to know

    def _offer(self) -> None:
        """See who can have what was added."""
        if self.loop.is_closed:
            return
        feeding = self.feeding
        pending = feeding.pending
        if feeding.free and feeding.is_open and pending:
            remote = next(reversed(feeding.free))
            now = time.monotonic()
            is_flood = now - self._offered_at < FLOOD and (remote.mean_s or FLOOD) < FLOOD
            self._offered_at = now
            if not is_flood or len(pending) >= LOOK:
                feeding.feed_all()
            elif not self._is_asked:  # many small tasks, one after the other: they go out together
                self._is_asked = True
                self.loop.wake()
        elif self.crew.wanted < self.crew.most:
            self.crew.grow(len(pending))
        elif not len(pending) % LOOK:
            self.results.look(rest=False)

    def submit_singly(self, task: Task, *, is_accepted: bool = False) -> None:
        """As `submit`, a chunk that cannot be pickled as a whole."""
        if self._thread is None:
            self._start(task)
        with self.lock:
            if self.error is not None and (self._is_final or not is_accepted):
                raise self.error
            self.apart.add(task)
        if self._is_interrupting():
            self.later(lambda: self.aftermath.pickle_singly(task))
        else:
            self.aftermath.pickle_singly(task)

    def accept(self, plan: object, *, is_lazy: bool) -> None:
        """A map; unless it is lazy its tasks are taken whatever is closed by then, until it is `accepted`.

        Raises what `error` is.
        """
        with self.lock:
            if self.error is not None:
                raise self.error
            if not is_lazy:
                self.maps.add(plan)

    def accepted(self, plan: object) -> None:
        """All its tasks were submitted."""
        self.maps.discard(plan)
        if self._is_closing:
            with self.lock:
                self.loop.wake()

    def _start(self, task: Task) -> None:
        with self.lock:
            if self._thread is None and self.error is None:
                self._engine = self._make_engine(self, task.function.is_of_main)
                self._engine.start()
                self._thread = threading.Thread(target=self._run, name="ninelives-pool", daemon=True)
                self._thread.start()
                self.crew.fill()

    def _strand(self) -> None:
        """The pool was closed, or broke, while tasks were being submitted: nobody will ever look at them."""
        with self.lock:
            self.refuse_rest()

    def refuse_rest(self) -> None:
        """Whatever waits still, or comes back, is told why."""
        for task in self.feeding.take_all():
            self.finish(task, Error(self.error or RuntimeError("the pool has ended")))
        self.loop.wake()

    def cancel(self, task: Task, *, running: bool = True) -> bool:
        """Take it back; one that runs loses its worker (unless `running` is False). False when it is too late, or too early."""
        if self._is_interrupting():
            if task.future is not None:
                self.later(task.future.cancel)
            return False
        with self.lock:
            if task.is_over or self.loop.is_closed:
                return False
            if task.where is not None:
                remote, sequence = task.where
                at = remote.running()
                if at is None or at[0] != sequence:
                    self.feeding.give_back(remote.take_back())
            if task.where is not None:
                if not running:
                    return False
                self.crew.put_down(remote, "cancelled")
            self.finish(task)
            self.feeding.feed_all()
            self.loop.wake()
            return True

    def is_running(self, task: Task) -> bool:
        """Whether a worker has begun it."""
        with self.lock:
            at = task.where[0].running() if task.where is not None else None
            return at is not None and task.where is not None and at[0] == task.where[1]

    def later(self, errand: Callable[[], object]) -> None:
        """Run it where it may take its time."""
        self.errands.add(errand)

    def close(self, *, cancel: bool, now: bool) -> None:
        """Take no more tasks; end when those taken are done. cancel: those not begun are cancelled. now: all are."""
        self.error = self.error or RuntimeError("cannot schedule new futures after shutdown")
        if self._is_interrupting():
            self.later(lambda: self.close(cancel=cancel, now=now))
            return
        with self.lock:
            self._close(cancel=cancel, now=now)

    def _close(self, *, cancel: bool, now: bool) -> None:
        if self.loop.is_closed:
            return
        self.error = self.error or RuntimeError("cannot schedule new futures after shutdown")
        self._is_closing = True
        if cancel or now:
            self._refuse_all()
            self._call_off(begun=now)
        if self._thread is None:
            self._end()
        self.loop.wake()

    def abandon(self) -> None:
        """Nobody has the pool any more: it ends when its tasks are done."""
        # The garbage collector calls, in any thread, holding any lock. If this one is not free the thread will look before it
        # sleeps; or it sleeps, and who has it wants to cancel, and wakes it.
        self._is_abandoned = True
        if not self._is_interrupting() and self.lock.acquire(blocking=False):
            try:
                self._close(cancel=False, now=False)
            finally:
                self.lock.release()

    def wait(self) -> None:
        """Until everything has ended, callbacks included; not at all where that would be for ever."""
        if threading.current_thread() is self._thread or self._is_interrupting():
            return
        self._ended.wait()
        if self._thread is not None:
            self._thread.join()
            self.errands.close()
            self.feeder.close()

    def disown(self) -> None:
        """In a child forked by the user's program: nothing of this may touch what is the parent's, and nobody waits in vain."""
        # The parent's other threads may have held any lock: none is taken here, and those of ours are made anew.
        self.lock = threading.RLock()
        self._ended = threading.Event()
        self._ended.set()
        self._thread = None
        self.error = error = RuntimeError(f"this pool is process {self._owner}'s, and none of a child's that it forked")
        self._refuse_all()
        for task in self._unfinished():
            future = task.chunk.future if task.chunk is not None else task.future
            if future is not None:
                future.disown(error)
        if not self.loop.is_closed:
            self.loop.close()
            if self._engine is not None:
                self._engine.close(within=0.0)
            for remote in list(self.crew.remotes.values()):
                remote.close()

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left of it."""
        return self.loop.is_closed

    @property
    def engine(self) -> Engine:
        """Where workers come from; there is one from the first task on."""
        assert self._engine is not None
        return self._engine

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with self.lock:
            try:
                self._serve()
            except BaseException as error:  # noqa: BLE001 nothing of ours may raise; if it does, nobody may wait for ever
                self._collapse(error)

    def _collapse(self, error: BaseException) -> None:
        """Nothing is sure any more: everybody who waits is told, and everything ends."""
        self.error = broken = PoolBroken(f"the pool's own thread failed: {error!r}")
        self._refuse_all()
        broken.__cause__ = error
        for task in self._unfinished():
            self.finish(task, Error(broken))
        try:
            self._end()
        finally:
            self._ended.set()

    def _unfinished(self) -> list[Task]:
        given = [task for remote in self.crew.remotes.values() for _, task in remote.outstanding if task is not None]
        return [*given, *self.feeding.waiting(), *self.apart]

    def _serve(self) -> None:
        while not self.loop.is_closed:
            heard = self.loop.turn(UNHEARD if self._held() else LONGEST, self._must_stay)
            if self.loop.is_closed:
                return
            if not heard:
                self.results.look(rest=True)
            self._is_asked = False
            if self._is_abandoned and not self._is_closing:
                self._close(cancel=False, now=False)
            if self.feeding.pending:
                self.feed_waiting()
            self._tidy()
            if self._is_closing and not self._open():
                self._leave()

    def _must_stay(self) -> bool:
        """Whether something happened while the thread held the lock, too late for it to see."""
        if self._is_abandoned and not self._is_closing:
            return True
        return bool(self.feeding.pending) and (bool(self.feeding.free) or self.crew.wanted < self.crew.most)

    def feed_waiting(self) -> None:
        """Somebody left tasks behind."""
        self.feeding.feed_all()
        if self.feeding.pending and self.crew.wanted < self.crew.most:
            self.crew.grow(len(self.feeding.pending))

    def _held(self) -> bool:
        return any(remote.held for remote in self.crew.members)

    def _open(self) -> int:
        """Tasks that are not over."""
        return (
            len(self.maps)
            + len(self.feeding.waiting())
            + len(self.apart)
            + sum(remote.held for remote in self.crew.remotes.values())
        )

    def _leave(self) -> None:
        """Everything is done: workers leave in their own time, or with the engine."""
        if not self._is_leaving:
            self._is_leaving = True
            self.crew.close()
            self.loop.at(time.monotonic() + LEAVING, self._end)
        if not self.crew.remotes:
            self._end()

    def _end(self) -> None:
        if self.loop.is_closed:
            return
        self.loop.close()
        self._refuse_all()
        if self._engine is not None:
            self._engine.close(within=LEAVING)
        self.crew.dissolve()
        self.lending.close()
        while self.feeding.pending:
            self.finish(self.feeding.pending.popleft(), Error(self.error or RuntimeError("the pool has ended")))
        self.errands.leave()
        self.feeder.leave()
        self._ended.set()

    def _tidy(self) -> None:
        """Tell workers what nobody will need again."""
        while self.gone:
            function = self.gone.popleft()
            if function.place is not None:
                self.lending.done(function.place.segment)
            self._tell_all(function.number, [], [])
        if self.lending.gone:
            segments, self.lending.gone = self.lending.gone, []
            self._tell_all(0, segments, [])
        while self.unshared:
            self._tell_all(0, [], [self.unshared.popleft()])

    def _tell_all(self, function: int, segments: list[int], shared: list[int]) -> None:
        for remote in self.crew.remotes.values():
            messages = remote.forget(function, segments, shared)
            if messages and not remote.is_deaf:
                self._try(remote, lambda remote=remote, messages=messages: remote.say(*messages))  # type: ignore[misc]

    def _try(self, remote: Remote, send: Callable[[], None]) -> None:
        """Send; a worker that is gone is heard of in other ways."""
        try:
            send()
        except Unsent:
            raise
        except OSError:
            return
        if remote.is_behind:
            self.loop.watch_both_ways(remote.sock.fileno(), both=True)

    # -- tasks -------------------------------------------------------------------------------------------------------

    def send(self, remote: Remote, tasks: list[Task]) -> None:
        """Give a worker tasks."""
        try:
            self._try(remote, lambda: remote.give(tasks, self.lending))
        except Unsent as error:
            self._unsent(remote, tasks, error)
            return
        for task in tasks:
            if task.options.is_watched:
                self.watch_over.begin(remote)
                break

    def _unsent(self, remote: Remote, tasks: list[Task], error: Unsent) -> None:
        """Those that need descriptors fail; the others are tried once more."""
        needy = [task for task in tasks if task.needs_descriptors]
        self.feeding.give_back([task for task in tasks if task not in needy])
        for task in needy:
            self.finish(task, Error(OSError(error.errno, f"{error.strerror}: the task could not be sent to a worker")))
        self.feeding.feed(remote)

    def finish(self, task: Task, sealed: bytes | Error | Placed | None = None) -> None:
        """It is over; None: cancelled or replaced, nobody is to be told."""
        if task.is_over:
            return
        task.is_over = True
        self.apart.discard(task)
        if task.alone:
            self.feeding.over(task)
        if task.place is not None:
            self.lending.done(task.place.segment)
        if sealed is None:
            return
        if task.chunk is not None:
            task.chunk.add(task.first, task.count, sealed)
        elif task.future is not None:
            task.future.deliver(sealed)

    def _refuse_all(self) -> None:
        """Take nothing more, whoever brings it."""
        self._is_final = True
        self.maps.clear()

    def _call_off(self, *, begun: bool) -> None:
        """Cancel what is not begun; and what is."""
        for remote in list(self.crew.remotes.values()):
            self.feeding.give_back(remote.take_back())
            if begun and remote.held:
                for _, task in list(remote.outstanding):
                    if task is not None:
                        self._cancelled(task)
                self.crew.put_down(remote, "cancelled")
        for task in (*self.feeding.take_all(), *self.apart):
            self._cancelled(task)

    def _cancelled(self, task: Task) -> None:
        future = task.chunk.future if task.chunk is not None else task.future
        self.finish(task)
        if future is not None:
            future.called_off()

    # -- the crew and the engine tell ------------------------------------------------------------------------------------

    def hired(self, remote: Remote) -> None:
        """It may be given tasks."""
        self.feeding.feed(remote)

    def stands_by(self, remote: Remote) -> None:
        """It loads, while nobody waits for it, what others have run and lived."""
        self._warm(remote, list(self._known.values())[-KNOWN:])

    def learn(self, function: Function) -> None:
        """A worker has run it: standbys may load it as well."""
        function.is_known = True
        if function.place is None and not function.shared:
            self._known[function.number] = function
            for remote in self.crew.standbys:
                self._warm(remote, [function])

    def _warm(self, remote: Remote, functions: list[Function]) -> None:
        self._try(remote, lambda: remote.warm(functions))

    def buried(self, remote: Remote, ending: Ending | str | None) -> None:
        """It is dead: its last results count, then somebody is to blame, or nobody."""
        self.feeding.free.pop(remote, None)
        self.results.last(remote)
        self.lending.bury(remote.number)
        self.aftermath.of(remote, ending)

    def broken(self, why: str, error: bytes | None) -> None:
        """No worker can be had: everybody who waits is told."""
        broken = PoolBroken(why)
        if error is not None:
            broken.__cause__ = unpack_error(error)
        self.error = broken
        self._is_closing = True
        self._refuse_all()
        self.is_broken = True
        self.refuse_rest()

    def listen(self, remote: Remote) -> None:
        """Hear what it says."""
        self.loop.watch(remote.sock.fileno(), lambda: self.results.hear(remote))
        if remote.is_behind:  # it was greeted with more than its socket takes
            self.loop.watch_both_ways(remote.sock.fileno(), both=True)

    def ignore(self, remote: Remote) -> None:
        """Hear it no more."""
        self.loop.unwatch(remote.sock.fileno())

    def at(self, when: float, then: Callable[[], None]) -> None:
        """Call at this time of the monotonic clock."""
        self.loop.at(when, then)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call whenever there is something to read."""
        self.loop.watch(fd, ready)

    def unwatch(self, fd: int) -> None:
        """The contrary."""
        self.loop.unwatch(fd)

    def born(self, number: int, pid: int) -> None:
        """A worker's process is there."""
        remote = self.crew.remotes.get(number)
        if remote is not None:
            remote.pid = pid

    def unborn(self, number: int, why: str) -> None:
        """A worker never lived."""
        self.crew.ended(number, why)

    def ended(self, number: int, ending: Ending) -> None:
        """A worker was reaped."""
        self.crew.ended(number, ending)

    def stopped(self, number: int, pid: int) -> None:
        """A worker was stopped by a signal, or a process it has started."""
        remote = self.crew.remotes.get(number)
        if remote is not None and remote.pid == pid:
            self.watch_over.stopped(remote)

    def lost(self) -> None:
        """The root is dead, and with it every worker."""
        for number in list(self.crew.remotes):
            self.crew.ended(number, None)
