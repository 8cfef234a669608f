"""freeze-cgroup: the worker is frozen in a cgroup of its own, as by `docker pause` or a virtual machine that stands still.

Unlike SIGSTOP nobody is told, and SIGCONT does not help. In version 1 what is frozen does not even die of SIGKILL: so
whenever the worker is to be put down it is thawed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from supervisor import freezer, kernel
from supervisor.chaos.fault import MAYBE, OUTSIDE, Fault, Impossible, Parameter, Scene

FAULT = Fault(
    kind="freeze-cgroup",
    place=OUTSIDE,
    summary="the worker, with all it has started, is frozen in a cgroup of its own",
    ends=MAYBE,
    detected="by nothing but silence: after beat_within worker.hung, and it is put down",
    lasting=True,
    undone="thawed, back into the cgroup it was in, and the other removed",
    parameters=(
        Parameter("version", "word", "any", "of cgroups: v2, v1 (the freezer controller), or which there is",
                  words=("any", "v2", "v1")),
    ),
    outlives=True,
)  # fmt: skip
VERSIONS = {"any": (2, 1), "v2": (2,), "v1": (1,)}
FROZEN_WITHIN = 2.0  # seconds
GONE_WITHIN = 5.0  # seconds


def possible() -> str | None:
    """Where the service's own cgroup may be written to, the workers' may be."""
    return _home("self", "any")[1]


def look(scene: Scene) -> dict[str, Any]:
    """Which group shall be made, and below which."""
    assert scene.process is not None
    home, why = _home(scene.process.pid or 0, scene.parameters["version"])
    if home is None:
        raise Impossible(why or "")
    if freezer.is_ours(home):
        raise Impossible("it is frozen already")
    return {"version": home.version, "above": home.folder, "name": scene.chaos_id}


async def inject(scene: Scene, kept: dict[str, Any]) -> None:
    """All that is below it is moved too, but for what has a cgroup of its own already."""
    process = scene.process
    assert process is not None
    above = freezer.Group(kept["version"], kept["above"])
    group = freezer.make(above, kept["name"])
    try:
        freezer.move(process.pid or 0, group)
        for pid in kernel.descendants(
            process.pid or 0
        ):  # looked for only now: what it has forked since is in it already
            if freezer.group_of(pid, above.version) == above:
                with contextlib.suppress(ProcessLookupError):
                    freezer.move(pid, group)
        freezer.freeze(group)
        deadline = asyncio.get_running_loop().time() + FROZEN_WITHIN
        while not freezer.is_frozen(group) and not process.exit.done():
            if asyncio.get_running_loop().time() > deadline:
                raise Impossible(f"the kernel did not freeze it within {FROZEN_WITHIN:g} s")  # noqa: TRY301 - cleaned up below
            await asyncio.sleep(0.001)
    except (OSError, Impossible):
        await _remove(group)
        raise


async def undo(_scene: Scene, kept: dict[str, Any]) -> str:
    """Whatever has become of the worker."""
    await _remove(freezer.Group(kept["version"], f"{kept['above']}/{freezer.PREFIX}{kept['name']}"))
    return f"thawed, and its cgroup (v{kept['version']}) removed"


async def _remove(group: freezer.Group) -> None:
    deadline = asyncio.get_running_loop().time() + GONE_WITHIN
    while not freezer.remove(group):
        if asyncio.get_running_loop().time() > deadline:
            raise Impossible(f"thawed, but {group.folder} could not be removed: something in it does not end")
        await asyncio.sleep(0.002)


def _home(pid: int | str, version: str) -> tuple[freezer.Group | None, str | None]:
    """The group in which one can be made, or why there is none."""
    whys = []
    for number in VERSIONS[version]:
        group = freezer.group_of(pid, number)
        why = freezer.why_not(group)
        if why is None:
            return group, None
        whys.append(f"cgroups v{number}: {why}")
    return None, "; ".join(whys)
