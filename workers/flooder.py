"""Writes lines as fast as it can, or at a rate: the neighbour whose output must cost nobody else anything."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(heart: Heart, *, lines: int = 1_000_000, width: int = 100, rate: float | None = None) -> None:
    """Write numbered lines of `width` bytes, newline included; rate: lines a second, None for all it can."""
    heart.ready()
    batch = 100 if rate is None else max(1, int(rate / 50))
    began, done = time.monotonic(), 0
    while done < lines and not heart.stopping:
        last = min(lines, done + batch)
        sys.stdout.write("".join(f"{number:<{width - 1}}\n" for number in range(done, last)))
        done = last
        heart.beat(progress=done)
        if rate is not None:
            heart.wait(began + done / rate - time.monotonic())
    sys.stdout.flush()
