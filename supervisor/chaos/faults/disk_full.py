"""disk-full: the worker can write no file. Stands for a full disk; what it gets is EFBIG, and not ENOSPC.

No disk is filled, for that would hit everybody: the worker may not make any file longer than `size` (RLIMIT_FSIZE). To write
within that is allowed, pipes and sockets are untouched, and so is the disk. Its memfds count as files, so that a worker that
hangs or crashes meanwhile leaves no stack. A program that is not Python, and does not ignore SIGXFSZ, is killed by that.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from supervisor.chaos import limits
from supervisor.chaos.fault import GONE, MAYBE, OUTSIDE, Fault, Impossible, Parameter, Scene

FAULT = Fault(
    kind="disk-full",
    place=OUTSIDE,
    summary="the worker's writes to files fail, as on a full disk (with EFBIG in place of ENOSPC)",
    ends=MAYBE,
    detected="by the worker's own errors: in its output, or by its end; a program that does not ignore it, by SIGXFSZ",
    lasting=True,
    undone="the limit as it was, in the worker and what it has started meanwhile",
    parameters=(Parameter("size", "size", 0, "the longest a file may get"),),
)
AGAIN_AFTER = 0.05  # seconds


def look(scene: Scene) -> dict[str, Any]:
    """What the limit is now."""
    assert scene.process is not None
    ours, was = int(scene.parameters["size"]), limits.soft(scene.process, resource.RLIMIT_FSIZE)
    if 0 <= was <= ours:
        raise Impossible(f"its limit is {was} bytes already")
    return {"was": was, "ours": ours}


def inject(scene: Scene, kept: dict[str, Any]) -> None:
    """From the next write on."""
    assert scene.process is not None
    limits.set_soft(scene.process, resource.RLIMIT_FSIZE, kept["ours"])


async def undo(scene: Scene, kept: dict[str, Any]) -> str:
    """Where the worker has set another limit since, that stays.

    Looked at twice: the hook in a worker's heart lifts the limit for as long as it takes to answer, and may just now put
    back what we have lifted for good.
    """
    if scene.process is None:
        raise Impossible(GONE)
    found = limits.put_back(scene.process, resource.RLIMIT_FSIZE, ours=kept["ours"], was=kept["was"])
    await asyncio.wait([scene.process.exit], timeout=AGAIN_AFTER)
    if not scene.process.exit.done():
        found += limits.put_back(scene.process, resource.RLIMIT_FSIZE, ours=kept["ours"], was=kept["was"])
    said = "no limit" if kept["was"] < 0 else f"{kept['was']} bytes"
    return f"RLIMIT_FSIZE {said} again" if found else "it has set a limit of its own meanwhile, which stays"
