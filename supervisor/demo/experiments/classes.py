"""Row 3 of the comparison: multiprocessing is classified into symmetric and asymmetric, multithreading is not.

Words, mostly. But what the words stand for can be tried: workers can be placed symmetrically and asymmetrically, and Linux,
to which a thread is a task like any other, places threads of one process just so.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

from supervisor.demo import machine
from supervisor.demo.frame import Claim, Figure, Outcome, Pace, Table, answer, not_here
from supervisor.pool import Pool

CLAIM = Claim(
    title="Row 3: how they are classified",
    sentence="Multiprocessing are classified into Symmetric and Asymmetric. While Multithreading is not classified in any "
    "categories",
    done="Two workers, then two threads, are each put on a CPU of its own, compute, and look where they ran.",
)


class Stay(NamedTuple):
    """The CPU that one was put on, and those it was seen on."""

    put: int
    ran_on: frozenset[int]


class Seen(NamedTuple):
    """Of two workers, and of two threads of one process; empty where there are no two CPUs."""

    workers: tuple[Stay, ...]
    threads: tuple[Stay, ...]


def stay(cpu: int, seconds: float) -> Stay:
    """In a worker or a thread: compute on that CPU alone, and look often where we are."""
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [cpu])  # 0: the calling thread, and no other
    end, seen = time.monotonic() + seconds, set()
    try:
        while time.monotonic() < end:
            seen.add(_here())
    finally:
        os.sched_setaffinity(0, whole)
    return Stay(cpu, frozenset(seen))


def _here() -> int:
    with open(f"/proc/self/task/{threading.get_native_id()}/stat", "rb") as file:
        return int(file.read().rsplit(b")", 1)[1].split()[36])


def measure(pace: Pace) -> Seen:
    """The two workers at the same time, then the two threads."""
    cpus, seconds = pace.cpus[:2], pace.seconds(0.5)
    if len(cpus) < 2:
        return Seen((), ())
    with Pool(max_workers=2, preload=[__name__]) as pool:
        workers = _stays(pool, cpus, seconds)
    with ThreadPoolExecutor(2) as threads:
        return Seen(workers, _stays(threads, cpus, seconds))


def _stays(executor: Executor, cpus: tuple[int, ...], seconds: float) -> tuple[Stay, ...]:
    return tuple(executor.map(stay, cpus, [seconds] * len(cpus)))


def judge(seen: Seen) -> Outcome:
    """It is so if workers can be placed unequally and threads cannot; if both can, it is a matter of words."""
    if not seen.workers:
        return not_here("there is one core: everything runs on it")
    workers, threads = (all(each.ran_on == {each.put} for each in stays) for stays in (seen.workers, seen.threads))
    if not workers:
        return answer(False, "workers did not stay on the CPU they were put on")
    if not threads:
        return answer(True, "workers stayed where they were put, threads did not")
    return not_here(
        "a matter of words: threads of one process can be placed just as workers can, and stayed where they were put"
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """Where they were put, and where they ran; nothing where there are no two CPUs."""
    if not seen.workers:
        return ()
    rows = tuple(
        (what, str(each.put), machine.listed(each.ran_on))
        for what, stays in (("worker", seen.workers), ("thread", seen.threads))
        for each in stays
    )
    return (Table(title="placed one by one", columns=("what", "put on CPU", "ran on"), rows=rows),)
