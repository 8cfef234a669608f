"""fd-exhaust: no descriptor is left for the worker. A leak of somebody's, or a flood of connections."""

from __future__ import annotations

import os
import resource
from itertools import count, islice
from typing import Any

from supervisor.chaos import limits
from supervisor.chaos.fault import GONE, MAYBE, OUTSIDE, Fault, Impossible, Parameter, Scene

FAULT = Fault(
    kind="fd-exhaust",
    place=OUTSIDE,
    summary="the worker can open nothing more: its limit of descriptors is what it has open",
    ends=MAYBE,
    detected="by the worker's own errors (EMFILE): in its output, by its end, or by beats that carry no more progress",
    lasting=True,
    undone="the limit as it was, in the worker and what it has started meanwhile",
    parameters=(Parameter("left", "count", 0, "so many descriptors it may still open", high=100_000),),
)


def look(scene: Scene) -> dict[str, Any]:
    """The limit counts numbers, not descriptors: below it there have to be just so many free ones."""
    process = scene.process
    assert process is not None
    try:
        taken = {int(fd) for fd in os.listdir(f"/proc/{process.pid}/fd")}
    except FileNotFoundError:
        raise Impossible(GONE) from None
    except PermissionError:
        raise Impossible("its descriptors cannot be looked at: it runs as another user") from None
    ours = next(islice((number for number in count() if number not in taken), scene.parameters["left"], None))
    was = limits.soft(process, resource.RLIMIT_NOFILE)
    if 0 <= was <= ours:
        raise Impossible(f"its limit is {was} already")
    return {"was": was, "ours": ours}


def inject(scene: Scene, kept: dict[str, Any]) -> None:
    """What is open stays so, even above the limit."""
    assert scene.process is not None
    limits.set_soft(scene.process, resource.RLIMIT_NOFILE, kept["ours"])


def undo(scene: Scene, kept: dict[str, Any]) -> str:
    """Where the worker has set another limit since, that stays."""
    if scene.process is None:
        raise Impossible(GONE)
    found = limits.put_back(scene.process, resource.RLIMIT_NOFILE, ours=kept["ours"], was=kept["was"])
    return f"RLIMIT_NOFILE {kept['was']} again" if found else "it has set a limit of its own meanwhile, which stays"
