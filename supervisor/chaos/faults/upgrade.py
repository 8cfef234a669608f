"""upgrade: new code takes over in the midst of things; here it is the same code once more."""

from __future__ import annotations

from supervisor.chaos.fault import NEVER, PART, Fault, Impossible, Scene
from supervisor.requests import ControlError

FAULT = Fault(
    kind="upgrade",
    place=PART,
    summary="the supervisor makes room for another, as in an upgrade",
    ends=NEVER,
    detected="supervisor.upgraded; no worker notices",
)


async def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """Returns when the other is able to take over; who asked has the answer before it does."""
    try:
        await scene.service.upgrade()
    except ControlError as error:
        raise Impossible(str(error)) from error
