"""pipe-close: the worker closes its beat pipe, as a program does that closes every descriptor it does not know."""

from __future__ import annotations

import os

from supervisor.chaos.fault import INSIDE, MAYBE, Fault
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="pipe-close",
    place=INSIDE,
    summary="the worker closes its beat pipe for good",
    ends=MAYBE,
    detected="no beat within beat_within: worker.hung, and it is put down; without beat_within not at all",
)


def begin(act: Act) -> None:
    """Something else is there in its place: no file of the worker's may get the number, and its beats."""
    pipe = act.pipe()
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(nothing, pipe, inheritable=False)
    finally:
        os.close(nothing)
