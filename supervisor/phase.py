"""Where a worker or a group is, and where it may go from there.

*Want* is what the operator wishes; *phase* is what was seen. Only observation changes a phase, through one door
(the account's), and the door asks `move`. The table is total: a move that is not in it is a bug, never an event.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Want(StrEnum):
    """What the operator wishes."""

    UP = "up"
    DOWN = "down"


class Phase(StrEnum):
    """What was last seen of a worker or a group."""

    DOWN = "down"  # no process, and none is coming: stopped by wish, done, or its group is down
    WAITING = "waiting"  # no process: for its needs, its turn in the group, or a starting slot
    STARTING = "starting"  # spawned, not yet ready
    READY = "ready"
    STOPPING = "stopping"  # TERM was sent; the process is not yet reaped
    BACKING_OFF = "backing_off"  # it failed; the next life comes after the backoff
    QUARANTINED = "quarantined"  # it failed too often in a row, or in a way that restarting does not help


RUNNING = frozenset({Phase.STARTING, Phase.READY, Phase.STOPPING})
"""The phases in which there is a process."""

LEGAL: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.DOWN: frozenset({Phase.WAITING}),
        Phase.WAITING: frozenset(
            {Phase.STARTING, Phase.DOWN, Phase.BACKING_OFF}
        ),  # backing off: it could not be spawned
        Phase.STARTING: frozenset({Phase.READY, Phase.STOPPING, Phase.DOWN, Phase.BACKING_OFF}),
        Phase.READY: frozenset({Phase.STOPPING, Phase.DOWN, Phase.BACKING_OFF}),
        Phase.STOPPING: frozenset(
            {Phase.DOWN, Phase.BACKING_OFF}
        ),  # backing off: it was put down because it hung
        Phase.BACKING_OFF: frozenset({Phase.WAITING, Phase.QUARANTINED, Phase.DOWN}),
        Phase.QUARANTINED: frozenset({Phase.WAITING, Phase.DOWN}),
    }
)


class IllegalMove(RuntimeError):
    """A move that the table does not know: somebody saw what cannot be."""

    def __init__(self, name: str, before: Phase, after: Phase) -> None:
        legal = ", ".join(sorted(LEGAL[before]))
        super().__init__(f"{name}: {before} -> {after} is no legal move (from {before}: {legal})")
        self.name = name
        self.before = before
        self.after = after


def move(name: str, before: Phase, after: Phase) -> Phase:
    """`after`, if it may follow `before`; raises IllegalMove if not."""
    if after not in LEGAL[before]:
        raise IllegalMove(name, before, after)
    return after


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    arrows = (f"    {before} --> {after}" for before, afters in LEGAL.items() for after in sorted(afters))
    return "\n".join(("stateDiagram-v2", f"    [*] --> {Phase.DOWN}", *arrows))
