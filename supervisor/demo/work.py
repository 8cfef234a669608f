"""The work that experiments have done: pure Python, which holds the GIL, and hashing, which lets it go."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, NamedTuple

from supervisor.demo import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

BUSY = 0.2  # of the cores' time taken by other programs: then a speed-up that is missing proves nothing
_BLOCK = bytes(1 << 20)


def grind(rounds: int) -> int:
    """Compute, in Python and nothing else."""
    value = 1
    for _ in range(rounds):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
    return value


def rounds_for(seconds: float) -> int:
    """How many rounds of `grind` take so long here, when nothing else runs."""
    tried, best = 20_000, float("inf")
    for _ in range(5):
        began = time.perf_counter()
        grind(tried)
        best = min(best, time.perf_counter() - began)
    return max(1, int(tried * seconds / best))


def cpu_of_grind(rounds: int) -> float:
    """Grind, and return the seconds of CPU that it took."""
    began = time.thread_time()
    grind(rounds)
    return time.thread_time() - began


def digest(megabytes: int) -> float:
    """Hash so many megabytes, and return the seconds of CPU that it took: OpenSSL works without the GIL."""
    began = time.thread_time()
    state = hashlib.sha256()
    for _ in range(megabytes):
        state.update(_BLOCK)
    return time.thread_time() - began


def wake(executor: Executor, count: int) -> None:
    """Have all its workers started: how long that takes is another experiment."""
    for future in [executor.submit(time.sleep, 0.05) for _ in range(count)]:
        future.result()


class Spent(NamedTuple):
    """What some work took: seconds, and the shares of the cores' time, 0 to 1, that were ours and nobody's."""

    took_s: float
    ours: float
    idle: float

    @property
    def others(self) -> float:
        """The share that other programs took."""
        return max(0.0, 1 - self.ours - self.idle)


def spend(executor: Executor, task: Callable[[int], float], amounts: Sequence[int], cpus: Sequence[int]) -> Spent:
    """Have the tasks done; each returns the seconds of CPU that it took."""
    before, began = machine.cores(cpus), time.monotonic()
    cpu_s = sum(executor.map(task, amounts))
    took_s = time.monotonic() - began
    return Spent(took_s, cpu_s / (took_s * len(cpus)), machine.cores(cpus).idle_since(before))
