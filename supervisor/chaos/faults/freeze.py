"""freeze: SIGSTOP. What a debugger does, and Ctrl-Z; the worker is there and does nothing."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import MAYBE, OUTSIDE, Fault, Scene

FAULT = Fault(
    kind="freeze",
    place=OUTSIDE,
    summary="the worker is stopped with SIGSTOP",
    ends=MAYBE,
    detected="waitid tells: worker.frozen; after beat_within worker.hung, and it is put down",
    lasting=True,
    undone="SIGCONT",
)


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """The worker alone."""
    scene.signal(signal.SIGSTOP)


def undo(scene: Scene, _kept: dict[str, object]) -> str:
    """It goes on where it was."""
    scene.signal(signal.SIGCONT)
    return "SIGCONT"
