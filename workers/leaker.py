"""Grows until it holds `ceiling` bytes, then stays there: what a leak looks like, without its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart

MIB = 1024 * 1024


def main(heart: Heart, *, step: int = MIB, every: float = 0.1, ceiling: int = 64 * MIB) -> None:
    """Take `step` bytes more `every` so many seconds, up to `ceiling`."""
    heart.ready()
    held: list[bytearray] = []
    while not heart.wait(every):
        if (len(held) + 1) * step <= ceiling:
            held.append(bytearray(b"x") * step)  # written to, so that it is memory and not a promise
        heart.beat(progress=len(held) * step)
