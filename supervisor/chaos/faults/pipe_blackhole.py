"""pipe-blackhole: all that the worker writes on its beat pipe goes nowhere, whoever in it writes there."""

from __future__ import annotations

import fcntl
import os

from supervisor.chaos.fault import INSIDE, MAYBE, Fault
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="pipe-blackhole",
    place=INSIDE,
    summary="what the worker writes on its beat pipe is lost, and the pipe has no end",
    ends=MAYBE,
    detected="no beat within beat_within: worker.hung, and it is put down; without beat_within not at all",
    lasting=True,
    undone="its descriptor is the pipe again",
)


def begin(act: Act) -> None:
    """The null device takes the place of the pipe, which is kept open."""
    pipe = act.pipe()
    act.kept["pipe"] = (fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 0), pipe)
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(nothing, pipe, inheritable=False)
    finally:
        os.close(nothing)


def end(act: Act) -> None:
    """Back to its place."""
    kept, pipe = act.kept.pop("pipe", (-1, -1))
    if kept >= 0:
        os.dup2(kept, pipe, inheritable=False)
        os.close(kept)
