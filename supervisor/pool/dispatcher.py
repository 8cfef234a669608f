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

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from supervisor.pool.aftermath import Aftermath
from supervisor.pool.closing import Closing
from supervisor.pool.crew import Crew, Welcome
from supervisor.pool.errands import Errands
from supervisor.pool.feeding import Feeding
from supervisor.pool.lending import Lending
from supervisor.pool.loop import LONGEST, Loop
from supervisor.pool.office import Office
from supervisor.pool.post import Post
from supervisor.pool.results import Results
from supervisor.pool.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.engine import Engine
    from supervisor.pool.task import Error, Function, Placed, Task

FLOOD = 0.0001  # seconds; tasks that take less, and follow one another faster, are sent together
LOOK = 64  # tasks a caller leaves behind before he looks himself whether a worker has room
UNHEARD = 1.0  # seconds after which rings are read though nobody rang


class Dispatcher:
    """See the head of this file. `error`: what submit raises once the pool is closed or broken."""

    def __init__(
        self,
        *,
        most: int,
        least: int,
        standby: int,
        engine: Callable[[Office, bool], Engine],
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
        self.engine: Engine | None = None
        self.office, self.post, self.closing = Office(self), Post(self), Closing(self)
        self.crew = Crew(self.office, most=most, least=least, standby=standby, welcome=welcome)
        self.feeding = Feeding(self, max_tasks=max_tasks, max_memory=max_memory, idle_after=idle_after)
        self.results, self.aftermath, self.watch_over = Results(self), Aftermath(self), Watch(self)
        self.apart: set[Task] = set()  # chunks whose items are being pickled one by one
        self._offered_at = 0.0
        self._is_asked = False  # the thread was asked to send what waits
        self.thread: threading.Thread | None = None

    def __repr__(self) -> str:
        state = "closed" if self.loop.is_closed else f"closing ({self.error})" if self.error else "open"
        return f"{state}, {len(self.crew.members)} workers, {len(self.crew.standbys)} standbys, {self.open()} tasks"

    # -- from any thread ---------------------------------------------------------------------------------------------

    def submit(self, task: Task, *, is_accepted: bool = False) -> None:
        """Take a task. Raises what `error` is, unless it belongs to a map that was accepted before."""
        if self.error is not None and (self.closing.is_final or not is_accepted):
            raise self.error
        is_interrupting = self.is_interrupting()
        if self.thread is None and not is_interrupting:
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
        if self.loop.is_closed or self.closing.is_broken:
            self.closing.strand()

    def is_interrupting(self) -> bool:
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
        if self.thread is None:
            self._start(task)
        with self.lock:
            if self.error is not None and (self.closing.is_final or not is_accepted):
                raise self.error
            self.apart.add(task)
        if self.is_interrupting():
            self.later(lambda: self.aftermath.pickle_singly(task))
        else:
            self.aftermath.pickle_singly(task)

    def _start(self, task: Task) -> None:
        with self.lock:
            if self.thread is None and self.error is None:
                self.engine = self._make_engine(self.office, task.function.is_of_main)
                self.engine.start()
                self.thread = threading.Thread(target=self._run, name="ninelives-pool", daemon=True)
                self.thread.start()
                self.crew.fill()

    def cancel(self, task: Task, *, running: bool = True) -> bool:
        """Take it back; one that runs loses its worker (unless `running` is False). False when it is too late, or too early."""
        if self.is_interrupting():
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

    @property
    def running_engine(self) -> Engine:
        """The engine, asked for by what cannot happen without one."""
        assert self.engine is not None
        return self.engine

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with self.lock:
            try:
                self._serve()
            except BaseException as error:  # noqa: BLE001 nothing of ours may raise; if it does, nobody may wait for ever
                self.closing.collapse(error)

    def _serve(self) -> None:
        while not self.loop.is_closed:
            heard = self.loop.turn(UNHEARD if self._held() else LONGEST, self._must_stay)
            if self.loop.is_closed:
                return
            if not heard:
                self.results.look(rest=True)
            self._is_asked = False
            if self.closing.is_abandoned and not self.closing.is_closing:
                self.closing.begin(cancel=False, now=False)
            if self.feeding.pending:
                self.feed_waiting()
            self.post.tidy()
            if self.closing.is_closing and not self.open():
                self.closing.leave()

    def _must_stay(self) -> bool:
        """Whether something happened while the thread held the lock, too late for it to see."""
        if self.closing.is_abandoned and not self.closing.is_closing:
            return True
        # Not whenever something waits: while workers are born, or a task is alone, nothing can be done but wait.
        feeding = self.feeding
        backlog = len(feeding.pending)
        return bool(backlog) and (bool(feeding.free and feeding.is_open) or self.crew.is_short(backlog))

    def feed_waiting(self) -> None:
        """Somebody left tasks behind."""
        self.feeding.feed_all()
        if self.feeding.pending and self.crew.wanted < self.crew.most:
            self.crew.grow(len(self.feeding.pending))

    def _held(self) -> bool:
        return any(remote.held for remote in self.crew.members)

    def open(self) -> int:
        """Tasks that are not over."""
        return (
            len(self.closing.maps)
            + len(self.feeding.waiting())
            + len(self.apart)
            + sum(remote.held for remote in self.crew.remotes.values())
        )

    # -- tasks -------------------------------------------------------------------------------------------------------

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
