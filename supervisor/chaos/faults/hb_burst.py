"""hb-burst: more beats at once than the worker would send in an hour."""

from __future__ import annotations

import os
from time import monotonic

from supervisor.chaos.fault import INSIDE, NEVER, Fault, Parameter
from workers import wire
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

AT_ONCE = 50  # lines a write, which is below PIPE_BUF and so never torn

FAULT = Fault(
    kind="hb-burst",
    place=INSIDE,
    summary="the worker beats as fast as it can, as often as its pipe takes it",
    ends=NEVER,
    detected="not at all: a run of beats is read as its last one, and what a full pipe does not take is sent later",
    parameters=(Parameter("n", "count", 1000, "how many, if the pipe takes them: it holds some 1,500", low=1, high=100_000),),
)  # fmt: skip


def begin(act: Act) -> None:
    """Past the heart, which would make one of them."""
    pipe, left = act.pipe(), int(act.parameters["n"])
    while left and not act.over:
        now = min(left, AT_ONCE)
        try:
            os.write(pipe, b"".join(wire.encode("beat", at=round(monotonic(), 6)) for _ in range(now)))
        except BlockingIOError:
            return
        left -= now
