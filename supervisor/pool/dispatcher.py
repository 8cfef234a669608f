"""Tasks to workers, results to futures: one thread, one lock, no user code.

    submit ──> feeding ──> a worker's socket ··· its ring ──> results ──> future.deliver
                  ^                                              │
                  └── taken back, returned, tried again <── aftermath: a worker died; who is to blame?

Rules:
- Everything here runs under the lock, nearly all of it in one thread; nothing in it blocks or runs what the user wrote.
- Callers leave a task, or word of what they want, and ring: a signal handler may interrupt them anywhere and raise
  (latch.py), and nothing is half done then. One that calls us in the middle leaves word and waits for nothing.
- A result is taken from the ring before anything is decided about the worker that wrote it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from supervisor.pool.aftermath import Aftermath
from supervisor.pool.closing import Closing
from supervisor.pool.crew import Crew, Welcome
from supervisor.pool.errands import Errands
from supervisor.pool.feeding import Feeding
from supervisor.pool.latch import Latch
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
        self._asked: deque[Callable[[], None]] = deque()
        self.thread: threading.Thread | None = None

    def __repr__(self) -> str:
        state = "closed" if self.loop.is_closed else f"closing ({self.error})" if self.error else "open"
        return f"{state}, {len(self.crew.members)} workers, {len(self.crew.standbys)} standbys, {self.open()} tasks"

    # -- from any thread ---------------------------------------------------------------------------------------------

    def submit(self, task: Task, *, is_accepted: bool = False) -> None:
        """Take a task. Raises what `error` is, unless it belongs to a map that was accepted before."""
        if self.error is not None and (self.closing.is_final or not is_accepted):
            raise self.error
        if self.engine is None and not self.is_interrupting():
            self._start(task)
        self.feeding.pending.append(task)
        self.loop.wake()
        if self.loop.is_closed or self.closing.is_broken:
            self.closing.strand()

    def is_interrupting(self) -> bool:
        """Whether this thread is in the middle of something here already."""
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 there is no other way to know

    def submit_singly(self, task: Task, *, is_accepted: bool = False) -> None:
        """Take a chunk whose items cannot be pickled together: each by itself, those that can are done. Raises as `submit`."""
        if self.engine is None and not self.is_interrupting():
            self._start(task)
        with self.lock:
            if self.error is not None and (self.closing.is_final or not is_accepted):
                raise self.error
            self.apart.add(task)
        self.later(lambda: self.aftermath.pickle_singly(task))

    def _start(self, task: Task) -> None:
        with self.lock:
            if self.engine is None and self.error is None:
                self._begin(task)

    def _begin(self, task: Task) -> None:
        engine = self._make_engine(self.office, task.function.is_of_main)
        try:
            engine.start()
            thread = threading.Thread(target=self._run, name="ninelives-pool", daemon=True)
            thread.start()
            self.engine, self.thread = engine, thread
        except BaseException:  # raised again; a thread that runs already finds that it is not ours
            self.engine = self.thread = None
            engine.close(within=0.0)
            raise

    def ask(self, act: Callable[[], None]) -> None:
        """Have the thread do it, under the lock, and wait until it has; where we interrupt ourselves it is done later.

        Who waits may be interrupted: it is done all the same.
        """
        if self.thread in (None, threading.current_thread()) or self.loop.is_closed:
            with self.lock:
                act()
            return
        done = Latch()

        def answer() -> None:
            try:
                act()
            finally:
                done.open()

        self._asked.append(answer)
        self.loop.wake()
        if self.loop.is_closed:  # perhaps since before it could be seen that we ask
            with self.lock:
                self._answer()
        if not self.is_interrupting():
            done.wait()

    def _answer(self) -> None:
        while self._asked:
            self._asked.popleft()()

    def cancel(self, task: Task) -> None:
        """Take it back, and tell its future; one that runs loses its worker. Nothing when it is too late, or too early."""
        self.ask(lambda: self._cancel(task, running=True))

    def call_off(self, tasks: list[Task]) -> None:
        """Take back those that do not run; nobody is told."""

        def act() -> None:
            for task in tasks:
                self._cancel(task, running=False)

        self.ask(act)

    def _cancel(self, task: Task, *, running: bool) -> None:
        if task.is_over or self.loop.is_closed:
            return
        if task.where is not None:
            remote, sequence = task.where
            at = remote.running()
            if at is None or at[0] != sequence:
                self.feeding.give_back(remote.take_back())
        if task.where is not None:
            if not running:
                return
            self.crew.put_down(remote, "cancelled")
        if running:
            self.closing.cancelled(task)
        else:
            self.finish(task)
        self.feeding.feed_all()

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
            if self.thread is not threading.current_thread():
                return  # who started it was interrupted
            try:
                self.crew.fill()
                self._serve()
            except BaseException as error:  # noqa: BLE001 nothing of ours may raise; if it does, nobody may wait for ever
                self.closing.collapse(error)
            self._answer()

    def _serve(self) -> None:
        while not self.loop.is_closed:
            heard = self.loop.turn(UNHEARD if self._held() else LONGEST, self._must_stay)
            if self.loop.is_closed:
                return
            self._answer()
            if self.loop.is_closed:
                return
            if not heard:
                self.results.look(rest=True)
            if self.closing.is_abandoned and not self.closing.is_closing:
                self.closing.begin(cancel=False, now=False)
            if self.feeding.pending:
                self.feed_waiting()
            self.post.tidy()
            if self.closing.is_closing and not self.open():
                self.closing.leave()

    def _must_stay(self) -> bool:
        """Whether something happened while the thread held the lock, too late for it to see."""
        if self._asked or (self.closing.is_abandoned and not self.closing.is_closing):
            return True
        # Not whenever something waits: while workers are born, or a task is alone, nothing can be done but wait.
        feeding = self.feeding
        backlog = len(feeding.pending)
        return bool(backlog) and (bool(feeding.free and feeding.is_open) or self.crew.is_short(backlog))

    def feed_waiting(self) -> None:
        """Somebody left tasks behind."""
        backlog = len(self.feeding.pending) - len(self.feeding.free)
        if backlog > 0 and self.crew.wanted < self.crew.most:  # first: else one worker may be given all of them
            self.crew.grow(backlog)
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
