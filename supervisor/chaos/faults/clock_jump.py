"""clock-jump: the wall clock is stepped, as by an administrator or a time server. Nobody here cares: deadlines are monotonic.

It is the clock of the whole machine, so it takes `machine=true` to say that this is meant. It is put back to the time it would
show by now, by the clock that counts since the boot; not where somebody else has put it right meanwhile. Should the anchor be
killed too, nobody puts it back.
"""

from __future__ import annotations

import time
from typing import Any

from supervisor.chaos.fault import NEVER, PART, Fault, Impossible, Parameter, Scene

CAP_SYS_TIME = 25
A_SECOND = 1_000_000_000

FAULT = Fault(
    kind="clock-jump",
    place=PART,
    summary="the wall clock of the whole machine is stepped (CLOCK_REALTIME)",
    ends=NEVER,
    detected="by nothing: it has no effect on supervision, only on the timestamps in the log",
    lasting=True,
    undone="stepped back, by as much",
    parameters=(
        Parameter("by", "number", 3600.0, "seconds, backwards if negative", low=-1e8, high=1e8),
        Parameter("machine", "flag", False, "must be true: everybody on the machine sees it"),
    ),
)


def possible() -> str | None:
    """To set the clock takes a capability."""
    with open("/proc/self/status", encoding="utf-8") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return (
        None
        if effective >> CAP_SYS_TIME & 1
        else "to set the clock takes CAP_SYS_TIME, which the service does not have"
    )


def look(scene: Scene) -> dict[str, Any]:
    """What the clock is ahead of the time since the boot, and by how much it is to be stepped; both in ns."""
    if not scene.parameters["machine"]:
        raise Impossible("it is the clock of the whole machine: say machine=true if that is meant")
    if any(one.kind == FAULT.kind for one in scene.service.chaos.ongoing.faults.values()):
        raise Impossible("it is stepped already: two steps could not be told apart, to be taken back")
    by = int(scene.parameters["by"] * A_SECOND)
    if time.clock_gettime_ns(time.CLOCK_REALTIME) + by < A_SECOND:
        raise Impossible(f"there is no time {-by / A_SECOND:g} s ago")
    return {"ahead": _ahead(), "by": by}


def inject(_scene: Scene, kept: dict[str, Any]) -> None:
    """One step."""
    _set(kept["ahead"] + kept["by"])


def undo(_scene: Scene, kept: dict[str, Any]) -> str:
    """Where it would be now."""
    stepped = _ahead() - kept["ahead"]
    if abs(stepped - kept["by"]) > abs(kept["by"]) / 2:
        return (
            f"somebody has set the clock meanwhile: it is {stepped / A_SECOND:+.3f} s from where it was, and stays so"
        )
    _set(kept["ahead"])
    return f"stepped back by {kept['by'] / A_SECOND:g} s"


def _ahead() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _set(ahead: int) -> None:
    time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + ahead)
