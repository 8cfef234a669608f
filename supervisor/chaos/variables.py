"""Configuration and secrets of an experiment, and `${name}` where they are filled in.

A value of the configuration is anything JSON can say, or comes from the environment ({"type": "env", "key": …, "default": …,
"env_var_type": …}), or from a probe that is called when the run begins ({"type": "probe", …}), or from whoever runs the
experiment (`given`, which goes before all; what is given as text for a number or a flag is read as one). Secrets are
objects of values or of environment variables. Of a string that is one `${name}` the value keeps its type; within a longer
one it becomes text. The configuration goes before the secrets.
The rules are string.Template's, as the Chaos Toolkit's are: `$name` is filled in too, where there is one, and `$$` is $.
"""

from __future__ import annotations

import json
from collections import ChainMap
from dataclasses import dataclass, field, replace
from string import Template
from typing import TYPE_CHECKING, Any

from supervisor.chaos.reading import named
from supervisor.problems import nearest, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from supervisor.chaos.reading import Spot

KINDS = ("str", "string", "int", "integer", "float", "number", "bytes", "bool", "json")


@dataclass(frozen=True, slots=True)
class Variables:
    """What `${name}` may name. `dynamic`: name -> the probe that will say its value."""

    configuration: Mapping[str, Any] = field(default_factory=dict)
    dynamic: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)

    def fill(self, data: Any) -> Any:
        """Return a copy of `data` with every `${name}` filled in; what is not known stays as it stands."""
        values = self._values()
        return _fill(data, values) if values else data

    def known(self, name: str) -> bool:
        """Whether something has that name, be it a probe that has not been asked yet."""
        return name in self._values() or name in self.dynamic

    def awaited(self, data: Any) -> str | None:
        """A name in `data` whose value only the run will tell."""
        return next((name for _, name in _names(data) if name in self.dynamic), None)

    def check(self, data: Any, spot: Spot) -> None:
        """Tell `spot` which names in `data` are not known."""
        everything = [*self._values(), *self.dynamic]
        for path, name in _names(data):
            if not self.known(name):
                here = spot
                for key in path:
                    here = here.at(key)
                here.wrong(
                    f"names no configuration and no secret: ${{{name}}}",
                    nearest(name, everything) or f"to mean it literally write $${{{name}}}",
                )

    def settled(self, data: Any, spot: Spot) -> bool:
        """Whether every name in `data` has a value by now; `spot` is told of those that never will."""
        before = len(spot.errors)
        self.check(data, spot)
        return len(spot.errors) == before and self.awaited(data) is None

    def learned(self, name: str, value: Any) -> Variables:
        """Return these with the value a probe has told."""
        left = {key: probe for key, probe in self.dynamic.items() if key != name}
        return replace(self, configuration={**self.configuration, name: value}, dynamic=left)

    def of(self, names: Any) -> dict[str, Any]:
        """Return the secrets of those names, together."""
        found: dict[str, Any] = {}
        for name in names:
            held = self.secrets.get(name, {})
            found |= held if isinstance(held, dict) else {name: held}
        return found

    def _values(self) -> Mapping[str, Any]:
        return ChainMap(dict(self.configuration), *(held for held in self.secrets.values() if isinstance(held, dict)))


def read_variables(
    tree: Mapping[str, Any], spot: Spot, *, given: Mapping[str, Any], environment: Mapping[str, str]
) -> Variables:
    """Read `configuration` and `secrets` of an experiment; `given` are values that replace the configuration's."""
    configuration: dict[str, Any] = {}
    dynamic: dict[str, dict[str, Any]] = {}
    place = spot.at("configuration")
    declared = place.table(tree.get("configuration", {}))
    for key, value in declared.items():
        wanted = _like(given[key], value, place.at(key)) if key in given else value
        if isinstance(wanted, dict) and wanted.get("type") == "probe":
            dynamic[key] = wanted
        else:
            configuration[key] = _value(wanted, place.at(key), environment)
    for key in given:
        if key not in declared:
            place.wrong(f"has no {text(key)}, for which a value was given", nearest(key, declared))
    place = spot.at("secrets")
    secrets = {
        key: _secret(value, place.at(key), environment) for key, value in place.table(tree.get("secrets", {})).items()
    }
    return Variables(configuration=configuration, dynamic=dynamic, secrets=secrets)


