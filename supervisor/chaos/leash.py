"""What chaos may hit, and how much of it at a time. Pure: tables in, a sentence or nothing out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from supervisor.chaos.record import Settings
    from supervisor.spec import ChaosRules

HIT_FOR = 1.0  # seconds for which a worker counts as hit after a fault that shows no other way
DISABLED = "chaos is not enabled here: set enabled = true under [chaos] and reload"


class Standing(NamedTuple):
    """How a worker stands. up: it is wanted up, and not done. hit: a fault of ours is on it or has just been."""

    name: str
    opted_in: bool
    up: bool
    ready: bool
    hit: bool = False


def may_hit(rules: ChaosRules, standings: Iterable[Standing]) -> list[Standing]:
    """Those that are anybody's to hit at some time, by name."""
    found = [one for one in standings if one.opted_in and not is_protected(rules, one.name)]
    return sorted(found, key=lambda one: one.name)


def is_protected(rules: ChaosRules | Settings, name: str) -> bool:
    """Whether a pattern of `protected` matches the worker's name, or that of the spec it is a replica of."""
    return any(fnmatchcase(each, pattern) for pattern in rules.protected for each in (name, name.rpartition("-")[0]))


def why_not(rules: ChaosRules, standings: Sequence[Standing], targets: Collection[str]) -> str | None:
    """Why these workers must not be hit now; None if they may. A worker that is down for any reason counts as hit."""
    known = {one.name: one for one in standings}
    for name in targets:
        one = known[name]
        if not one.opted_in:
            return f"{name} has not opted in: set chaos = true in its [workers] table"
        if is_protected(rules, name):
            return f"{name} is protected by [chaos] protected"
        if not one.up:
            return f"{name} is not wanted up, or is done"
    hittable = may_hit(rules, standings)
    most = bound(rules, len(hittable))
    already = {one.name for one in hittable if one.hit or (one.up and not one.ready)}
    after = already | set(targets)
    if len(after) > most:
        others = ", ".join(sorted(already)[:5]) + (" …" if len(already) > 5 else "")
        down = f"; {len(already)} already are or are not ready: {others}" if already else ""
        return (
            f"{len(after)} of {len(hittable)} workers would be under a fault, the most is {most} "
            f"(max_count = {rules.max_count}, max_percent = {rules.max_percent:g}){down}"
        )
    return None


def bound(rules: ChaosRules | Settings, hittable: int) -> int:
    """How many workers may be under a fault at one time: by percent rounded down, but one may always."""
    return min(rules.max_count, max(1, int(hittable * rules.max_percent / 100)))


def floor(rules: ChaosRules, standings: Iterable[Standing]) -> str | None:
    """Why there must be no chaos at all now: too few workers are ready. None if enough are."""
    ready, wanted = available(standings)
    if not wanted or ready / wanted >= rules.abort_below:
        return None
    return f"floor: only {ready} of {wanted} workers are ready (abort_below = {rules.abort_below:g})"


def available(standings: Iterable[Standing]) -> tuple[int, int]:
    """Of the workers that are wanted up: (ready, all)."""
    up = [one for one in standings if one.up]
    return sum(one.ready for one in up), len(up)
