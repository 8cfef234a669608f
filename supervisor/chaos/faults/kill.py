"""kill: SIGKILL. What the kernel's OOM killer does, and an operator in a hurry."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import ENDING, OUTSIDE, Fault, Impossible, Scene

FAULT = Fault(
    kind="kill",
    place=OUTSIDE,
    summary="the worker is killed with SIGKILL",
    ends=ENDING,
    detected="the anchor reaps it: worker.ended, killed by SIGKILL",
)


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """The worker alone, as the kernel would: what it has started is the service's to sweep."""
    assert scene.process is not None
    if not scene.service.host.processes.signal(scene.process, signal.SIGKILL):
        raise Impossible("it ended a moment ago")
