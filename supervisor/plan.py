"""What a reload will do: the difference of two configs, worker by worker.

A running worker is restarted only for what was fixed when it was started. FIXED lists that; every other key
is used from the next decision on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from supervisor.spec import ChildSpec, Config, GroupSpec, Noun, Policy, Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

FIXED = (
    "target", "command", "args", "template", "ready", "beat_within", "env", "cwd", "umask", "user", "group",
    "nice", "cpus", "output",
)  # fmt: skip
"""Given to a life at its start, as are the service's `path` (for functions) and whether there are replicas at
all (the name depends on it). beat_within is among them because a worker chooses from it how often it beats;
output because pipes and sources are made with the life."""


class Plan(Noun, frozen=True):
    """What changes from one config to the next, by names of workers, groups and templates.

    restarted and updated name the keys that changed, scaled has the replicas (before, after), rebuilt has
    templates (running workers stay, their next lives come from the new one), service the keys of [supervisor]
    that change at once, later those that only a new start of the service changes.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - msgspec copies it
    updated: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - msgspec copies it
    scaled: dict[str, tuple[int, int]] = {}  # noqa: RUF012 - msgspec copies it
    groups_added: tuple[str, ...] = ()
    groups_removed: tuple[str, ...] = ()
    groups_restructured: tuple[str, ...] = ()  # members or strategy
    groups_updated: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - msgspec copies it
    rebuilt: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Plan()

    def __str__(self) -> str:
        return "\n".join(_lines(self)) or "nothing changes"


def fingerprint(spec: ChildSpec, path: tuple[str, ...] = ()) -> str:
    """Changes if and only if a running worker must be restarted to follow its spec; `path`: the Config's."""
    facts = {key: getattr(spec, key) for key in FIXED}
    # A probe is a question asked from outside: which one may change under a running worker.
    facts["ready"] = "probe" if isinstance(spec.ready, Probe) else spec.ready
    facts["path"] = path if spec.target else ()
    facts["named"] = spec.replicas is None
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()[:16]


def difference(old: Config, new: Config) -> Plan:
    """What a reload from `old` to `new` will do."""
    restarted, updated, scaled = {}, {}, {}
    for name in _both(old.workers, new.workers):
        before, after = _alike(old.workers[name], new.workers[name])
        changed = _changed(before, after)
        if fingerprint(before, old.path) != fingerprint(after, new.path):
            path = ("path",) if after.target and old.path != new.path else ()
            restarted[name] = (*changed, *path)
        elif live := tuple(key for key in changed if key != "replicas"):
            updated[name] = live
        if before.replicas != after.replicas and None not in (before.replicas, after.replicas):
            scaled[name] = (before.replicas or 1, after.replicas or 1)
    groups = {name: _changed(old.groups[name], new.groups[name]) for name in _both(old.groups, new.groups)}
    restructured = tuple(name for name, changed in groups.items() if {"members", "strategy"} & set(changed))
    service = [
        key
        for key in ("name", "recent", "starting_at_once", "control", "chaos")
        if getattr(old, key) != getattr(new, key)
    ]
    return Plan(
        added=tuple(name for name in new.workers if name not in old.workers),
        removed=tuple(name for name in old.workers if name not in new.workers),
        restarted=restarted,
        updated=updated,
        scaled=scaled,
        groups_added=tuple(name for name in new.groups if name not in old.groups),
        groups_removed=tuple(name for name in old.groups if name not in new.groups),
        groups_restructured=restructured,
        groups_updated={
            name: changed for name, changed in groups.items() if changed and name not in restructured
        },
        rebuilt=tuple(
            name for name in _both(old.templates, new.templates) if old.templates[name] != new.templates[name]
        ),
        service=tuple(key for key in service if key not in ("name", "recent")),
        later=tuple(key for key in service if key in ("name", "recent")),
    )


def _both(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [name for name in old if name in new]


def _alike(old: ChildSpec, new: ChildSpec) -> tuple[ChildSpec, ChildSpec]:
    """The specs with their CPU lists cut to the replicas that are in both: scaling restarts no sibling."""
    if isinstance(old.cpus, str) or isinstance(new.cpus, str):
        return old, new
    count = min(len(old.cpus), len(new.cpus))
    cut = [msgspec.structs.replace(spec, cpus=spec.cpus[:count]) for spec in (old, new)]
    return cut[0], cut[1]


def _changed(old: ChildSpec | GroupSpec, new: ChildSpec | GroupSpec) -> tuple[str, ...]:
    """The keys, as they are called in the config, whose values differ."""
    keys = [
        key for key in old.__struct_fields__ if key != "policy" and getattr(old, key) != getattr(new, key)
    ]
    keys += [key for key in Policy.__struct_fields__ if getattr(old.policy, key) != getattr(new.policy, key)]
    return tuple(keys)


def _lines(plan: Plan) -> list[str]:
    lines = [f"+ worker {name}" for name in plan.added]
    lines += [f"- worker {name}" for name in plan.removed]
    lines += [f"! worker {name} restarts ({', '.join(keys)})" for name, keys in plan.restarted.items()]
    lines += [f"~ worker {name} goes on ({', '.join(keys)})" for name, keys in plan.updated.items()]
    lines += [
        f"~ worker {name} scales from {old} to {new} replicas" for name, (old, new) in plan.scaled.items()
    ]
    lines += [f"+ group {name}" for name in plan.groups_added]
    lines += [f"- group {name}" for name in plan.groups_removed]
    lines += [f"! group {name} is put together anew" for name in plan.groups_restructured]
    lines += [f"~ group {name} goes on ({', '.join(keys)})" for name, keys in plan.groups_updated.items()]
    lines += [f"~ template {name} is rebuilt; running workers stay" for name in plan.rebuilt]
    lines += [f"~ {key}" if key == "chaos" else f"~ supervisor.{key}" for key in plan.service]
    lines += [f"= supervisor.{key} changes only when the service is started anew" for key in plan.later]
    return lines
