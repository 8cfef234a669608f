"""Fault isolation: the same segmentation fault in a thread and in a worker.

The thread dies in a process of its own, made for the purpose, with three threads beside it: all are gone. The worker dies
beside three workers that count milliseconds: they tell for how long they were held up at most, and whether they are still
who they were.
"""

from __future__ import annotations

import ctypes
import os
import signal
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Pace, Side, Table, answer, not_here
from supervisor.demo.work import wake
from supervisor.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

NEIGHBOURS = 3
NOTICED = 0.25  # seconds: neighbours held up for longer were affected; a busy machine alone may cost them some of that
IN_A_THREAD = """
import ctypes, threading, time
for _ in range(3): threading.Thread(target=time.sleep, args=(60,)).start()
threading.Thread(target=ctypes.string_at, args=(0,)).start()
"""
CLAIM = Claim(
    title="Fault isolation",
    sentence="a failure or error in one process does not affect others",
    done="A null pointer is read in one of four threads, and in one of four workers of a pool.",
    copy="config/demo-isolation.toml",
)


class Ticks(NamedTuple):
    """What a neighbour saw: who it was, how often it looked at the clock, and its longest gap in seconds."""

    pid: int
    looks: int
    gap_s: float


class Seen(NamedTuple):
    """How the threads' process ended, what the lost task raised, and the neighbours with the fault.

    before: all four workers, when there was no fault. after: the sum of nine harmless tasks.
    """

    threads_code: int
    error: str
    before: tuple[Ticks, ...]
    during: tuple[Ticks, ...]
    after: int


def crash() -> None:
    """Read address 0."""
    time.sleep(0.2)  # the neighbours are at work by then
    ctypes.string_at(0)


def count_milliseconds(seconds: float) -> Ticks:
    """Look at the clock every millisecond."""
    end, last, gap, count = time.monotonic() + seconds, time.monotonic(), 0.0, 0
    while last < end:
        time.sleep(0.001)
        now = time.monotonic()
        gap, last, count = max(gap, now - last), now, count + 1
    return Ticks(os.getpid(), count, gap)


def measure(pace: Pace) -> Seen:
    """The thread first, then the worker."""
    died = subprocess.run([sys.executable, "-c", IN_A_THREAD], check=False, stderr=subprocess.DEVNULL, timeout=20)
    seconds = pace.seconds(1.5) + 0.4
    with Pool(max_workers=NEIGHBOURS + 1, preload=[__name__]) as pool:
        wake(pool, NEIGHBOURS + 1)
        before = tuple(_finished([pool.submit(count_milliseconds, seconds) for _ in range(NEIGHBOURS + 1)]))
        neighbours = [pool.submit(count_milliseconds, seconds) for _ in range(NEIGHBOURS)]
        lost = pool.options(retries=0).submit(crash)
        error = lost.exception(timeout=20)
        during = tuple(_finished(neighbours))
        after = sum(pool.map(abs, range(-9, 0)))
    return Seen(died.returncode, "" if error is None else f"{type(error).__name__}: {error}", before, during, after)


def _finished(futures: Sequence[Future[Ticks]]) -> list[Ticks]:
    return [future.result() for future in futures if future.exception(timeout=20) is None]


def judge(seen: Seen) -> Outcome:
    """The thread took all with it; the worker cost its task, and nobody else noticed."""
    if seen.threads_code >= 0:
        return answer(False, f"the process of the thread ended with exit code {seen.threads_code}: it did not crash")
    if not seen.error:
        return answer(False, "the task that read address 0 returned as if nothing had happened")
    # A neighbour that died of it would have been tried again, in another process.
    same = {ticks.pid for ticks in seen.during} <= {ticks.pid for ticks in seen.before}
    gap = max((ticks.gap_s for ticks in seen.during), default=float("inf"))
    whole = len(seen.during) == NEIGHBOURS and same and seen.after == sum(range(10))
    if gap > NOTICED and max(ticks.gap_s for ticks in seen.before) > NOTICED / 2:
        return not_here("the machine is too busy: a worker's longest gap is as long without any fault")
    rate = statistics.mean(ticks.looks for ticks in seen.during or seen.before) / statistics.mean(
        ticks.looks for ticks in seen.before
    )
    felt = f"at {rate:.0%} of their speed, with {gap * 1e3:.1f} ms the longest gap" if seen.during else "if any"
    return answer(
        whole and gap <= NOTICED,
        f"the thread ended its whole process ({signal.Signals(-seen.threads_code).name}); the worker cost one task, "
        f"{len(seen.during)} of {NEIGHBOURS} neighbours finished theirs in {'the same' if same else 'other'} processes, "
        f"{felt}",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """What the neighbours felt, and what the caller was told."""
    rounds: tuple[tuple[str, Side, tuple[Ticks, ...]], ...] = (
        ("quiet", "neither", seen.before), ("beside the crash", "processes", seen.during),
    )  # fmt: skip
    bars = tuple(
        Bar(label=f"process {ticks.pid}, {when}", value=round(ticks.gap_s * 1e3, 2), side=side)
        for when, side, everybody in rounds
        for ticks in everybody
    )
    rows = (
        ("a thread", "its whole process, with three other threads", f"exit code {seen.threads_code}"),
        ("a worker", "one task", seen.error.splitlines()[0] if seen.error else ""),
    )
    return (
        Bars(title="a neighbour's longest gap, looking at the clock every millisecond", unit="ms", bars=bars),
        Table(title="the same segmentation fault", columns=("in", "cost", "and was seen as"), rows=rows),
    )
