"""pipe-oversize: lines on the beat pipe that are longer than a line may be."""

from __future__ import annotations

import os
from time import monotonic

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers import wire
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="pipe-oversize",
    place=INSIDE,
    summary="the worker writes lines that are too long",
    ends=MAYBE,
    detected="as pipe-garbage: worker.protocol_violated when its pipe is read, once a line; "
    "after 100 in its life worker.ended, protocol",
    parameters=(
        Parameter("n", "count", 3, "how many, if the pipe takes them", low=1, high=1000),
        Parameter("size", "size", 4096, "bytes of a line with its newline", low=wire.LIMIT + 1, high=60_000),
    ),
)


def begin(act: Act) -> None:
    """Good beats, but for a status that is too long."""
    pipe, size = act.pipe(), int(act.parameters["size"])
    start = b'{"kind":"beat","at":%.6f,"status":"' % monotonic()
    line = start + b"x" * (size - len(start) - 3) + b'"}\n'
    for _ in range(int(act.parameters["n"])):
        try:
            written = os.write(pipe, line)
        except BlockingIOError:
            return
        if written < size:  # the pipe is full: what comes next makes this line whole, and is lost with it
            return
