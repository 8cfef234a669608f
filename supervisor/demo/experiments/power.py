"""Row 1 of the comparison: CPUs are added in multiprocessing, threads in multithreading, each for more computing power.

CPUs: workers that are always the same number are allowed one CPU, then two, and so on. Threads: on all CPUs there are, one
thread, then two, and so on; once with pure Python, once with hashing, which releases the GIL.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from supervisor.demo import work
from supervisor.demo.frame import Claim, Figure, Line, Lines, Outcome, Pace, answer, not_here
from supervisor.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 8  # CPUs and threads: enough to see a line
MORE = 1.3  # times the power of one, with all of them: less is none to speak of
CLAIM = Claim(
    title="Row 1: what is added",
    sentence="CPUs are added for increasing computing power … many threads are created of a single process",
    done="The same work by workers that are allowed 1 … n CPUs, and by 1 … n threads: pure Python, and hashing.",
)


class Seen(NamedTuple):
    """Seconds for the same work, by the number of CPUs or threads."""

    cpus_s: dict[int, float]
    threads_s: dict[int, float]
    hashing_s: dict[int, float]
    others: float  # the share of the CPUs' time that other programs took


def move_and_grind(cpus: Sequence[int], rounds: int) -> float:
    """In a worker: go to these CPUs, then work; the seconds of CPU that it took."""
    os.sched_setaffinity(0, cpus)
    return work.cpu_of_grind(rounds)


def measure(pace: Pace) -> Seen:
    """Three lines."""
    count = min(MOST, len(pace.cpus))
    steps = sorted({1, 2, 4, count} & set(range(1, count + 1)))
    tasks = 8 * count
    rounds, megabytes = work.rounds_for(pace.seconds(0.6) / tasks), max(1, int(pace.seconds(400) / tasks))
    cpus_s, threads_s, hashing_s, others = {}, {}, {}, 0.0
    with Pool(max_workers=count, preload=[__name__]) as pool:
        work.wake(pool, count)
        for step in steps:
            spent = work.spend(
                pool, functools.partial(move_and_grind, pace.cpus[:step]), [rounds] * tasks, pace.cpus[:step]
            )
            cpus_s[step], others = spent.took_s, max(others, spent.others)
    for step in steps:
        with ThreadPoolExecutor(step) as threads:
            threads_s[step] = work.spend(threads, work.cpu_of_grind, [rounds] * tasks, pace.cpus).took_s
            spent = work.spend(threads, work.digest, [megabytes] * tasks, pace.cpus)
            hashing_s[step], others = spent.took_s, max(others, spent.others if step == count else 0.0)
    return Seen(cpus_s, threads_s, hashing_s, others)


def _gain(seconds: dict[int, float]) -> float:
    """How many times the power of one all of them have."""
    return seconds[1] / seconds[max(seconds)]


def judge(seen: Seen) -> Outcome:
    """More CPUs give workers more power; more threads do, at least with work that releases the GIL."""
    count = max(seen.cpus_s)
    if count == 1:
        return answer(False, "there is one CPU: none can be added, and threads share it")
    cpus, python, hashing = _gain(seen.cpus_s), _gain(seen.threads_s), _gain(seen.hashing_s)
    if min(cpus, hashing) < MORE and seen.others >= work.BUSY:
        return not_here(
            f"other programs took {seen.others:.0%} of the CPUs' time: {cpus:.2f} times the power by CPUs and "
            f"{hashing:.2f} times by threads say nothing"
        )
    return answer(
        cpus >= MORE and hashing >= MORE,
        f"{count} CPUs gave the same workers {cpus:.2f} times the power of one; {count} threads gave {hashing:.2f} times in "
        f"hashing, {python:.2f} times in pure Python{', where they take turns' if python < MORE else ''}",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """Power over the number of CPUs or threads."""
    lines = (
        Line(label="CPUs for the same workers", points=_points(seen.cpus_s), side="processes"),
        Line(label="threads, hashing", points=_points(seen.hashing_s), side="threads"),
        Line(label="threads, pure Python", points=_points(seen.threads_s), side="threads"),
    )
    return (Lines(title="computing power", x="CPUs or threads", y="times that of one", lines=lines),)


def _points(seconds: dict[int, float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(count), round(seconds[1] / took, 3)) for count, took in seconds.items())
