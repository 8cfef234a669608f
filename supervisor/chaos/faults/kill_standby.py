"""kill-standby: the standbys that wait for a worker to die are killed instead of it."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import NEVER, OUTSIDE, Fault, Impossible, Scene

FAULT = Fault(
    kind="kill-standby",
    place=OUTSIDE,
    summary="the standbys of the worker are killed with SIGKILL; it shares them with its other replicas",
    ends=NEVER,
    detected="the anchor reaps them: standby.ended, and standby.ready of others",
    idle=True,
    of_part=True,
)


def look(scene: Scene) -> dict[str, object]:
    """Refused before anything is said of it, where there is nothing to kill."""
    assert scene.worker is not None
    if not scene.worker.shelf.standbys():
        raise Impossible("it has no standby at the moment")
    return {}


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """Those that still prepare, too."""
    assert scene.worker is not None
    standbys = scene.worker.shelf.standbys()
    if not sum(scene.service.host.processes.signal(each, signal.SIGKILL) for each in standbys):
        raise Impossible("its standbys ended a moment ago")
