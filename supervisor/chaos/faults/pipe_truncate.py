"""pipe-truncate: half a line on the beat pipe, and the next one glued to it. What a writer leaves that is killed in a write."""

from __future__ import annotations

import os
from time import monotonic

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers import wire
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="pipe-truncate",
    place=INSIDE,
    summary="the worker writes half beats",
    ends=MAYBE,
    detected="as pipe-garbage: worker.protocol_violated when its pipe is read, "
    "after 100 in its life worker.ended, protocol",
    parameters=(Parameter("n", "count", 3, "how many, if the pipe takes them", low=1, high=10_000),),
)


def begin(act: Act) -> None:
    """Each is the half of one beat and the whole of another: so one is lost, and the next is good."""
    pipe = act.pipe()
    for _ in range(int(act.parameters["n"])):
        whole = wire.encode("beat", at=round(monotonic(), 6))
        try:
            os.write(pipe, whole[: len(whole) // 2] + whole)
        except BlockingIOError:
            return
