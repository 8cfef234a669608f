"""What the workers run. Nothing heavy is imported here: pools that start interpreters import this again in each."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

POISON_EVERY = 50
POISON_AT = 25  # of each fifty


def double(number: int) -> int:
    """As trivial as a task can be."""
    return 2 * number


def double_or_die(number: int) -> int:
    """One number in fifty takes its worker along."""
    if number % POISON_EVERY == POISON_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def die(path: str) -> None:
    """Write down when, by CLOCK_MONOTONIC in seconds, and be killed."""
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{time.monotonic():.7f}")
    os.kill(os.getpid(), signal.SIGKILL)


def edges(array: Any) -> float:
    """The first number and the last: what it costs to have the array, not to read it."""
    return float(array[0] + array[-1])


def edges_of_shared(handle: Any) -> float:
    """The same, of what a handle stands for."""
    return edges(handle.get())


def total(array: Any) -> float:
    """Every number is read."""
    return float(array.sum())
