"""Efficient resource utilisation: all the cores are at work, or they are not.

As many threads as there are cores keep one of them busy between them; as many workers keep all. The kernel counts, CPU by
CPU, how long nobody wanted it (/proc/stat), and each task says how much CPU it was given.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from supervisor.demo import work
from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Pace, answer, not_here
from supervisor.demo.work import BUSY, Spent, spend, wake
from supervisor.pool import Pool

IDLE_AT_MOST = 0.25  # of the cores' time while workers work: more is not "all available cores"
CLAIM = Claim(
    title="Efficient resource utilisation",
    sentence="make use of all available processors or cores in a system",
    done="As many threads as cores compute for a while, then as many workers; the kernel tells how long cores were idle.",
)


class Seen(NamedTuple):
    """What became of the cores' time."""

    cores: int
    threads: Spent
    workers: Spent


def measure(pace: Pace) -> Seen:
    """The same tasks for threads and for workers."""
    count = len(pace.cpus)
    tasks = [work.rounds_for(0.02)] * int(pace.seconds(1.5) / 0.02) * count
    with ThreadPoolExecutor(count) as executor:
        # For a GIL's threads a share of the work will do: they need `count` times as long for it.
        threads = spend(executor, work.cpu_of_grind, tasks[::count], pace.cpus)
    with Pool(max_workers=count, preload=[work.__name__]) as executor:
        wake(executor, count)
        workers = spend(executor, work.cpu_of_grind, tasks, pace.cpus)
    return Seen(count, threads, workers)


def judge(seen: Seen) -> Outcome:
    """With workers hardly any core is idle."""
    if seen.cores == 1:
        return not_here("there is one core, and one thread keeps it busy")
    others = seen.workers.others
    if max(seen.threads.idle, seen.workers.idle) <= IDLE_AT_MOST and seen.threads.others >= BUSY:
        return not_here(
            f"other programs took {seen.threads.others:.0%} of the cores' time: none was idle beside threads either"
        )
    return answer(
        seen.workers.idle <= IDLE_AT_MOST,
        f"cores were idle for {seen.threads.idle:.0%} of the time with {seen.cores} threads, for {seen.workers.idle:.0%} with "
        f"{seen.cores} workers" + (f" (other programs took {others:.0%})" if others > 0.1 else ""),
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """The shares in percent."""
    bars = (
        Bar(label="threads: at work", value=_percent(seen.threads.ours), side="threads"),
        Bar(label="threads: idle", value=_percent(seen.threads.idle)),
        Bar(label="workers: at work", value=_percent(seen.workers.ours), side="processes"),
        Bar(label="workers: idle", value=_percent(seen.workers.idle)),
    )
    return (Bars(title=f"the time of {seen.cores} cores", unit="%", bars=bars),)


def _percent(share: float) -> float:
    return round(share * 100, 1)
