"""fork-storm: the worker has more and more children, up to a number."""

from __future__ import annotations

import os
import time

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

SAID_AFTER = 1.0  # seconds: of a large worker each fork takes long, and the service waits for 2 s

FAULT = Fault(
    kind="fork-storm",
    place=INSIDE,
    summary="the worker forks children, which sleep",
    ends=MAYBE,
    detected="not at all, unless forking takes longer than beat_within: worker.hung; with its life they end too",
    lasting=True,
    undone="the children end, and are reaped",
    parameters=(
        Parameter("n", "count", 50, "how many; fewer where pids.max or RLIMIT_NPROC allow no more", low=1, high=500),
    ),
)  # fmt: skip


def begin(act: Act) -> None:
    """In the main thread, which does nothing else meanwhile."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    read, write = act.kept["pipe"] = os.pipe()
    children: list[int] = act.kept.setdefault("children", [])
    began = time.monotonic()
    for _ in range(int(act.parameters["n"])):
        if act.over:
            return
        try:
            children.append(aside.fork(lambda: _sleep(read, write), dies_with_us=True))
        except OSError:
            if not children:
                raise
            return
        if time.monotonic() - began > SAID_AFTER:
            act.has_begun()


def _sleep(read: int, write: int) -> None:
    os.close(write)
    os.read(read, 1)


def end(act: Act) -> None:
    """A byte for each: they end by themselves. A number may be another's, should the worker reap children of its own."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    children: list[int] = act.kept.get("children", [])
    read, write = act.kept.pop("pipe", (-1, -1))
    if write >= 0:
        os.write(write, bytes(len(children) + 1))
        os.close(read)
        os.close(write)
    gone, children[:] = list(children), []
    left = aside.reap(gone)
    if left:
        raise OSError(f"{len(left)} of its {len(gone)} children have not ended")
