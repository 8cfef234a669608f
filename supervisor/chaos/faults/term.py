"""term: SIGTERM from somebody who is not the service. A worker that leaves of it was not asked to by who keeps it."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import MAYBE, OUTSIDE, Fault, Scene

FAULT = Fault(
    kind="term",
    place=OUTSIDE,
    summary="the worker is sent SIGTERM, behind the service's back",
    ends=MAYBE,
    detected="if it leaves of it: worker.ended, by SIGTERM or with the code it leaves with, and not as asked for",
)


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """The worker alone; what it makes of it is its own affair."""
    scene.signal(signal.SIGTERM)
