"""From a worker's spec to the request its template is sent. No process is touched here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from supervisor.notify import SCRUB
from supervisor.spec import Ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.spec import ChildSpec


CHAOS = "NINELIVES_CHAOS"


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What workers inherit of the service's environment: all but what systemd meant for the service alone."""
    return {name: value for name, value in inherited.items() if name not in SCRUB and name != CHAOS}


def names(spec: ChildSpec, count: int) -> list[str]:
    """The names of its workers: NAME alone, or NAME-0 … where the config says `replicas`.

    A single worker that is scaled up keeps its name, so that scaling never restarts a sibling.
    """
    if spec.replicas is None:
        return [spec.name if index == 0 else f"{spec.name}-{index}" for index in range(count)]
    return [f"{spec.name}-{index}" for index in range(count)]


def cpus(spec: ChildSpec, replica: int) -> list[int] | None:
    """The CPUs this replica is pinned to; None for all of them."""
    if spec.cpus == "symmetric":
        return None
    if spec.cpus == "spread":
        allowed = sorted(os.sched_getaffinity(0))
        return [allowed[replica % len(allowed)]]
    chosen = spec.cpus if isinstance(spec.cpus, str) else spec.cpus[replica % len(spec.cpus)]
    found: set[int] = set()
    for part in chosen.split(","):
        first, _, last = part.strip().partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def identity(spec: ChildSpec, *, name: str, replica: int, notify: str | None) -> dict[str, str]:
    """What its environment says of who it is, which a standby learns with its go; `notify`: where sd_notify may be said."""
    said = {"NINELIVES_NAME": name, "NINELIVES_REPLICA": str(replica)}
    if notify is not None:
        said["NOTIFY_SOCKET"] = notify
        if spec.beat_within is not None:
            said["WATCHDOG_USEC"] = str(int(spec.beat_within * 1e6))
    return said


def order(
    spec: ChildSpec,
    *,
    name: str,
    replica: int,
    standby: bool,
    env: dict[str, str],
    path: tuple[str, ...],
    notify: str | None,
    chaos: bool = False,
) -> dict[str, Any]:
    """The fields of a `spawn` request that follow from the spec (docs/architecture.md, "Template protocol").

    chaos: whether the service's config enables it; a worker whose spec does too has its hook put into its heart.
    """
    said = {**identity(spec, name=name, replica=replica, notify=notify), "NINELIVES_BEAT_FD": "3"}
    if spec.beat_within is not None:
        said["NINELIVES_BEAT_WITHIN"] = str(spec.beat_within)
    if chaos and spec.chaos:
        said[CHAOS] = "1"
    return {
        "name": name,
        "spec": spec.name,
        "replica": replica,
        "standby": standby,
        "target": spec.target,
        "args": spec.args,
        "command": list(spec.command) if spec.command else None,
        "path": list(path),
        "env": {**env, **spec.env, **said},
        "cwd": spec.cwd,
        "umask": spec.umask,
        "user": spec.user,
        "group": spec.group,
        "nice": spec.nice,
        "cpus": cpus(spec, replica),
        "beat_within": spec.beat_within,
        "ready": str(spec.ready) if isinstance(spec.ready, Ready) else "started",
    }
