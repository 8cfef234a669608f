"""Probes, actions and their providers: what one may have in it.

An activity in full has a type, a name and a provider; {"ref": name} stands for one declared elsewhere. What a provider
needs (is there such a module, such a program?) is its own to check: `Check`, given by whoever reads the experiment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor.chaos import tolerance
from supervisor.chaos.reading import named
from supervisor.problems import nearest, text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from supervisor.chaos.reading import Spot
    from supervisor.chaos.variables import Variables

OURS = "supervisor.chaos.controls"
PROVIDERS = ("python", "process", "http")
_KEYS = ("type", "name", "provider", "background", "pauses", "controls", "tolerance")
_IDLE = {
    "timeout": "has no effect here; a provider of type process or http has its own",
    "secret": "has no effect here; a python provider names its secrets itself, in `secrets`",
    "secrets": "has no effect here; a python provider names its secrets itself, in `secrets`",
    "configuration": "has no effect here; a python function that takes `configuration` is given all of it",
    "dry": "has no effect in a file; whoever runs the experiment says --dry",
}

Check = Callable[[dict[str, Any], "Spot", "Variables", tuple[str, ...]], None]
"""Check a provider; the tuple has the arguments it will be given beside those in the file."""


@dataclass(frozen=True, slots=True)
class Activity:
    """A probe or an action, as it stands in the file (`tree`)."""

    tree: dict[str, Any]

    @property
    def kind(self) -> str:
        """Probe or action."""
        return str(self.tree["type"])

    @property
    def name(self) -> str:
        """As the file calls it."""
        return str(self.tree["name"])

    @property
    def provider(self) -> dict[str, Any]:
        """What carries it out."""
        provider: dict[str, Any] = self.tree["provider"]
        return provider

    @property
    def background(self) -> bool:
        """Whether the next one begins at once."""
        return bool(self.tree.get("background", False))

    @property
    def pauses(self) -> dict[str, Any]:
        """Seconds before and after it, perhaps still as `${name}`."""
        pauses: dict[str, Any] = self.tree.get("pauses", {})
        return pauses

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads activities; `declared`: name -> activity, of those a reference may mean."""

    check: Check
    variables: Variables
    declared: Mapping[str, dict[str, Any]]
    elsewhere: Mapping[str, str]  # name -> the part of the experiment whose activities cannot be referred to
    twice: Collection[str] = ()  # names that more than one of them has

    def read(self, tree: Any, spot: Spot, kinds: tuple[str, ...] = ("probe", "action")) -> Activity | None:
        """Read one, in full or by reference; None when it is wrong."""
        before = len(spot.errors)
        tree = spot.table(tree)
        if "ref" in tree:
            return self._refer(tree, spot, kinds)
        if len(spot.errors) == before:
            self.full(tree, spot, kinds)
        return Activity(tree) if len(spot.errors) == before else None

    def full(self, tree: dict[str, Any], spot: Spot, kinds: tuple[str, ...], given: tuple[str, ...] = ()) -> None:
        """Check one that is declared in full; `given`: the arguments it will have beside its own."""
        spot.keys(tree, _KEYS, _IDLE)
        for key in spot.needs(tree, ("type", "name", "provider")):
            if key == "type":
                spot.at(key).word(tree[key], kinds)
            elif key == "name":
                spot.at(key).text(tree[key])
            else:
                self._provider(spot.at(key).table(tree[key]), spot.at(key), given)
        if "background" in tree:
            spot.at("background").flag(tree["background"])
        if "pauses" in tree:
            self._pauses(tree["pauses"], spot.at("pauses"))

    def tolerated(self, activity: dict[str, Any], spot: Spot) -> None:
        """Check the tolerance of a probe of the hypothesis."""
        for key in spot.needs(activity, ("tolerance",)):
            here, value = spot.at(key), activity[key]
            if isinstance(value, dict) and value.get("type") == "probe":
                self._judge(value, here)
                continue
            self.variables.check(value, here)
            unknown = self.variables.awaited(value)
            if unknown is not None:
                here.wrong(f"depends on ${{{unknown}}}, which a probe tells at the run: it cannot be checked before")
                continue
            tolerance.check(self.variables.fill(value), here, self._judge)
            if isinstance(value, list) and len(value) == 2 and _has_status(activity):
                here.warn(
                    "two values are bounds (the specification); of a status the Chaos Toolkit takes them for a choice",
                    'write {"type": "range", "range": [low, high], "target": "status"}, which is the same in both',
                )

    def _refer(self, tree: dict[str, Any], spot: Spot, kinds: tuple[str, ...]) -> Activity | None:
        for key in tree.keys() - {"ref"}:
            spot.at(key).wrong("stands beside a ref, which has no other key")
        name, here = spot.at("ref").text(tree["ref"]), spot.at("ref")
        if name is None:
            return None
        found = self.declared.get(name)
        if found is None:
            if name in self.elsewhere:
                here.wrong(f"{text(name)} is declared in {self.elsewhere[name]}, which cannot be referred to")
            else:
                here.wrong(f"{text(name)} is the name of no activity", nearest(name, self.declared))
            return None
        if name in self.twice:
            here.warn("there are several of that name: the hypothesis's is meant, or else the last of the method")
        if found.get("type") not in kinds:
            here.wrong(f"{text(name)} is no {' or '.join(kinds)}")
            return None
        return Activity(found)  # what is wrong with it is said where it is declared

    def _provider(self, provider: dict[str, Any], spot: Spot, given: tuple[str, ...]) -> None:
        if not provider:
            return
        kind = spot.at("type").word(provider.get("type"), PROVIDERS)
        if kind is not None:
            self.check(provider, spot, self.variables, given)

    def _judge(self, probe: dict[str, Any], spot: Spot) -> None:
        self.full(probe, spot, ("probe",), ("value",))

    def _pauses(self, pauses: Any, spot: Spot) -> None:
        pauses = spot.table(pauses)
        spot.keys(pauses, ("before", "after"))
        for key in [one for one in ("before", "after") if one in pauses]:
            if self.variables.settled(pauses[key], spot.at(key)):
                spot.at(key).seconds(self.variables.fill(pauses[key]))


