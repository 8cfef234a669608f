"""Increased performance: the same CPU-bound work on one core, two, and so on, by threads and by processes.

Threads of one interpreter take turns (the GIL), so more of them do not compute faster; processes do, as long as there are
cores. The work is plain Python that shares nothing: the best case, which is what the claim is about.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from supervisor.demo import work
from supervisor.demo.frame import Claim, Figure, Line, Lines, Outcome, Pace, answer, not_here
from supervisor.pool import Pool

SIGNIFICANT = 1.3  # times as fast, with all cores: what we take "significant performance improvements" to mean
CLAIM = Claim(
    title="Increased performance",
    sentence="significant performance improvements, especially for CPU-bound tasks",
    done="A second of pure Python in small tasks: in a loop, then by 1 … n threads, then by 1 … n workers of a pool.",
)


class Seen(NamedTuple):
    """Seconds for the same work: by a loop, and by so many workers and threads."""

    loop_s: float
    workers_s: dict[int, float]
    threads_s: dict[int, float]
    others: float  # the share of the cores' time that other programs took from the workers

    @property
    def cores(self) -> int:
        """The most that was tried, which is what there is."""
        return max(self.workers_s)

    def speed_up(self, seconds: dict[int, float]) -> dict[int, float]:
        """How many times as fast as the loop, for each number of them."""
        return {count: self.loop_s / took for count, took in seconds.items()}


def measure(pace: Pace) -> Seen:
    """The same tasks again and again."""
    counts = sorted({count for count in (1, 2, 4, 8, 16, 32) if count < len(pace.cpus)} | {len(pace.cpus)})
    tasks = max(40, 4 * counts[-1])
    rounds = [work.rounds_for(pace.seconds(1.0) / tasks)] * tasks
    # The loop's seconds of CPU: on a busy machine its seconds would be more, and the workers would look better for it.
    loop_s = sum(map(work.cpu_of_grind, rounds))
    workers_s, threads_s = {}, {}
    for count in counts:
        with ThreadPoolExecutor(count) as threads:
            threads_s[count] = work.spend(threads, work.cpu_of_grind, rounds, pace.cpus).took_s
        with Pool(max_workers=count, preload=[work.__name__]) as workers:
            work.wake(workers, count)
            spent = work.spend(workers, work.cpu_of_grind, rounds, pace.cpus)
            workers_s[count] = spent.took_s
    return Seen(loop_s, workers_s, threads_s, spent.others)


def judge(seen: Seen) -> Outcome:
    """Faster than the loop, with all the cores there are."""
    workers, threads = (seen.speed_up(each)[seen.cores] for each in (seen.workers_s, seen.threads_s))
    if seen.cores == 1:
        return answer(workers >= SIGNIFICANT, f"on one core there is no speed-up: {workers:.2f} times as fast")
    if workers < SIGNIFICANT and seen.others >= work.BUSY:
        return not_here(
            f"other programs took {seen.others:.0%} of the cores' time: {workers:.2f} times as fast says nothing"
        )
    return answer(
        workers >= SIGNIFICANT,
        f"{seen.cores} workers are {workers:.2f} times as fast as a loop, {seen.cores} threads {threads:.2f} times",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """Speed-up over the number of workers or threads."""
    ideal = tuple((float(count), float(count)) for count in seen.workers_s)
    lines = (
        Line(label="workers", points=_points(seen.speed_up(seen.workers_s)), side="processes"),
        Line(label="threads", points=_points(seen.speed_up(seen.threads_s)), side="threads"),
        Line(label="ideal", points=ideal),
    )
    return (Lines(title="speed-up against a loop", x="workers or threads", y="times as fast", lines=lines),)


def _points(values: dict[int, float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(count), round(value, 3)) for count, value in values.items())
