"""log-flood: the worker writes lines, many or as many as it can, up to so many bytes."""

from __future__ import annotations

import os
import time

from supervisor.chaos.fault import INSIDE, NEVER, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.chaos.aside import Beside
    from workers.chaos import Act

TICK = 0.01  # seconds between two writes of lines, when it is not as fast as it can
AT_ONCE = 4000  # bytes a write at most: below PIPE_BUF none of the worker's own lines is torn

FAULT = Fault(
    kind="log-flood",
    place=INSIDE,
    summary="the worker floods its output with lines",
    ends=NEVER,
    detected="by its lines: worker.output; where they are too many, log.dropped",
    lasting=True,
    undone="no more lines come",
    parameters=(
        Parameter("rate", "number", 0.0, "lines a second; 0: as fast as it can", high=1e7),
        Parameter("stream", "word", "stdout", "where to", words=("stdout", "stderr")),
        Parameter("line", "count", 80, "bytes of a line with its newline", low=40, high=AT_ONCE),
        Parameter("limit", "size", 16 * 1024 * 1024, "bytes after which it is silent", low=4096, high=2**34),
    ),
)


def begin(act: Act) -> None:
    """A thread does it."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    act.kept["thread"] = aside.Beside(lambda thread: _flood(act, thread))


def _flood(act: Act, thread: Beside) -> None:
    rate, size, limit = (act.parameters[name] for name in ("rate", "line", "limit"))
    fd = 1 if act.parameters["stream"] == "stdout" else 2
    at_once = max(1, int(AT_ONCE // size))
    written, began = 0, time.monotonic()
    while written < limit // size and not thread.over:
        owed = at_once if not rate else int(rate * (time.monotonic() - began)) - written
        lines = min(owed, at_once, int(limit // size) - written)
        if lines <= 0:
            thread.pause(TICK)
            continue
        try:
            os.write(fd, b"".join(_line(act.identity, number, int(size)) for number in range(written, written + lines)))
        except OSError:  # nobody reads it any more
            return
        written += lines


def _line(identity: str, number: int, size: int) -> bytes:
    return f"chaos {identity}: line {number} of a flood".ljust(size - 1, ".").encode()[: size - 1] + b"\n"


def end(act: Act) -> None:
    """After the write it is in."""
    thread = act.kept.get("thread")
    if thread is not None:
        thread.end()
