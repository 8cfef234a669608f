"""Computes for a while and says where: the CPUs it may use, those it was seen on, and how far it came."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart

_ROUNDS = 20_000  # between two looks: a millisecond or so


def main(heart: Heart, *, seconds: float = 1.0) -> None:
    """Wander, and print one JSON line at the end; `rate` is in millions of rounds a second."""
    heart.ready("wandering")
    began, done, moves = time.monotonic(), 0, 0
    seen = [_cpu()]
    while time.monotonic() - began < seconds and not heart.stopping:
        for _ in range(_ROUNDS):
            pass
        done += _ROUNDS
        heart.beat(progress=done)
        if (here := _cpu()) != seen[-1]:
            moves += 1
            seen.append(here)
    rate = done / (time.monotonic() - began) / 1e6
    allowed = sorted(os.sched_getaffinity(0))
    found = {"replica": heart.replica, "allowed": allowed, "ran_on": sorted(set(seen)), "moves": moves, "rate": rate}
    print(json.dumps({**found, "cpu_s": time.process_time()}))


def _cpu() -> int:
    with open("/proc/self/stat", "rb") as file:
        return int(file.read().rsplit(b")", 1)[1].split()[36])
