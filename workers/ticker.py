"""A well-behaved worker: ready, beats with progress from its loop, JSON lines, an end when asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(heart: Heart, *, every: float = 0.1, lines_every: int = 10, ticks: int | None = None) -> None:
    """Tick `every` so many seconds; print each `lines_every`th; end after `ticks` (None: when asked to)."""
    heart.ready("ticking")
    done = 0
    while done != ticks and not heart.wait(every):
        done += 1
        heart.beat(progress=done)
        if done % lines_every == 0:
            print(json.dumps({"tick": done, "worker": heart.name, "replica": heart.replica}))
