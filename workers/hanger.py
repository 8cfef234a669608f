"""Beats a few times and then hangs, spinning in Python or asleep; it gives up by itself in the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(
    heart: Heart, *, beats: int = 10, every: float = 0.1, how: str = "sleep", seconds: float = 600.0
) -> None:
    """Beat `beats` times, `every` so many seconds, then be silent for `seconds`. how: sleep, spin."""
    heart.ready()
    for done in range(beats):
        if heart.wait(every):
            return
        heart.beat(progress=done + 1)
    until = time.monotonic() + seconds
    if how == "spin":
        _spin(until)
    else:
        _sleep(until)


def _spin(until: float) -> None:
    while time.monotonic() < until:
        pass


def _sleep(until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        time.sleep(left)