def variable(words: str) -> tuple[str, Any]:
    """Read "name=value" or "name:type=value", as a command line gives it; ValueError."""
    name, equals, value = words.partition("=")
    name, colon, kind = name.partition(":")
    if not equals or not name:
        raise ValueError(f"{words!r} is not of the form name=value or name:type=value")
    if colon and kind not in KINDS:
        close = nearest(kind, KINDS)
        raise ValueError(f"{words!r}: {kind!r} is no type ({', '.join(KINDS)})" + (f"; {close}" if close else ""))
    return name, converted(value, kind or "str")


def converted(value: Any, kind: str) -> Any:  # noqa: PLR0911 - a table
    """Return a text as one of KINDS; ValueError. What is no text (a default) already has its type."""
    if not isinstance(value, str):
        return value
    try:
        match kind:
            case "int" | "integer":
                return int(value)
            case "float" | "number":
                return float(value)
            case "bytes":
                return value.encode()
            case "bool":
                return value.lower() not in ("false", "0", "no")
            case "json":
                return json.loads(value) if value else value
            case _:
                return value
    except ValueError:
        raise ValueError(f"{value[:60]!r} cannot be read as {kind}") from None


def _like(given: Any, declared: Any, spot: Spot) -> Any:
    """What was given as text for a number or a flag is read as one."""
    match declared:
        case bool():
            kind = "bool"
        case int() | float():
            kind = "number"
        case _:
            return given
    try:
        found = converted(given, kind)
    except ValueError as error:
        spot.wrong(str(error))
        return declared
    return int(found) if isinstance(found, float) and isinstance(declared, int) and found.is_integer() else found


def _value(value: Any, spot: Spot, environment: Mapping[str, str]) -> Any:
    if not isinstance(value, dict) or "type" not in value:
        return value
    if value["type"] != "env":
        close = nearest(str(value["type"]), ("env", "probe"))
        spot.at("type").warn(f"{named(value['type'])} has no meaning here, the object itself is the value", close)
        return value
    spot.keys(value, ("type", "key", "default", "env_var_type"))
    key = spot.at("key").text(value.get("key"))
    kind = spot.at("env_var_type").word(value.get("env_var_type", "str"), KINDS)
    if key is None or kind is None:
        return None
    if key not in environment and "default" not in value:
        spot.wrong(f"there is no variable {key} in the environment", 'set it, or give a "default"')
        return None
    try:
        return converted(environment.get(key, value.get("default")), kind)
    except ValueError as error:
        spot.wrong(str(error))
        return None


def _secret(value: Any, spot: Spot, environment: Mapping[str, str]) -> Any:
    match value:
        case {"type": "env"}:
            spot.keys(value, ("type", "key"))
            key = spot.at("key").text(value.get("key"))
            if key is not None and key not in environment:
                spot.wrong(f"there is no variable {key} in the environment")
            return environment.get(key or "")
        case {"type": "vault"}:
            spot.wrong("a vault is not asked here", 'hand it over in the environment: {"type": "env", "key": …}')
            return None
        case dict():
            return {key: _secret(item, spot.at(key), environment) for key, item in value.items()}
        case _:
            return value


def _names(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(data, str):
        yield from ((path, found["braced"]) for found in Template.pattern.finditer(data) if found["braced"])
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _names(item, (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _names(item, (*path, index))


def _fill(data: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(data, dict):
        return {key: _fill(item, values) for key, item in data.items()}
    if isinstance(data, list):
        return [_fill(item, values) for item in data]
    if not isinstance(data, str):
        return data
    whole = Template.pattern.fullmatch(data)
    if whole and whole["braced"] in values:
        return values[whole["braced"]]
    return Template(data).safe_substitute(values)
