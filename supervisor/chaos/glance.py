"""One look at a service by its `status`: a sample of its workers, and who belongs together."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from supervisor import kernel
from supervisor.chaos.record import Injected, Member, Own, Row, Sample


def sample(status: dict[str, Any], now: float) -> Sample:
    """One for a record, taken at `now` (monotonic)."""
    pid = status["supervisor"]["pid"]
    rows = tuple(msgspec.convert(row, Row) for row in status["workers"])
    return Sample(at=now, supervisor_pid=pid, workers=rows, own=_own(pid))


def _own(pid: int) -> Own:
    """What it takes by its /proc, as far as we may look."""
    seen = kernel.stat(pid)
    counts: list[int | None] = []
    for folder in ("fd", "task"):
        try:
            counts.append(len(os.listdir(f"/proc/{pid}/{folder}")))
        except OSError:
            counts.append(None)
    children = None if seen is None else len(kernel.children(pid))
    return Own(fds=counts[0], threads=counts[1], rss_bytes=seen and seen.rss_bytes, children=children)


def injected(event: dict[str, Any]) -> Injected:
    """A fault as a `chaos.injected` tells of it."""
    at, lasts = event["monotonic_s"], event.get("for_s")
    return Injected(
        chaos_id=event["chaos_id"], kind=event["kind"], at=at, until=at + lasts if lasts else None, seconds=lasts,
        worker=event.get("worker"), spawn_id=event.get("spawn_id"), pid=event.get("pid"),
        parameters=event.get("parameters") or {},
    )  # fmt: skip


def members(status: dict[str, Any], may_hit: set[str]) -> list[Member]:
    """The workers, each with those that its group restarts with it."""
    groups = {group["group"]: group for group in status.get("groups", ())}
    found = []
    for row in status["workers"]:
        group = groups.get(row["group"])
        found.append(
            Member(
                worker=row["worker"], group=group and row["group"], chaos=row["worker"] in may_hit,
                beat_within=row.get("beat_within"), strategy=group and group["strategy"],
                members_after=tuple(_restarting_with(row["worker"], group, groups)) if group else (),
            )
        )  # fmt: skip
    return found


def _restarting_with(worker: str, group: dict[str, Any], groups: dict[str, Any]) -> list[str]:
    """The workers below the members of its group that restart when it fails."""
    if worker not in group["members"]:
        return []
    place = group["members"].index(worker)
    match group["strategy"]:
        case "rest_for_one":
            names = group["members"][place + 1 :]
        case "one_for_all":
            names = group["members"][:place] + group["members"][place + 1 :]
        case _:
            names = []
    return [leaf for name in names for leaf in _leaves(name, groups)]


def _leaves(name: str, groups: dict[str, Any]) -> list[str]:
    if name not in groups:
        return [name]
    return [leaf for member in groups[name]["members"] for leaf in _leaves(member, groups)]
