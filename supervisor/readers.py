"""Readers of values: each checks a TOML value, gives back what the specs want, and knows its JSON Schema.

A reader raises Wrong for one mistake; readers of lists and tables keep the problems of their parts and go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from supervisor import units
from supervisor.problems import Place, Wrong, nearest, said, text

Read = Callable[[Any, Place], Any]


class Reader(NamedTuple):
    """read(value, place) -> what the spec wants; schema: JSON Schema; kind: its word in the reference."""

    read: Read
    schema: dict[str, Any]
    kind: str


class Key(NamedTuple):
    """One key of a table: how it is read, and one line that explains it."""

    reader: Reader
    explain: str


def string(pattern: str = "", what: str = "a string", kind: str = "string") -> Reader:
    """A string, whole and without NUL, that matches the pattern."""

    def read(value: Any, _: Place) -> str:
        if not isinstance(value, str):
            quoted = f"quote it: {text(said(value))}" if isinstance(value, int | float) else None
            raise Wrong(f"must be {what}, not {said(value)}", quoted)
        if "\0" in value:
            raise Wrong("must not contain a NUL character")
        if pattern and not re.fullmatch(pattern, value):
            raise Wrong(f"must be {what}, not {said(value)}")
        return value

    return Reader(read, {"type": "string"} | ({"pattern": f"^({pattern})$"} if pattern else {}), kind)


def flag() -> Reader:
    """True or false."""

    def read(value: Any, _: Place) -> bool:
        if not isinstance(value, bool):
            raise Wrong(f"must be true or false, not {said(value)}")
        return value

    return Reader(read, {"type": "boolean"}, "true or false")


def integer(low: int, high: int) -> Reader:
    """A whole number in a range."""

    def read(value: Any, _: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            number = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value)
            raise Wrong(
                f"must be a whole number, not {said(value)}", f"without quotes: {value}" if number else None
            )
        if not low <= value <= high:
            raise Wrong(f"must lie between {low} and {high}, {said(value)} does not")
        return value

    return Reader(read, {"type": "integer", "minimum": low, "maximum": high}, "number")


def number(low: float, high: float) -> Reader:
    """A number in a range; nan and the infinities are in none."""

    def read(value: Any, _: Place) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"must be a number, not {said(value)}")
        if not low <= value <= high:
            raise Wrong(f"must lie between {low:g} and {high:g}, {said(value)} does not")
        return float(value)

    return Reader(read, {"type": "number", "minimum": low, "maximum": high}, "number")


def duration(*, positive: bool = False) -> Reader:
    """Seconds, as a number or with units."""

    def read(value: Any, _: Place) -> float:
        found = _unit(units.seconds, value)
        if positive and not found:
            raise Wrong("must be longer than 0 s")
        return float(found)

    return Reader(read, {"$ref": "#/$defs/duration"}, "duration")


def size(low: int = 0) -> Reader:
    """Bytes, as a number or with units."""

    def read(value: Any, _: Place) -> int:
        found = int(_unit(units.size, value))
        if found < low:
            raise Wrong(f"must be at least {units.size_text(low)}")
        return found

    return Reader(read, {"$ref": "#/$defs/size"}, "size")


def _unit(parse: Callable[[object], float], value: object) -> float:
    try:
        return parse(value)
    except ValueError as error:
        raise Wrong(*error.args) from None


def word(words: tuple[str, ...], make: Callable[[str], Any] = str) -> Reader:
    """One of a few words."""

    def read(value: Any, _: Place) -> Any:
        if not isinstance(value, str) or value not in words:
            close = nearest(value, words) if isinstance(value, str) else None
            raise Wrong(f"must be one of {', '.join(map(text, words))}, not {said(value)}", close)
        return make(value)

    return Reader(read, {"enum": list(words)}, " \\| ".join(f'`"{w}"`' for w in words))


def several(item: Reader, *, least: int = 0) -> Reader:
    """A list, read to a tuple."""

    def read(value: Any, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong(f"must be a list, not {said(value)}", _as_list(item, value))
        if len(value) < least:
            raise Wrong("must not be empty")
        return tuple(collect({i: (item, v) for i, v in enumerate(value)}, place).values())

    least_schema = {"minItems": least} if least else {}
    return Reader(read, {"type": "array", "items": item.schema} | least_schema, f"list of {item.kind}s")


def _as_list(item: Reader, value: Any) -> str | None:
    if isinstance(value, str) and item.schema.get("type") == "string":
        return f"a list of one: [{said(value)}]"
    return None


def command() -> Reader:
    """A program and its arguments; no shell splits it."""
    words = several(string(), least=1)

    def read(value: Any, place: Place) -> tuple[str, ...]:
        if isinstance(value, str) and value.split():
            listed = ", ".join(text(part) for part in value[:200].split())
            raise Wrong(
                f"must be a list of strings, not {said(value)}: no shell splits it",
                f"did you mean [{listed}]?",
            )
        found: tuple[str, ...] = words.read(value, place)
        if found and not found[0]:
            raise Wrong("the program's name is empty")
        return found

    return Reader(read, words.schema, "list of strings")


def table(keys: Mapping[str, Key], make: Callable[[dict[str, Any]], Any]) -> Reader:
    """A table with these keys; `make` is asked when each is well, and raises Wrong if they do not fit."""

    def read(value: Any, place: Place) -> Any:
        before = len(place.problems)
        values = fields(value, keys, place)
        if len(place.problems) > before:
            raise Wrong
        return make(values)

    return Reader(read, object_schema(keys), "table")


def either(kind: str, test: Callable[[Any], bool], yes: Reader, no: Reader) -> Reader:
    """One of two forms, told apart by the value's type."""

    def read(value: Any, place: Place) -> Any:
        return (yes if test(value) else no).read(value, place)

    return Reader(read, {"anyOf": [yes.schema, no.schema]}, kind)


def fields(value: Any, keys: Mapping[str, Key], place: Place) -> dict[str, Any]:
    """The values of a table that can be read; problems for all the others and for unknown keys."""
    if not isinstance(value, dict):
        raise Wrong(f"must be a table, not {said(value)}")
    for key in value:
        if key not in keys:
            place.at(key).wrong("unknown key", nearest(key, keys))
    return collect({key: (keys[key].reader, item) for key, item in value.items() if key in keys}, place)


def collect(parts: Mapping[Any, tuple[Reader, Any]], place: Place) -> dict[Any, Any]:
    """Read each part; keep the problems of those that are wrong."""
    found = {}
    for key, (reader, value) in parts.items():
        try:
            found[key] = reader.read(value, place.at(key))
        except Wrong as wrong:
            place.at(key).keep(wrong)
    return found


def object_schema(keys: Mapping[str, Key]) -> dict[str, Any]:
    """JSON Schema of a table with these keys and no others."""
    properties = {key: {"description": spec.explain} | spec.reader.schema for key, spec in keys.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}
