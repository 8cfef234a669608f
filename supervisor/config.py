"""From a TOML file to a spec.Config, or to everything that is wrong with it.

Whatever the bytes, `check` answers and `load` raises nothing but BadConfig; neither stops at the first
problem. The keys are in `keys`, what spans workers and groups in `graph`; a config is written out again by
`effective` and compared with its successor by `plan`, both of which are offered here, too.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

from supervisor import forms, keys, policy, readers
from supervisor.effective import show
from supervisor.environment import read_file
from supervisor.graph import check_graph
from supervisor.plan import Plan, difference, fingerprint
from supervisor.problems import BadConfig, Place, Problem, Wrong, nearest, said
from supervisor.spec import ChaosRules, ChildSpec, Config, GroupSpec, Policy, TemplateSpec

__all__ = ["BadConfig", "Plan", "Problem", "check", "difference", "fingerprint", "load", "show"]

BARE = "bare"
_LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


def load(path: str) -> Config:
    """The config in a file; raises BadConfig with all its problems."""
    config, problems = check(path)
    if config is None:
        raise BadConfig(problems)
    return config


def check(path: str) -> tuple[Config | None, list[Problem]]:
    """The config in a file, or None and all its problems."""
    source = os.path.abspath(path)
    place = Place(path, os.path.dirname(source))
    try:
        config = _config(_parse(read_file(path)), source, place)
    except Wrong as wrong:
        place.keep(wrong)
    except tomllib.TOMLDecodeError as error:
        place.wrong(f"is not TOML: {error}")
    except RecursionError:
        place.wrong("is not TOML we can read: it nests too deep")
    except ValueError as error:  # a number too long for Python, a date that is none
        place.wrong(f"is not TOML: {error}")
    return (None if place.problems else config), place.problems


def _parse(text: str) -> dict[str, Any]:
    # tomllib keeps every prefix of a dotted key: 100,000 parts in one key, and the machine is out of memory.
    if _LONG_KEY.search(text):
        raise Wrong("is not TOML we can read: a key has more than 32 parts")
    return tomllib.loads(text)


def _config(tree: dict[str, Any], source: str, place: Place) -> Config:
    tables = ("supervisor", "chaos", "templates", "workers", "groups")
    for key in tree:
        if key not in tables:
            place.at(key).wrong("unknown table", nearest(key, tables))
    values = {"path": (place.folder,)} | _table(tree, "supervisor", keys.SUPERVISOR, place)
    templates = {
        name: TemplateSpec(name=name, **readers.fields(table, keys.TEMPLATE, at))
        for name, table, at in _named(tree, "templates", place)
    }
    if BARE in templates:
        place.at("templates").at(BARE).wrong(
            "bare is always there and has nothing preloaded", "choose another name"
        )
    workers = {
        name: _worker(name, table, templates, at) for name, table, at in _named(tree, "workers", place)
    }
    groups = {name: _group(name, table, at) for name, table, at in _named(tree, "groups", place)}
    chaos = ChaosRules(**_table(tree, "chaos", keys.CHAOS, place))
    config = Config(source=source, chaos=chaos, templates=templates, workers=workers, groups=groups, **values)
    check_graph(config, place)
    return config


def _table(tree: dict[str, Any], key: str, known: dict[str, readers.Key], place: Place) -> dict[str, Any]:
    try:
        return readers.fields(tree.get(key, {}), known, place.at(key))
    except Wrong as wrong:
        place.at(key).keep(wrong)
        return {}


def _named(tree: dict[str, Any], kind: str, place: Place) -> list[tuple[str, dict[str, Any], Place]]:
    """The tables [kind.NAME]; names and things that are no tables are checked here."""
    tables = tree.get(kind, {})
    if not isinstance(tables, dict):
        place.at(kind).wrong(f"must be a table of tables, not {said(tables)}")
        return []
    found = []
    for name, table in tables.items():
        at = place.at(kind).at(name)
        if not re.fullmatch(forms.NAME, name):
            at.wrong(f"the name must be {forms.NAME_SAYS}")
        if isinstance(table, dict):
            found.append((name, table, at))
            continue
        at.wrong(f"must be a table, not {said(table)}", f"begin it with [{at.key}]")
        found.append((name, {}, Place(at.file, at.folder)))  # others may name it; that it is empty is no news
    return found


def _policy(values: dict[str, Any]) -> Policy:
    return Policy(**{key: values.pop(key) for key in Policy.__struct_fields__ if key in values})


def _worker(name: str, table: dict[str, Any], templates: dict[str, TemplateSpec], place: Place) -> ChildSpec:
    before = len(place.problems)
    values = readers.fields(table, keys.WORKER, place)
    merged: dict[str, str] = {}
    for variables in values.pop("env_files", ()):
        merged |= variables
    values["env"] = merged | values.get("env", {})
    spec = ChildSpec(name=name, policy=_policy(values), **values)
    if ("target" in table) == ("command" in table):
        place.wrong("needs exactly one of target (a function) and command (a program)")
    if "command" in table and spec.args:
        place.at("args").wrong("only a target takes args", "put them into the command")
    if spec.template != BARE:
        _check_template(spec, templates, place.at("template"))
    count = spec.replicas or 1
    if isinstance(spec.cpus, tuple) and spec.cpus and len(spec.cpus) != count:
        place.at("cpus").wrong(
            f"has {len(spec.cpus)} entries for {count} {'replica' if count == 1 else 'replicas'}"
        )
    both = [ending for ending in spec.policy.success if ending in spec.policy.never_restart]
    if both:
        place.at("never_restart").wrong(f"{both[0]} is in success, too")
    if len(place.problems) == before:
        _check_reachable(spec.policy, place, spec.beat_within, spec.ready_within)
    return spec


def _check_reachable(
    kept: Policy, place: Place, beat_within: float | None = None, ready_within: float = 0.0
) -> None:
    """Asked only of what has no other mistake: a default in its place could be one nobody made."""
    why = policy.unreachable(kept, beat_within, ready_within)
    if why:
        key, _, what = why.partition(": ")
        for part in key.split("."):
            place = place.at(part)
        place.wrong(f"its quarantine can never be reached: {what}")


def _check_template(spec: ChildSpec, templates: dict[str, TemplateSpec], place: Place) -> None:
    if spec.template not in templates:
        place.wrong(f"there is no template {spec.template}", nearest(spec.template, [*templates, BARE]))
    elif spec.command is not None:
        place.wrong("a program has no use for what a template has imported", "leave out template")


def _group(name: str, table: dict[str, Any], place: Place) -> GroupSpec:
    before = len(place.problems)
    values = readers.fields(table, keys.GROUP, place)
    if "members" not in table:
        place.wrong("is missing members", 'such as members = ["reader", "writer"]')
    values.setdefault("members", ())
    group = GroupSpec(name=name, policy=_policy(values), **values)
    if len(place.problems) == before:
        _check_reachable(group.policy, place)
    return group
