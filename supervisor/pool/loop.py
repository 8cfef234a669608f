"""Descriptors and times to wait for, for a thread that holds a lock whenever it is awake."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 60.0  # seconds asleep


class Loop:
    """`turn` is for one thread, `wake` for everybody, everything else for whoever holds the lock."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ringing = threading.RLock()  # a signal handler may ring while we do
        self._phase, self._rung_in = 0, -1  # of sleeping and waking
        self._watched: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ticks = itertools.count()
        self._deferred: set[int] = set()
        self._sleeps_until = 0.0
        self.is_closed = False
        self.watch(self._bell, self._heard)

    def _heard(self) -> None:
        os.eventfd_read(self._bell)

    def turn(self, most: float, must_stay: Callable[[], bool]) -> bool:
        """Without the lock, sleep `most` seconds or until something happens; with it, see to that.

        Whether it was a descriptor. must_stay is asked when the lock is free: if so, it does not sleep. Called and left holding
        the lock.
        """
        now = time.monotonic()
        wait = max(0.0, min(most, self._timers[0][0] - now if self._timers else LONGEST))
        self._sleeps_until = now + wait
        self._phase += 1
        self._lock.release()
        try:
            events = self._epoll.poll(0.0 if must_stay() else wait)
        finally:
            self._lock.acquire()
        self._phase += 1
        self._sleeps_until = 0.0
        for fd, _ in events:
            ready = self._watched.get(fd)
            if ready is not None:  # else what another of them did has ended it
                ready()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now and not self.is_closed:
            heapq.heappop(self._timers)[2]()
        return bool(events)

    def at(self, when: float, then: Callable[[], None]) -> None:
        """Call at this time of the monotonic clock."""
        heapq.heappush(self._timers, (when, next(self._ticks), then))
        if when < self._sleeps_until:
            self.wake()

    def wake(self) -> None:
        """Have the thread look around. Who does not hold the lock: at what `must_stay` asks for, and nothing else."""
        phase = self._phase
        if self._rung_in != phase:  # who rang in this phase was not heard in an earlier one
            with self._ringing:
                if not self.is_closed:
                    os.eventfd_write(self._bell, 1)
            self._rung_in = phase  # not earlier: we may be interrupted, and a ring too many is none too few

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call whenever there is something to read."""
        self._watched[fd] = ready
        self._epoll.register(fd, select.EPOLLIN)

    def watch_both_ways(self, fd: int, *, both: bool) -> None:
        """Call also when there is room to write; or no more."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if both else select.EPOLLIN)

    def defer(self, fd: int, seconds: float) -> None:
        """What is to be read there waits so long, from the first time this is said; without effect on one not watched."""
        ready = self._watched.get(fd)
        if ready is not None and fd not in self._deferred:
            self._deferred.add(fd)
            self._epoll.modify(fd, 0)
            self.at(time.monotonic() + seconds, lambda: self._attend(fd, ready))

    def _attend(self, fd: int, ready: Callable[[], None]) -> None:
        self._deferred.discard(fd)
        if self._watched.get(fd) is ready:  # else it was closed, and the number is another's
            self._epoll.modify(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """The contrary; without effect on one that is not watched."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def disown(self) -> None:
        """In a child forked by the user's program, where whoever was ringing is not."""
        self._ringing = threading.RLock()

    def close(self) -> None:
        """Wait for nothing any more."""
        with self._ringing:  # the number of the bell may be another's as soon as it is closed
            self.is_closed = True
            os.close(self._bell)
        self._watched.clear()
        self._timers.clear()
        self._epoll.close()
