"""pipe-garbage: lines on the beat pipe that break its rules, each in another way."""

from __future__ import annotations

import os
import random

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="pipe-garbage",
    place=INSIDE,
    summary="the worker writes nonsense on its beat pipe",
    ends=MAYBE,
    detected="when its pipe is read, which is before beat_within is over and never without it: worker.protocol_violated, "
    "three times at most; after 100 such lines in its life it is put down: worker.ended, protocol",
    parameters=(
        Parameter("n", "count", 10, "how many lines, if the pipe takes them", low=1, high=10_000),
        Parameter("seed", "count", 0, "of the chance in them"),
    ),
)

LIES = (
    b"",
    b"null",
    b"[1, 2",
    b'"beat"',
    b"{}",
    b'{"kind": "beat"}',
    b'{"kind": "beat", "at": "now"}',
    b'{"kind": "beat", "at": NaN}',
    b'{"kind": "beat", "at": -1e309}',
    b'{"kind": "beat", "at": true}',
    b'{"kind": ["beat"], "at": 1}',
    b'{"kind": "bite", "at": 1}',
    b'{"kind": "busy", "at": 1, "for": 1e400}',
    b'{"kind": "ready", "at": 1, "status": "\\ud800"}',
    b'{"kind": "hello", "pid": -1, "start": 0, "spawn": "", "heart": true, "stacks": true}',
    b"[" * 500,
    b"\xff\xfe\x00\x01",
)


def begin(act: Act) -> None:
    """A line a write."""
    pipe = act.pipe()
    chance = random.Random(act.parameters["seed"])  # noqa: S311 - to be had again
    for _ in range(int(act.parameters["n"])):
        try:
            os.write(pipe, line(chance) + b"\n")
        except BlockingIOError:
            return


def line(chance: random.Random) -> bytes:
    """One that no reader of beats would take, without its newline."""
    if chance.random() < 0.5:
        return chance.choice(LIES)
    return b"\x80" + chance.randbytes(chance.randrange(200)).replace(b"\n", b"\r")
