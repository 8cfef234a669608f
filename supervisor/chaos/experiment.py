"""Experiments in the Chaos Toolkit's format: read, and checked whole.

A file is JSON, or the same tree in TOML. Everything that is wrong with it is said at once, each mistake with its place.
Nothing the format defines is passed over in silence: what is not done here is an error, or, where the experiment means
the same without it, a warning. Read after the specification ("An Open API for Chaos Engineering Experiments") and, where
it says nothing, after chaostoolkit-lib 1.45.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor.chaos.activities import Activity, Check, Reader, check_controls
from supervisor.chaos.reading import BadExperiment, Spot
from supervisor.chaos.variables import Variables, read_variables
from supervisor.problems import Place, Problem, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HYPOTHESIS = ("default", "before-method-only", "after-method-only", "during-method-only", "continuously", "skip")
ROLLBACKS = ("default", "always", "never", "deviated")
CONTRIBUTIONS = ("high", "medium", "low", "none")
VERSIONS = ("0.1.0", "1.0.0")  # of the specification: what it demands, and what its own examples have

KEYS = (
    "version", "title", "description", "tags", "configuration", "secrets", "contributions", "controls", "extensions",
    "runtime", "steady-state-hypothesis", "method", "rollbacks",
)  # fmt: skip
_IDLE = {"dry": "has no effect in a file; whoever runs the experiment says --dry"}


@dataclass(frozen=True, slots=True)
class Experiment:
    """One that may be run. `tree` is the file as it stands; `title` has its variables filled in."""

    tree: dict[str, Any]
    title: str
    description: str
    hypothesis: tuple[Activity, ...]
    method: tuple[Activity, ...]
    rollbacks: tuple[Activity, ...]
    variables: Variables
    hypothesis_strategy: str
    rollbacks_strategy: str
    frequency: float
    fail_fast: bool
    warnings: tuple[Problem, ...]

    def __repr__(self) -> str:
        return f"<experiment {self.title!r}: {len(self.method)} activities>"


def load(path: str, check: Check, given: Mapping[str, Any] | None = None,
         environment: Mapping[str, str] | None = None) -> Experiment:  # fmt: skip
    """Read an experiment from a file; BadExperiment, OSError.

    check: of providers. given: values that replace the configuration's. environment: by default this process's.
    """
    with open(path, "rb") as file:
        data = file.read()
    spot = Spot(Place(path, os.path.dirname(os.path.abspath(path))))
    tree = _parsed(data, path, spot)
    if spot.errors:
        raise BadExperiment(spot.errors)
    return read(tree, spot, check, given or {}, os.environ if environment is None else environment)


def read(tree: Any, spot: Spot, check: Check, given: Mapping[str, Any], environment: Mapping[str, str]) -> Experiment:
    """Make an experiment of a tree; BadExperiment with all that is wrong."""
    tree = spot.table(tree)
    spot.keys(tree, KEYS, _IDLE)
    variables = read_variables(tree, spot, given=given, environment=environment)
    _check_words(tree, spot, variables)
    _check_extensions(tree.get("extensions", []), spot.at("extensions"))
    _check_all_controls(tree, spot)
    runtime = _Runtime.read(tree.get("runtime", {}), spot.at("runtime"))
    reader = Reader(check, variables, *_declared(tree))
    for name, probe in variables.dynamic.items():
        reader.full(probe, spot.at("configuration").at(name), ("probe",))
    hypothesis, method = _hypothesis(tree, spot, reader), _method(tree, spot, reader)
    rollbacks = _rollbacks(tree, spot, reader)
    if spot.errors:
        raise BadExperiment(spot.errors, spot.warnings)
    return Experiment(
        tree, str(variables.fill(tree["title"])), tree["description"], hypothesis, method, rollbacks, variables,
        runtime.hypothesis, runtime.rollbacks, runtime.frequency, runtime.fail_fast, tuple(spot.warnings),
    )  # fmt: skip


# -- the file ----------------------------------------------------------------------------------------------------------


def _parsed(data: bytes, path: str, spot: Spot) -> Any:
    ending = os.path.splitext(path)[1].lower()
    try:
        if ending == ".toml":
            return _only_json(tomllib.loads(data.decode()), spot)
        if ending in (".yaml", ".yml"):
            spot.wrong("YAML is not read here", "write the same tree in JSON or TOML")
            return None
        return json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # both parsers' errors, bad UTF-8, and our own
        spot.wrong(f"is no {'TOML' if ending == '.toml' else 'JSON'}: {error}")
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {said(key)} is there twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is nothing JSON can say")


def _only_json(value: Any, spot: Spot) -> Any:
    # TOML knows dates, and numbers that are none; a journal, which has a copy of the experiment, does not.
    if isinstance(value, dict):
        return {key: _only_json(item, spot.at(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_only_json(item, spot.at(index)) for index, item in enumerate(value)]
    if not isinstance(value, str | int | float):
        spot.wrong("dates and times are nothing JSON can say", "write it as a string")
    elif isinstance(value, float) and not abs(value) < float("inf"):
        spot.wrong(f"{value} is nothing JSON can say")
    return value


# -- its parts ---------------------------------------------------------------------------------------------------------


def _check_words(tree: dict[str, Any], spot: Spot, variables: Variables) -> None:
    if "version" not in tree:
        spot.at("version").warn("is missing, and the specification wants one", f'"{VERSIONS[-1]}" will do')
    elif tree["version"] not in VERSIONS:
        spot.at("version").warn(f"{said(tree['version'])} is no version of the format known here")
    for key in spot.needs(tree, ("title", "description")):
        spot.at(key).text(tree[key])
    variables.check(tree.get("title"), spot.at("title"))
    for index, tag in enumerate(spot.at("tags").listed(tree.get("tags", []))):
        spot.at("tags").at(index).text(tag)
    contributions = spot.at("contributions")
    for key, weight in contributions.table(tree.get("contributions", {})).items():
        contributions.at(key).word(weight, CONTRIBUTIONS)


def _check_extensions(tree: Any, spot: Spot) -> None:
    for index, extension in enumerate(spot.listed(tree)):
        here = spot.at(index)
        for key in here.needs(here.table(extension), ("name",)):
            here.at(key).text(extension[key])


def _check_all_controls(tree: dict[str, Any], spot: Spot) -> None:
    found = list(_controls(tree, spot))
    names = {
        control["name"]
        for controls, _ in found if isinstance(controls, list)
        for control in controls if isinstance(control, dict) and isinstance(control.get("name"), str)
    }  # fmt: skip
    for controls, here in found:
        check_controls(controls, here, names)


def _controls(tree: dict[str, Any], spot: Spot) -> Iterator[tuple[Any, Spot]]:
    hypothesis = tree.get("steady-state-hypothesis")
    holders: list[tuple[Any, Spot]] = [(tree, spot), (hypothesis, spot.at("steady-state-hypothesis"))]
    for part, here in _lists(tree, spot):
        holders += [(activity, here.at(index)) for index, activity in enumerate(part)]
    yield from (
        (one["controls"], here.at("controls")) for one, here in holders if isinstance(one, dict) and "controls" in one
    )


def _lists(tree: dict[str, Any], spot: Spot) -> Iterator[tuple[list[Any], Spot]]:
    hypothesis = tree.get("steady-state-hypothesis")
    if isinstance(hypothesis, dict) and isinstance(hypothesis.get("probes"), list):
        yield hypothesis["probes"], spot.at("steady-state-hypothesis").at("probes")
    for key in ("method", "rollbacks"):
        if isinstance(tree.get(key), list):
            yield tree[key], spot.at(key)


def _declared(tree: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, str], set[str]]:
    # A later one hides an earlier, and the hypothesis's hide the method's: chaostoolkit-lib's order.
    hypothesis = tree.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    method, rollbacks = tree.get("method"), tree.get("rollbacks")
    named = [
        one for part in (method, probes) if isinstance(part, list)
        for one in part if isinstance(one, dict) and isinstance(one.get("name"), str)
    ]  # fmt: skip
    names = [one["name"] for one in named]
    there = rollbacks if isinstance(rollbacks, list) else []
    elsewhere = {str(one.get("name")): "rollbacks" for one in there if isinstance(one, dict)}
    return {one["name"]: one for one in named}, elsewhere, {name for name in names if names.count(name) > 1}


def _hypothesis(tree: dict[str, Any], spot: Spot, reader: Reader) -> tuple[Activity, ...]:
    here = spot.at("steady-state-hypothesis")
    if tree.get("steady-state-hypothesis") is None:
        here.warn("is missing: nothing will be judged")
        return ()
    hypothesis = here.table(tree["steady-state-hypothesis"])
    here.keys(hypothesis, ("title", "probes", "controls"))
    for key in here.needs(hypothesis, ("title",)):
        here.at(key).text(hypothesis[key])
    here = here.at("probes")
    probes = here.listed(hypothesis.get("probes", []))
    if not probes:
        here.warn("there are none: nothing will be judged")
    found = []
    for index, probe in enumerate(probes):
        if isinstance(probe, dict) and "ref" in probe:
            here.at(index).wrong("is a ref: a probe of the hypothesis is declared in full, with its tolerance")
            continue
        found.append(reader.read(probe, here.at(index), ("probe",)))
        if isinstance(probe, dict):
            reader.tolerated(probe, here.at(index))
    return tuple(one for one in found if one is not None)


def _method(tree: dict[str, Any], spot: Spot, reader: Reader) -> tuple[Activity, ...]:
    here = spot.at("method")
    if "method" not in tree:
        here.wrong("is missing", "it may be empty, to look at the steady state only")
        return ()
    return tuple(_activities(tree["method"], here, reader))


def _rollbacks(tree: dict[str, Any], spot: Spot, reader: Reader) -> tuple[Activity, ...]:
    here = spot.at("rollbacks")
    found = tuple(_activities(tree.get("rollbacks", []), here, reader))
    for index, one in enumerate(found):
        if one.kind == "probe" and "ref" not in tree["rollbacks"][index]:
            here.at(index).warn("is a probe; the specification wants actions here")
    return found


def _activities(tree: Any, spot: Spot, reader: Reader) -> Iterator[Activity]:
    for index, one in enumerate(spot.listed(tree)):
        found = reader.read(one, spot.at(index))
        if found is not None:
            yield found
        if isinstance(one, dict) and "tolerance" in one:
            spot.at(index).at("tolerance").warn("has no effect here: only those of the hypothesis are judged")


@dataclass(frozen=True, slots=True)
class _Runtime:
    hypothesis: str
    rollbacks: str
    frequency: float
    fail_fast: bool

    @classmethod
    def read(cls, tree: Any, spot: Spot) -> _Runtime:
        tree = spot.table(tree)
        spot.keys(tree, ("hypothesis", "rollbacks"), {"python": "has no effect: nothing is installed here"})
        here = spot.at("hypothesis")
        hypothesis = here.table(tree.get("hypothesis", {}))
        here.keys(hypothesis, ("strategy", "frequency", "fail_fast"))  # the last two are ours; the toolkit has options
        there = spot.at("rollbacks")
        rollbacks = there.table(tree.get("rollbacks", {}))
        there.keys(rollbacks, ("strategy",))
        frequency = here.at("frequency").seconds(hypothesis.get("frequency", 1.0))
        if frequency == 0:
            here.at("frequency").wrong("must be above 0 s")
        return cls(
            here.at("strategy").word(hypothesis.get("strategy", "default"), HYPOTHESIS) or "default",
            there.at("strategy").word(rollbacks.get("strategy", "default"), ROLLBACKS) or "default",
            frequency or 1.0,
            here.at("fail_fast").flag(hypothesis.get("fail_fast", False)) or False,
        )
