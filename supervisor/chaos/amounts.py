"""What the service's own programs may take, against what they took before: descriptors, threads, memory. Pure.

Each has its slack. What is in the making, a standby or a successor, takes some for a moment; what stays is a leak.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.chaos.record import Inspection, Process

FDS_SLACK, FDS_PER_LIFE = 8, 8  # descriptors: of a moment's business; of each life more than before
THREADS_SLACK = 1
MEMORY_SHARE, MEMORY_SLACK = 0.25, 16 << 20  # growth that is allowed: a quarter, and bytes
PARTS = ("supervisor", "pump", "anchor")


@dataclass(frozen=True, slots=True)
class Amount:
    """taken: by a process, None if nobody may know; most: that is allowed, if so much was taken before, with more lives."""

    name: str
    claim: str
    taken: Callable[[Process], int | None]
    most: Callable[[int, int], float]
    shown: Callable[[int], str] = str


@dataclass(slots=True)
class Compared:
    """One amount at both ends, in words for each part: within what is allowed, above it, not to be read."""

    within: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)


DESCRIPTORS = Amount(
    "descriptors",
    f"descriptors back where they were (+{FDS_SLACK}, and {FDS_PER_LIFE} for each life more)",
    lambda process: process.fds,
    lambda was, more: was + FDS_SLACK + FDS_PER_LIFE * more,
)
THREADS = Amount(
    "threads",
    f"threads back where they were (+{THREADS_SLACK})",
    lambda process: process.threads,
    lambda was, _more: was + THREADS_SLACK,
)
MEMORY = Amount(
    "memory",
    f"memory back where it was (+{MEMORY_SHARE:.0%} and {MEMORY_SLACK >> 20} MiB)",
    lambda process: process.rss_bytes,
    lambda was, _more: was * (1 + MEMORY_SHARE) + MEMORY_SLACK,
    lambda taken: f"{taken / (1 << 20):.1f} MiB",
)


def compare(amount: Amount, before: Inspection, after: Inspection) -> Compared:
    """Of supervisor, pump and anchor: what is taken now against what was."""
    found = Compared()
    more = max(0, after.workers - before.workers)
    for part in PARTS:
        first: Process | None = getattr(before, part)
        last: Process | None = getattr(after, part)
        was = None if first is None else amount.taken(first)
        now = None if last is None else amount.taken(last)
        if was is None or now is None:
            found.dark.append(part)
            continue
        told = found.above if now > amount.most(was, more) else found.within
        told.append(f"{part} {amount.shown(was)} -> {amount.shown(now)}")
    return found


def is_back(before: Inspection, after: Inspection) -> bool:
    """Whether nobody takes more than is allowed, as far as can be read."""
    return not any(compare(amount, before, after).above for amount in (DESCRIPTORS, THREADS, MEMORY))
