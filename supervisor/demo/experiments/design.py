"""Simplified program design: one job, counting, decomposed for threads and for processes.

Threads share the counter, whether they want to or not: the design has to say who may touch it when, and a missing lock is
seen only now and then. A worker shares nothing; it returns its part, and the parts are added up where nobody else is.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from supervisor.demo.frame import Claim, Figure, Outcome, Pace, Table, answer
from supervisor.demo.work import wake
from supervisor.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = 4
CLAIM = Claim(
    title="Simplified program design",
    sentence="decomposing complex tasks into smaller, independent processes",
    done="Four threads add to one counter, without a lock and with one; four workers return what they counted.",
)


class Count(NamedTuple):
    """What a design came to, and in how many seconds."""

    total: int
    took_s: float


class Seen(NamedTuple):
    """The right total, and what the designs made of it."""

    right: int
    unlocked: Count
    locked: Count
    workers: Count


def next_after(number: int) -> int:
    """Count on: a call, so that another thread may run between reading the counter and writing it."""
    return number + 1


def count_alone(times: int) -> int:
    """A worker's part: nobody else can see its counter."""
    counter = 0
    for _ in range(times):
        counter = next_after(counter)
    return counter


class Shared:
    """The threads' counter."""

    def __init__(self) -> None:
        self.counter = 0
        self.lock = threading.Lock()

    def count(self, times: int) -> None:
        """As one would write it first."""
        for _ in range(times):
            self.counter = next_after(self.counter)

    def count_locked(self, times: int) -> None:
        """As it has to be written."""
        for _ in range(times):
            with self.lock:
                self.counter = next_after(self.counter)


def measure(pace: Pace) -> Seen:
    """Count in three designs."""
    times = int(pace.seconds(500_000))
    unlocked, locked = Shared(), Shared()
    took_unlocked, took_locked = _threads(unlocked.count, times), _threads(locked.count_locked, times)
    with Pool(max_workers=PARTS, preload=[__name__]) as pool:
        wake(pool, PARTS)
        began = time.monotonic()
        total = sum(pool.map(count_alone, [times] * PARTS))
        workers = Count(total, time.monotonic() - began)
    return Seen(PARTS * times, Count(unlocked.counter, took_unlocked), Count(locked.counter, took_locked), workers)


def _threads(count: Callable[[int], None], times: int) -> float:
    threads = [threading.Thread(target=count, args=(times,)) for _ in range(PARTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def judge(seen: Seen) -> Outcome:
    """Independent parts add up to the right total, with nothing to lock."""
    lost = seen.right - seen.unlocked.total
    threads = (
        f"threads without a lock lost {lost:,} of {seen.right:,}"
        if lost
        else "threads got away without a lock, this time"
    )
    return answer(
        seen.workers.total == seen.right,
        f"workers, with nothing shared and no lock, lost {seen.right - seen.workers.total:,}; {threads}",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """The three designs."""
    designs = (
        ("threads, no lock", "1 counter", "0", seen.unlocked),
        ("threads, lock", "1 counter", "1", seen.locked),
        ("workers", "nothing", "0", seen.workers),
    )
    rows = tuple(
        (name, shared, locks, f"{seen.right - count.total:,}", f"{count.took_s * 1e3:,.0f} ms")
        for name, shared, locks, count in designs
    )
    return (Table(title="one job, three designs", columns=("design", "shared", "locks", "lost", "took"), rows=rows),)
