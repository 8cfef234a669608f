"""log-full: the disk that the log is on is full: the service's stdout, and the files that workers' output goes to.

The pump does as if every write there failed with ENOSPC. A pump that is started meanwhile knows nothing of it, and writes:
then it is over.
"""

from __future__ import annotations

from typing import Any

from supervisor.chaos.fault import NEVER, PART, Fault, Scene
from supervisor.chaos.faults.log_stall import hinder, pump_of, unhinder

FAULT = Fault(
    kind="log-full",
    place=PART,
    summary="the disk of the service's log, and of its workers' output files, is full",
    ends=NEVER,
    detected="nothing waits; when there is room again log.dropped tells what is missing, and why",
    lasting=True,
    undone="the pump writes again; what did not fit into its ring, or was for a file, is lost",
)


def look(scene: Scene) -> dict[str, Any]:
    """Which pump it is."""
    return {"part": pump_of(scene)}


def inject(scene: Scene, _kept: dict[str, Any]) -> None:
    """The pump itself ends it at its time, should there be nobody to tell it."""
    hinder(scene, "full")


def undo(scene: Scene, kept: dict[str, Any]) -> str:
    """Unless there is another pump by now."""
    return unhinder(scene, kept)
