"""What spans workers and groups: names, membership, needs, and whether all of it can ever start.

A cycle is shown as `a -> b -> a`. It may run over needs, over the start order within groups, and over groups,
which are ready only when all their members are.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from supervisor.problems import Place, nearest
from supervisor.spec import ChildSpec, Config, GroupSpec, Restart, Until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.spec import Need

Step = tuple[str, str]  # ("start", NAME) or ("ready", NAME)
_ENOUGH = 20  # cycles shown; the sorter finds one at a time


def check_graph(config: Config, place: Place) -> None:
    """Keep every problem that only shows between tables."""
    _check_names(config, place)
    parents = _check_members(config, place)
    _check_needs(config, place)
    _check_escalation(config, parents, place)
    members = {
        (name, name): {(member, member) for member in group.members} for name, group in config.groups.items()
    }
    if cycle := _cycle(members):
        names = [name for name, _ in cycle]
        place.at("groups").at(names[0]).wrong(f"a group cannot contain itself: {' -> '.join(names)}")
        return
    _check_start(config, parents, place)


def _entities(config: Config) -> Iterator[tuple[ChildSpec | GroupSpec, str]]:
    yield from ((spec, "workers") for spec in config.workers.values())
    yield from ((group, "groups") for group in config.groups.values())


def _check_names(config: Config, place: Place) -> None:
    for spec, kind in _entities(config):
        at = place.at(kind).at(spec.name)
        if kind == "groups" and spec.name in config.workers:
            at.wrong("a worker has the same name", "rename one of them")
        base = _replica_of(spec.name, config)
        if base:
            at.wrong(f"{spec.name} is the name of a replica of workers.{base}", "rename one of them")


def _replica_of(name: str, config: Config) -> str | None:
    """The worker with replicas among whose names this one is, or would be after `scale`."""
    found = re.fullmatch("(.+)-(0|[1-9][0-9]*)", name)
    spec = config.workers.get(found[1]) if found else None
    return spec.name if spec and spec.replicas is not None else None


def _missing(name: str, config: Config, place: Place) -> bool:
    if name in config.workers or name in config.groups:
        return False
    base = _replica_of(name, config)
    close = f'name the worker, "{base}": it stands for all its replicas' if base else None
    place.wrong(
        f"there is no worker or group {name}", close or nearest(name, [*config.workers, *config.groups])
    )
    return True


def _check_members(config: Config, place: Place) -> dict[str, str]:
    """The group each member is in."""
    parents: dict[str, str] = {}
    for group in config.groups.values():
        for index, member in enumerate(group.members):
            at = place.at("groups").at(group.name).at("members").at(index)
            if _missing(member, config, at):
                continue
            if member in parents:
                again = "twice" if parents[member] == group.name else f"of groups.{parents[member]}, too"
                at.wrong(
                    f"{member} is a member {again}", "a worker or group is a member of one group at most"
                )
            parents.setdefault(member, group.name)
    return parents


def _check_needs(config: Config, place: Place) -> None:
    for spec, kind in _entities(config):
        seen: set[str] = set()
        for index, need in enumerate(spec.needs):
            at = place.at(kind).at(spec.name).at("needs").at(index)
            if _missing(need.name, config, at):
                continue
            if need.name in seen:
                at.wrong(f"{need.name} is needed already")
            seen.add(need.name)
            worker = config.workers.get(need.name)
            if need.until is Until.COMPLETED and worker and worker.policy.restart is Restart.PERMANENT:
                at.wrong(
                    f"{need.name} is permanent and never completes",
                    f'set restart = "transient" in workers.{need.name}',
                )


def _check_escalation(config: Config, parents: dict[str, str], place: Place) -> None:
    for spec, kind in _entities(config):
        if spec.policy.on_quarantine.action == "escalate" and spec.name not in parents:
            at = place.at(kind).at(spec.name).at("on_quarantine")
            at.wrong("there is no group to escalate to", f'make {spec.name} a member of one, or say "exit"')


def _check_start(config: Config, parents: dict[str, str], place: Place) -> None:
    needs = [
        (spec.name, kind, index, need)
        for spec, kind in _entities(config)
        for index, need in enumerate(spec.needs)
    ]
    waits = _order(config, parents)
    for name, _, _, need in needs:
        waits.setdefault(("start", name), set()).add(_awaited(need))
    for _ in range(_ENOUGH):
        cycle = _cycle(waits)
        if not cycle:
            return
        edges = set(pairwise(cycle))
        # Groups alone are in order, so some step of a cycle is a need: tell it there, and go on without.
        name, kind, index, need = next(n for n in needs if (("start", n[0]), _awaited(n[3])) in edges)
        waits["start", name].discard(_awaited(need))
        at = place.at(kind).at(name).at("needs").at(index)
        at.wrong(f"nobody can start first: {_path(cycle, name)}", _explained(cycle, needs))


def _awaited(need: Need) -> Step:
    return ("start" if need.until is Until.STARTED else "ready", need.name)


def _order(config: Config, parents: dict[str, str]) -> dict[Step, set[Step]]:
    """Which step waits for which, needs apart."""
    waits: dict[Step, set[Step]] = {
        ("ready", name): {("start", name)} for name in [*config.workers, *config.groups]
    }
    for group in config.groups.values():
        before: Step = ("start", group.name)
        for member in dict.fromkeys(name for name in group.members if parents.get(name) == group.name):
            waits.setdefault(("start", member), set()).update({before, ("start", group.name)})
            before = ("ready", member)
            waits["ready", group.name].add(before)
    return waits


def _cycle(waits: dict[Step, set[Step]]) -> list[Step]:
    """A cycle, each step waiting for the next and the last being the first; empty if there is none."""
    try:
        TopologicalSorter({step: sorted(others) for step, others in waits.items()}).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _path(cycle: list[Step], first: str) -> str:
    names = [name for _, name in cycle[:-1]]
    start = names.index(first)
    turned = [name for name, _ in groupby(names[start:] + names[:start])]
    if len(turned) > 1 and turned[-1] == first:
        turned.pop()
    return " -> ".join([*turned, first])


def _explained(cycle: list[Step], needs: list[tuple[str, str, int, Need]]) -> str | None:
    """The steps that are nobody's need, which a reader of the config would look for in vain."""
    asked = {(("start", name), _awaited(need)) for name, _, _, need in needs}
    told = [
        f"{later} is ready only after its member {earlier}" if what == "ready" else
        f"{later} starts after {earlier} by its place in a group"
        for (what, later), (kind, earlier) in pairwise(cycle)
        if later != earlier and ((what, later), (kind, earlier)) not in asked
    ]  # fmt: skip
    return ", ".join(told) or None
