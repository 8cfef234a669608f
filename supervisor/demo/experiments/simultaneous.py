"""Row 2 of the comparison: many processes are executed simultaneously, and so are many threads of one process.

Everybody writes down when they began and when they ended, on the one clock that all of them share: how many were under way
at the same instant? And how many CPUs computed for them at once: seconds of CPU over seconds that went by.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from supervisor.demo import work
from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Pace, answer, not_here
from supervisor.pool import Pool

MANY = 8  # of each, under way at once
AT_ONCE = 1.3  # CPUs computing for them: with one they take turns
CLAIM = Claim(
    title="Row 2: many at the same time",
    sentence="Many processes are executed simultaneously … many threads of a process are executed simultaneously",
    done=f"{MANY} workers and {MANY} threads wait at the same time; then they compute, as many as there are CPUs.",
)

Span = tuple[float, float]


class Seen(NamedTuple):
    """How many were under way at once, and how many CPUs computed at once."""

    cpus: int
    workers: int
    threads: int
    workers_cpus: float
    threads_cpus: float
    hashing_cpus: float
    others: float = 0.0  # the share of the CPUs' time that other programs took


def wait(seconds: float) -> Span:
    """When this task began and ended, on the machine's clock."""
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def under_way(spans: list[Span]) -> int:
    """The most spans that any instant lies in."""
    changes = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def measure(pace: Pace) -> Seen:
    """Wait together, then compute together."""
    count = len(pace.cpus)
    tasks, seconds = count * 10, pace.seconds(0.8)
    rounds, megabytes = work.rounds_for(seconds / 10), max(1, int(pace.seconds(30)))
    with Pool(max_workers=MANY, preload=[__name__]) as pool:
        work.wake(pool, MANY)
        workers = under_way(list(pool.map(wait, [0.3] * MANY)))
    with Pool(max_workers=count, preload=[work.__name__]) as pool:
        work.wake(pool, count)
        at_work = work.spend(pool, work.cpu_of_grind, [rounds] * tasks, pace.cpus)
    with ThreadPoolExecutor(MANY) as executor:
        threads = under_way(list(executor.map(wait, [0.3] * MANY)))
    with ThreadPoolExecutor(count) as executor:
        in_turns = work.spend(executor, work.cpu_of_grind, [rounds] * 10, pace.cpus)
        hashing = work.spend(executor, work.digest, [megabytes] * tasks, pace.cpus)
    others = max(at_work.others, hashing.others)
    return Seen(count, workers, threads, at_work.ours * count, in_turns.ours * count, hashing.ours * count, others)


def judge(seen: Seen) -> Outcome:
    """All were under way at once, and more than one CPU computed, for both."""
    together = seen.workers == seen.threads == MANY
    what = f"{seen.workers} workers and {seen.threads} threads were under way at the same instant"
    if seen.cpus == 1:
        return answer(False, f"{what}, but there is one CPU, which they take turns on")
    if together and min(seen.workers_cpus, seen.hashing_cpus) < AT_ONCE and seen.others >= work.BUSY:
        return not_here(f"{what}, but other programs took {seen.others:.0%} of the CPUs' time from them")
    return answer(
        together and min(seen.workers_cpus, seen.hashing_cpus) >= AT_ONCE,
        f"{what}; {seen.workers_cpus:.1f} CPUs computed for workers at once, for threads {seen.hashing_cpus:.1f} in hashing "
        f"and {seen.threads_cpus:.1f} in pure Python",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """CPUs at work at the same time."""
    bars = (
        Bar(label="workers", value=round(seen.workers_cpus, 2), side="processes"),
        Bar(label="threads, hashing", value=round(seen.hashing_cpus, 2), side="threads"),
        Bar(label="threads, pure Python", value=round(seen.threads_cpus, 2), side="threads"),
    )
    return (Bars(title=f"CPUs that computed at once, of {seen.cpus}", unit="CPUs", bars=bars),)
