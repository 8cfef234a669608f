"""Which worker gets which task, and when.

A member gets as much as it does in remote.AHEAD_S, so that it need not wait for us. What waits behind a task that turns out to
be long goes to whoever is idle. A task that took all memory is given out only while nothing else runs.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from supervisor.pool.remote import MOST, PLACED
from supervisor.pool.task import Error

if TYPE_CHECKING:
    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.remote import Remote
    from supervisor.pool.task import Task

LEAVING = 5.0  # seconds a worker has to leave when it is no longer needed: nobody waits for it
STEAL = 0.01  # seconds a task must have run before those behind it are given to somebody idle


class Feeding:
    """Called under the pool's lock. max_tasks, max_memory, idle_after: see Pool."""

    def __init__(
        self, dispatcher: Dispatcher, *, max_tasks: int | None, max_memory: int | None, idle_after: float
    ) -> None:
        self._dispatcher = dispatcher
        self._max_tasks, self._max_memory, self._idle_after = max_tasks, max_memory, idle_after
        self.pending: deque[Task] = deque()
        self.free: dict[Remote, None] = {}  # members with nothing to do
        self.alone: deque[Task] = deque()
        self._alone: Task | None = None  # the one of those that is running
        self._resting: set[Task] = set()  # to be tried again later
        self._shrink_at = self._steal_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether tasks may run beside each other now."""
        return not self.alone and self._alone is None

    def waiting(self) -> list[Task]:
        """Every task that no worker has."""
        return [*self.pending, *self.alone, *self._resting]

    def take_all(self) -> list[Task]:
        """They will not be given out."""
        tasks = self.waiting()
        self.pending.clear()
        self.alone.clear()
        self._resting.clear()
        return tasks

    def feed(self, remote: Remote, most: int = MOST) -> None:
        """Give a member what it has room for, and no more than `most`."""
        if not self.is_open:
            self._feed_alone(remote)
            return
        if self._is_too_large(remote):  # else it would go on as long as there is something to do
            tasks = []
            self.give_back(remote.take_back())
        else:
            tasks = self._choose(remote, most)
        if tasks:
            self.free.pop(remote, None)
            self._dispatcher.post.send(remote, tasks)
        elif remote.is_idle:
            self._rest(remote)

    def _choose(self, remote: Remote, most: int) -> list[Task]:
        tasks: list[Task] = []
        pending = self.pending
        room = min(remote.room(), most)
        if self._max_tasks is not None:
            room = min(room, self._max_tasks - remote.told - remote.held)
        while room > 0 and pending:
            task = pending[0]
            if task.is_plain:
                pending.popleft()
                if not task.is_over:
                    tasks.append(task)
                    room -= 1
                continue
            if task.is_single and (tasks or remote.held):
                break
            if (task.place is not None or task.buffers) and remote.placed + len(tasks) >= PLACED:
                break
            pending.popleft()
            if task.is_over or not self._place(task):
                continue
            tasks.append(task)
            room -= 1
            if task.is_single:
                break
        return tasks

    def feed_all(self) -> None:
        """Give everybody who is free something to do."""
        if self._dispatcher.closing.is_broken:
            self._dispatcher.closing.refuse_rest()
            return
        free = list(self.free)
        for at, remote in enumerate(free):
            if not self.pending and not self.alone:
                break
            self.feed(remote, most=-(-len(self.pending) // (len(free) - at)))  # as short as they were: each may be a long one
        if self.free:
            self._plan_to_steal(time.monotonic())

    def give_back(self, tasks: list[Task]) -> None:
        """To be given out before all others."""
        self.pending.extendleft(reversed(tasks))

    def retry(self, task: Task, *, after: float, alone: bool) -> None:
        """Its worker is dead: give it out again after so many seconds, and nothing along with it; once alone, always alone."""
        self.over(task)
        task.alone |= alone
        if after > 0 and not alone:
            self._resting.add(task)
            self._dispatcher.loop.at(time.monotonic() + after, lambda: self._again(task))
        else:
            self._again(task)

    def _again(self, task: Task) -> None:
        self._resting.discard(task)
        if task.is_over:  # cancelled in the meantime
            return
        task.is_single, task.is_plain = True, False
        if task.alone:
            self.alone.append(task)
        else:
            self.pending.appendleft(task)
        self.feed_all()

    def over(self, task: Task) -> None:
        """It is done, or its worker is dead."""
        if self._alone is task:
            self._alone = None

    def _place(self, task: Task) -> bool:
        """Its arguments into a segment, if they need one; False when there is no memory for them."""
        lending = self._dispatcher.lending
        if task.place is None and task.data is not None and lending.is_needed(task.data, task.buffers):
            try:
                task.data, task.place = lending.put(task.data, task.buffers)
            except (MemoryError, OSError) as error:
                self._dispatcher.finish(task, Error(error))
                return False
            task.buffers = ()
        return True

    def _feed_alone(self, remote: Remote) -> None:
        if remote.is_idle:
            self.free[remote] = None
        if self._alone is not None or any(other.held for other in self._dispatcher.crew.members):
            return
        while self.alone:
            task = self.alone.popleft()
            if not task.is_over and self._place(task):
                self._alone = task
                self.free.pop(remote, None)
                self._dispatcher.post.send(remote, [task])
                return
        self.feed_all()

    def _is_too_large(self, remote: Remote) -> bool:
        return self._max_memory is not None and remote.rss_bytes() > self._max_memory

    # -- members with nothing to do --------------------------------------------------------------------------------------

    def _rest(self, remote: Remote) -> None:
        """It is free; or has served its time."""
        crew = self._dispatcher.crew
        if remote.doom or remote not in crew.members:
            return
        too_many = self._max_tasks is not None and remote.told >= self._max_tasks
        if too_many or self._is_too_large(remote):
            crew.retire(remote)
            self._leaves(remote)
            return
        now = remote.idle_since = time.monotonic()
        self.free[remote] = None
        if self._shrink_at <= now and len(crew.members) > crew.least:
            self._shrink_at = now + self._idle_after
            self._dispatcher.loop.at(self._shrink_at, self._shrink)
        self._plan_to_steal(now)

    def _leaves(self, remote: Remote) -> None:
        """It was told to: what it were given now it would never read, and its exit may hang."""
        self.free.pop(remote, None)
        self._dispatcher.loop.at(time.monotonic() + LEAVING, lambda: self._still_there(remote))

    def _still_there(self, remote: Remote) -> None:
        if remote.number in self._dispatcher.crew.remotes:
            self._dispatcher.crew.put_down(remote, "it did not leave")

    def _shrink(self) -> None:
        crew = self._dispatcher.crew
        crew.shrink(self._idle_after)
        for remote in [one for one in self.free if one.doom]:
            self._leaves(remote)
        if len(crew.members) > crew.least:
            self._shrink_at = time.monotonic() + self._idle_after
            self._dispatcher.loop.at(self._shrink_at, self._shrink)

    def _plan_to_steal(self, now: float) -> None:
        if self._steal_at == 0.0 and self.free and any(other.held > 1 for other in self._dispatcher.crew.members):
            self._steal_at = now + STEAL
            self._dispatcher.loop.at(self._steal_at, self._steal)

    def _steal(self) -> None:
        self._steal_at = 0.0
        for remote in list(self._dispatcher.crew.members):
            at = remote.running() if remote.held > 1 and self.free else None
            if at is not None and at[1] > STEAL:
                self.give_back(remote.take_back())
                self.feed_all()
        self._plan_to_steal(time.monotonic())
