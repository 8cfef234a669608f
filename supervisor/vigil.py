"""Silence: which workers have not beaten within their time, found without reading a pipe for every beat.

Beats carry their own stamps, so a pipe is read only when its worker's deadline comes near, and then everybody's who is
near it too: a beat costs the supervisor nothing. Silent is said only after the pipe was read, never before the deadline,
and never because we were late, the machine slept (CLOCK_MONOTONIC stands still then) or the worker got no CPU.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from supervisor import kernel
from workers.wire import Message, Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.process import Process
    from supervisor.processes import Processes

COALESCED = 0.02  # seconds by which a heart may hold a beat back
NEAR = 0.2  # the last part of beat_within in which a pipe is read along with others
SOON, EARLY = 1.0, 0.3  # after so many seconds, or this part of beat_within, an adopted worker should have been heard
DRAIN_EVERY = 10.0  # seconds after which a pipe is read whatever its deadline: 64 KiB hold 18 s of the densest beats
AT_ONCE = 100  # pipes read in one go, so that the loop is never held for long
NEARLY_FULL = 60_000  # bytes in a pipe that may have refused newer beats


class Watch:
    """One worker's silence. `hung(why, late_s, state)` is called once; `starved(silent_s, waited_s)` before, if it was."""

    def __init__(
        self,
        process: Process,
        beat_within: float,
        hung: Callable[[str, float, str], None],
        starved: Callable[[float, float], None],
    ) -> None:
        self.process, self.beat_within = process, beat_within
        self.hung, self.starved = hung, starved
        self.last = time.monotonic()
        self.busy_until = 0.0
        self.pardon = 0.0  # seconds given once more, after starvation
        self.look_at = math.inf  # an early look, by which an adopted one should have been heard
        self.unheard: Callable[[], None] = lambda: None  # it was not
        self.adopted_at = self.last
        self.progress: float | None = None
        self.status: str | None = None
        self.active = True
        self._looks: deque[tuple[float, float, float]] = deque(maxlen=2)  # when; seconds on a CPU, and waiting for one
        self.sample()

    def heard(self, message: Message | Violation) -> None:
        """Take note of a beat."""
        if isinstance(message, Violation):
            return
        now = time.monotonic()
        stamp = min(message.fields.get("at", now), now)  # a stamp from the future is no credit
        if message.kind in ("beat", "ready", "busy"):
            if stamp > self.last:
                self.last, self.pardon = stamp, 0.0
            if message.kind == "busy":
                self.busy_until = max(self.busy_until, stamp + message.fields["for"])
            self.progress = message.fields.get("progress", self.progress)
            self.status = message.fields.get("status", self.status)

    def go_on(self, since: float | None, unheard: Callable[[], None]) -> None:
        """Of an adopted worker. since: from when it was silent already; else `unheard` is called soon if it is now.

        A beat that an earlier supervisor read is known to nobody; a worker that hangs must not be safe for as long as
        supervisors come and go.
        """
        if since is not None:
            self.last = min(self.last, since)
        else:
            self.look_at, self.unheard = self.last + min(SOON, EARLY * self.beat_within), unheard
            self.adopted_at = self.last

    def beat(self) -> None:
        """A beat that came another way (sd_notify, a probe): now."""
        self.last, self.pardon = time.monotonic(), 0.0

    @property
    def deadline(self) -> float:
        """CLOCK_MONOTONIC seconds after which it is silent."""
        return max(self.last, self.busy_until) + self.beat_within + self.pardon + COALESCED

    def sample(self) -> None:
        """Remember how much CPU it has had so far, should it be silent when we look next."""
        spans = kernel.cpu_spans_s(self.process.pid) if self.process.pid is not None else None
        if spans is not None:
            self._looks.append((time.monotonic(), *spans))

    def judge(self, now: float) -> None:
        """The deadline has passed and the pipe is empty."""
        pid = self.process.pid
        seen = kernel.stat(pid) if pid is not None else None
        silent = now - max(self.last, self.busy_until)
        late = now - self.deadline
        state = seen.state if seen else "gone"
        if state in "Tt":
            self.end(f"stopped by a signal, silent for {silent:.3f} s", late, "stopped")
            return
        waited = self._waited(now, silent, state)
        if self.pardon == 0.0 and waited is not None:
            self.pardon = self.beat_within
            self.starved(silent, waited)
            return
        self.end(
            f"silent for {silent:.3f} s (beat_within is {self.beat_within:g} s)",
            late,
            {"R": "running", "S": "sleeping", "D": "in the kernel"}.get(state, state),
        )

    def end(self, why: str, late: float, state: str) -> None:
        """Hung: said once."""
        if self.active:
            self.active = False
            self.hung(why, late, state)

    def _waited(self, now: float, silent: float, state: str) -> float | None:
        """Seconds it wanted a CPU and did not get it, if that was at least half of the time since we looked last."""
        spans = kernel.cpu_spans_s(self.process.pid) if self.process.pid is not None else None
        if spans is None or not self._looks:
            return None
        # A look a moment ago says nothing; the one before it was at most one beat earlier.
        when, ran, waited = next((look for look in reversed(self._looks) if now - look[0] >= silent / 2), self._looks[0])
        span, ran, waited = now - when, spans[0] - ran, spans[1] - waited
        if state == "R":  # the kernel counts a wait when it is over; this one may be going on
            waited = max(waited, span - ran)
        return waited if waited >= 0.5 * min(span, silent) else None


class Vigil:
    """All watches of a supervisor, in one heap, behind one timer."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, watch: Watch) -> None:
        """Watch from now on, until `watch.active` is False."""
        self._push(watch, time.monotonic())
        self._arm()

    def _push(self, watch: Watch, now: float) -> None:
        due = min(watch.deadline, now + DRAIN_EVERY, watch.look_at)
        heapq.heappush(self._heap, (due, next(self._order), watch))

    def _arm(self) -> None:
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            # loop.time() is CLOCK_MONOTONIC, as the stamps are.
            self._timer = self._loop.call_at(self._heap[0][0], self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = time.monotonic()
        again: list[Watch] = []
        for _ in range(AT_ONCE):
            if not self._heap or not self._is_near(self._heap[0], now):
                break
            watch = heapq.heappop(self._heap)[2]
            if watch.active:
                self._look(watch)
                if watch.active:
                    again.append(watch)
        now = time.monotonic()
        for watch in again:
            self._push(watch, now)
        self._arm()

    @staticmethod
    def _is_near(entry: tuple[float, int, Watch], now: float) -> bool:
        due, _, watch = entry
        return due <= now or (due - now < NEAR * min(watch.beat_within, DRAIN_EVERY) and due == watch.deadline)

    def _look(self, watch: Watch) -> None:
        read = self._processes.drain(watch.process)
        now = time.monotonic()
        if watch.look_at <= now:
            watch.look_at = math.inf
            if watch.last == watch.adopted_at:
                watch.unheard()
        if now < watch.deadline:
            watch.sample()
            return
        if read >= NEARLY_FULL:
            # The pipe was full: newer beats may have found no room. They have now.
            watch.busy_until = max(watch.busy_until, now + 0.5 - watch.beat_within)
            return
        watch.judge(now)
