"""kill-pump: the process that writes the log is killed. No line is lost and none is written twice."""

from __future__ import annotations

from supervisor.chaos.fault import NEVER, PART, Fault, Impossible, Scene

FAULT = Fault(
    kind="kill-pump",
    place=PART,
    summary="the pump is killed with SIGKILL",
    ends=NEVER,
    detected="the anchor reaps it: pump.ended; the next goes on where it was: no gap in seq",
)


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """What it had begun stands in its journal."""
    outlet = scene.service.host.processes.outlet
    if outlet.pid is None:
        raise Impossible("there is no pump at the moment: the next is being started")
    outlet.kill()
