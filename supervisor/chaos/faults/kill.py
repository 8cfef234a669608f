"""kill: SIGKILL. What the kernel's OOM killer does, and an operator in a hurry."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import ENDING, OUTSIDE, Fault, Scene

FAULT = Fault(
    kind="kill",
    place=OUTSIDE,
    summary="the worker is killed with SIGKILL",
    ends=ENDING,
    detected="the anchor reaps it: worker.ended, killed by SIGKILL",
)


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """The worker alone, as the kernel would: what it has started is the service's to sweep."""
    scene.signal(signal.SIGKILL)
