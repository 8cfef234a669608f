"""JSON paths, as far as an experiment's tolerance needs them.

    $              the value itself; may be left out before a name
    .name  ['name']  a member           .*  [*]   every member or element
    [0]  [-1]      an element           [1:3]     a slice, [from:to] or [from:to:step]
    ..name  ..*    the same at any depth

Filters `[?(…)]`, scripts `[(…)]` and unions `[a,b]` are refused when the path is read: they are little languages of
their own, of which every implementation speaks another. Nothing here reads anything but its arguments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = r"[^\W\d][\w-]*"
_STEP = re.compile(
    rf"""(?P<deep>\.\.)?(?:
        (?P<dot>(?<!\.)\.)?(?:(?P<name>{_NAME})|(?P<star>\*))
      | \[\s*(?:(?P<all>\*)
          | (?P<index>-?\d{{1,9}})
          | (?P<slice>-?\d{{0,9}}\s*:\s*-?\d{{0,9}}(?:\s*:\s*-?[1-9]\d{{0,8}})?)
          | '(?P<single>[^'\\]*)' | "(?P<double>[^"\\]*)"
        )\s*\]
    )""",
    re.VERBOSE,
)
_REFUSED = {"[?": "a filter", "[(": "a script"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: a member's name, an element's index, a slice, or (None) all of them; `deep`: at any depth."""

    key: str | int | slice | None
    deep: bool = False


def parse(path: str) -> tuple[Step, ...]:
    """Read a path; ValueError says what is wrong with it or not understood here."""
    text = path.strip()
    if not text:
        raise ValueError("is empty")
    at, steps = (1, []) if text.startswith("$") else (0, list[Step]())
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or not _joined(found, at):
            raise ValueError(_trouble(text, at))
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def find(steps: tuple[Step, ...], value: Any) -> list[Any]:
    """Everything in `value` the path leads to, in document order."""
    found = [value]
    for step in steps:
        found = [below for one in found for start in _starts(step, one) for below in _below(step, start)]
    return found


def _joined(found: re.Match[str], at: int) -> bool:
    # A bare name may only begin a path: in `$name` and `a[0]b` a dot is missing.
    bare = (found["name"] or found["star"]) and not found["dot"] and not found["deep"]
    return not bare or at == 0


def _trouble(text: str, at: int) -> str:
    rest = text[at:]
    for sign, what in _REFUSED.items():
        if rest.replace(" ", "").startswith(sign):
            return f"has {what} at {rest[:20]!r}, which is not understood here"
    if re.match(r"\[[^\]]*,", rest):
        return f"has a union at {rest[:20]!r}, which is not understood here"
    return f"is not understood from {rest[:20]!r} on"


def _step(found: re.Match[str]) -> Step:
    deep = found["deep"] is not None
    if found["index"] is not None:
        return Step(int(found["index"]), deep)
    if found["slice"] is not None:
        return Step(slice(*(int(part) if part.strip() else None for part in found["slice"].split(":"))), deep)
    names = (found["name"], found["single"], found["double"])
    return Step(next((name for name in names if name is not None), None), deep)


def _starts(step: Step, value: Any) -> Iterator[Any]:
    yield value
    if step.deep:
        for below in _below(Step(None), value):
            yield from _starts(step, below)


def _below(step: Step, value: Any) -> Iterator[Any]:
    match step.key:
        case None if isinstance(value, dict):
            yield from value.values()
        case None if isinstance(value, list):
            yield from value
        case str() as name if isinstance(value, dict) and name in value:
            yield value[name]
        case int() as index if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]
        case slice() as part if isinstance(value, list):
            yield from value[part]
        case _:
            return
