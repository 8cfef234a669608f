"""crash: a signal that the kernel sends who does what cannot be done. No core is written unless that is asked for."""

from __future__ import annotations

import contextlib
import resource
import signal

from supervisor.chaos import limits
from supervisor.chaos.fault import ENDING, OUTSIDE, Fault, Impossible, Parameter, Scene

FAULT = Fault(
    kind="crash",
    place=OUTSIDE,
    summary="the worker crashes: a signal as after a bad pointer, a failed assertion, a file that got shorter",
    ends=ENDING,
    detected="the anchor reaps it: worker.ended, killed or dumped by that signal, with the stack it left",
    parameters=(
        Parameter("signal", "word", "SEGV", "SEGV: a bad pointer; ABRT: abort(); BUS: a mapped file got shorter",
                  words=("SEGV", "ABRT", "BUS")),
        Parameter("core", "flag", False, "whether it may write a core, where the machine is set up so"),
    ),
)  # fmt: skip


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """The worker alone; one that handles the signal may live on, as it may after the real thing."""
    assert scene.process is not None
    if not scene.parameters["core"]:
        with contextlib.suppress(Impossible):  # another user's: it crashes all the same
            limits.set_soft(scene.process, resource.RLIMIT_CORE, 0)
    scene.signal(signal.Signals[f"SIG{scene.parameters['signal']}"])