def _has_status(activity: dict[str, Any]) -> bool:
    provider = activity.get("provider")
    return isinstance(provider, dict) and provider.get("type") in ("process", "http")


def check_controls(tree: Any, spot: Spot, names: set[str]) -> None:
    """Check what an experiment says of controls; that they are not applied is a warning each.

    The specification says a control must not fail an experiment, so one that is not there must not either.
    """
    for index, control in enumerate(spot.listed(tree)):
        here = spot.at(index)
        control = here.table(control)  # noqa: PLW2901 - the same, or nothing
        if not control:
            continue
        if "ref" in control:
            if control["ref"] not in names:
                here.at("ref").wrong(
                    f"{named(control['ref'])} is the name of no control", nearest(str(control["ref"]), names)
                )
            continue
        here.keys(control, ("name", "provider", "scope", "automatic"))
        for key in here.needs(control, ("name", "provider")):
            if key == "name":
                here.at(key).text(control[key])
            else:
                _check_control_provider(here.at(key).table(control[key]), here.at(key))
        if "scope" in control:
            here.at("scope").word(control["scope"], ("before", "after"))
        if "automatic" in control:
            here.at("automatic").flag(control["automatic"])
        if not _is_ours(control):
            here.warn("is not applied: a control is Python code from outside", "under the Chaos Toolkit itself it is")


def _is_ours(control: dict[str, Any]) -> bool:
    # What it does our runner does anyway.
    provider = control.get("provider")
    return isinstance(provider, dict) and provider.get("module") == OURS


def _check_control_provider(provider: dict[str, Any], spot: Spot) -> None:
    spot.keys(provider, ("type", "module", "arguments", "secrets"))
    for key in spot.needs(provider, ("type", "module")):
        if key == "type":
            spot.at(key).word(provider[key], ("python",))
        else:
            spot.at(key).text(provider[key])
