"""freeze: SIGSTOP. What a debugger does, and Ctrl-Z; the worker is there and does nothing."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import MAYBE, OUTSIDE, Fault, Impossible, Scene

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
    _send(scene, signal.SIGSTOP)


def undo(scene: Scene, _kept: dict[str, object]) -> str:
    """It goes on where it was."""
    _send(scene, signal.SIGCONT)
    return "SIGCONT"


def _send(scene: Scene, number: int) -> None:
    assert scene.process is not None
    if not scene.service.host.processes.signal(scene.process, number):
        raise Impossible("it ended a moment ago")
