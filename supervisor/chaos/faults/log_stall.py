"""log-stall: whoever reads the service's stdout reads no more: a terminal after Ctrl-S, a log collector that hangs.

The pump does as if every write to stdout would have to wait, and holds lines back until their ring is full. A pump that is
started meanwhile knows nothing of it, and writes: then it is over.
"""

from __future__ import annotations

import time
from typing import Any

from supervisor.chaos.fault import NEVER, PART, Fault, Impossible, Scene

FAULT = Fault(
    kind="log-stall",
    place=PART,
    summary="the service's stdout takes no more",
    ends=NEVER,
    detected="workers with when_full = block wait once the ring of lines is full; of the others log.dropped tells",
    lasting=True,
    undone="the pump writes again, first what it has held back",
)


def look(scene: Scene) -> dict[str, Any]:
    """Which pump it is."""
    return {"part": pump_of(scene)}


def inject(scene: Scene, _kept: dict[str, Any]) -> None:
    """The pump itself ends it at its time, should there be nobody to tell it."""
    hinder(scene, "stall")


def undo(scene: Scene, kept: dict[str, Any]) -> str:
    """Unless there is another pump by now."""
    return unhinder(scene, kept)


def pump_of(scene: Scene) -> int:
    """The pump that there is, with nothing done to it; raises Impossible."""
    pid = scene.service.host.processes.outlet.pid
    if pid is None:
        raise Impossible("there is no pump at the moment: the next is being started")
    for one in scene.service.chaos.ongoing.faults.values():
        if one.part == pid:
            raise Impossible(f"{one.kind} ({one.chaos_id}) is on the pump already")
    return pid


def hinder(scene: Scene, how: str) -> None:
    """See Outlet.hinder."""
    scene.service.host.processes.outlet.hinder(how, time.monotonic() + (scene.seconds or 0.0))


def unhinder(scene: Scene, kept: dict[str, Any]) -> str:
    """No more; how that was done."""
    outlet = scene.service.host.processes.outlet
    if outlet.pid != kept["part"]:
        return "there is another pump, which writes"
    outlet.hinder(None, 0.0)
    return "the pump writes again"
