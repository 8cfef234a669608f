"""exit: the worker leaves with an exit code, at once: no exception, no exit handler, nothing flushed."""

from __future__ import annotations

import os

from supervisor.chaos.fault import ENDING, INSIDE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="exit",
    place=INSIDE,
    summary="the worker exits, at whatever it is just doing",
    ends=ENDING,
    detected="the anchor reaps it: worker.ended, exited with that code; 0 is no failure, unless it should never end",
    parameters=(Parameter("code", "count", 1, "the exit code", high=255),),
)


def begin(act: Act) -> None:
    """Does not return."""
    act.has_begun()
    os._exit(act.parameters["code"])
