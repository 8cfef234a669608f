"""ignore-term: the worker does not hear SIGTERM. Nobody notices, until it is to stop."""

from __future__ import annotations

import signal

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter, Scene
from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="ignore-term",
    place=INSIDE,
    summary="the worker ignores SIGTERM",
    ends=MAYBE,
    detected="when it is to stop: its grace passes, then worker.killed; with restart=true the service restarts it at once",
    lasting=True,
    undone="the handler it had is back",
    parameters=(
        Parameter("restart", "flag", True, "have the service restart it as soon as it ignores SIGTERM, so that it shows"),
    ),
)  # fmt: skip

_deaf: list[Act] = []  # those at it; the first of them knows the handler
_before: Any = None


def begin(act: Act) -> None:
    """From now on."""
    global _before  # noqa: PLW0603 - as signal handlers are
    if not _deaf:
        _before = signal.getsignal(signal.SIGTERM)
        if _before is None:
            raise OSError("its handler of SIGTERM is not Python's, and could not be put back")
    _deaf.append(act)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end(act: Act) -> None:
    """The last to go puts the handler back, unless the worker has set another meanwhile."""
    if act not in _deaf:
        return
    _deaf.remove(act)
    if not _deaf and signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _before)


def seen(scene: Scene) -> None:
    """In the supervisor: what an operator would do who wants to know."""
    if scene.parameters["restart"] and scene.worker is not None:
        scene.service.roster.keepers[scene.worker.name].restart()
