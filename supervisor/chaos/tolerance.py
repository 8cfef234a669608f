"""Tolerances: what a probe of the steady-state hypothesis may answer.

    true, 8, "OK"                                  exactly that; true is not 1
    [4, 9]                                         two values are bounds, both included
    [4, 9, 78]  [7]                                one of these
    {"type": "range", "range": [4.6, 8.9]}         between, the bounds included
    {"type": "regex", "pattern": "[0-9]{3}"}       found anywhere in the text
    {"type": "jsonpath", "path": "$.a", "expect": 4, "count": 1}   what the path leads to (supervisor/chaos/jsonpath.py)
    {"type": "probe", …}                           a probe that is given the answer as `value`, and succeeds

`target` in the typed ones picks a member of the answer first. Whole numbers and lists are held against the `status` of an
answer that has one (of `http` and `process`). The rules are those of the specification where it is exact and of the
Chaos Toolkit where it is not. Nothing here calls a probe: whoever judges brings what does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from supervisor.chaos import jsonpath
from supervisor.chaos.reading import is_number, named

if TYPE_CHECKING:
    from supervisor.chaos.reading import Spot

TYPES = ("range", "regex", "jsonpath", "probe")
Ask = Callable[[dict[str, Any], Any], "str | None"]
"""Ask a tolerance's probe about a value: None, or why the value was not to its liking."""


def check(tolerance: Any, spot: Spot, probe: Callable[[Any, Spot], None]) -> None:
    """Tell `spot` all that is wrong with a tolerance; `probe` checks one that is a probe."""
    match tolerance:
        case bool() | int() | str():
            return
        case float():
            spot.wrong("is compared exactly, and a fraction hardly ever is equal",
                       'write {"type": "range", "range": [low, high]}')  # fmt: skip
        case list():
            _check_list(tolerance, spot)
        case {"type": "probe"}:
            probe(tolerance, spot)
        case dict():
            kind = spot.at("type").word(tolerance.get("type"), TYPES)
            if kind is not None:
                _CHECKS[kind](tolerance, spot)
        case _:
            spot.wrong(f"must be a string, a whole number, true, false, a list or an object, not {named(tolerance)}")


def unmet(tolerance: Any, value: Any, ask: Ask) -> str | None:  # noqa: PLR0911 - a table
    """Why `value` is not tolerated, as the rest of a sentence that begins with the probe; None where it is."""
    match tolerance:
        case bool() | str():
            return None if type(value) is type(tolerance) and value == tolerance else _instead(value, tolerance)
        case int():
            value = _status(value)
            return None if is_number(value) and value == tolerance else _instead(value, tolerance)
        case list():
            return _unlisted(tolerance, _status(value))
        case {"type": "range"}:
            return _out_of_range(tolerance["range"], _target(tolerance, value))
        case {"type": "regex"}:
            return _unmatched(tolerance["pattern"], _target(tolerance, value))
        case {"type": "jsonpath"}:
            return _unfound(tolerance, _target(tolerance, value))
        case {"type": "probe"}:
            return ask(tolerance, value)
        case _:
            raise ValueError(f"{tolerance!r} is no tolerance")


# -- checks ------------------------------------------------------------------------------------------------------------


def _check_list(tolerance: list[Any], spot: Spot) -> None:
    if not tolerance:
        spot.wrong("an empty list tolerates nothing")
    for index, item in enumerate(tolerance):
        if not isinstance(item, str | int | float):
            spot.at(index).wrong(f"must be a string, a number, true or false, not {named(item)}")
    if len(tolerance) != 2:
        return
    low, high = tolerance
    if isinstance(low, str) and isinstance(high, str):
        spot.warn(
            "two values are bounds, not a choice: everything between them in the order of the alphabet is tolerated"
        )
        _check_order(low, high, spot)
    elif is_number(low) and is_number(high):
        _check_order(low, high, spot)
    else:
        spot.wrong("two values are bounds, and must both be numbers", 'for a choice of two use {"type": "regex", …}')


def _check_order(low: Any, high: Any, spot: Spot) -> None:
    if not low <= high:
        spot.wrong(f"the lower bound {low} is above the upper bound {high}")


def _check_range(tolerance: dict[str, Any], spot: Spot) -> None:
    spot.keys(tolerance, ("type", "range", "target"))
    for key in spot.needs(tolerance, ("range",)):
        bounds, here = tolerance[key], spot.at(key)
        if isinstance(bounds, list) and len(bounds) == 2 and all(is_number(bound) for bound in bounds):
            _check_order(bounds[0], bounds[1], here)
        else:
            here.wrong(f"must be a list of two numbers, not {json.dumps(bounds, default=str)[:60]}")
    _check_target(tolerance, spot)


def _check_regex(tolerance: dict[str, Any], spot: Spot) -> None:
    spot.keys(tolerance, ("type", "pattern", "target"))
    for key in spot.needs(tolerance, ("pattern",)):
        pattern = spot.at(key).text(tolerance[key])
        try:
            re.compile(pattern or "")
        except re.error as error:
            spot.at(key).wrong(f"is no regular expression: {error}")
    _check_target(tolerance, spot)


def _check_jsonpath(tolerance: dict[str, Any], spot: Spot) -> None:
    spot.keys(tolerance, ("type", "path", "expect", "count", "target"))
    for key in spot.needs(tolerance, ("path",)):
        path, here = spot.at(key).text(tolerance[key]), spot.at(key)
        try:
            jsonpath.parse(path or "$")
        except ValueError as error:
            here.wrong(str(error), "see supervisor/chaos/jsonpath.py for what is")
        else:
            if path is not None and not path.strip().startswith("$"):
                here.warn("the Chaos Toolkit wants it to begin with $")
            if path is not None and "['" in path:
                here.warn("the Chaos Toolkit wants double quotes in it")
    count = tolerance.get("count", 0)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        spot.at("count").wrong(f"must be a whole number, not {named(count)}")
    _check_target(tolerance, spot)


def _check_target(tolerance: dict[str, Any], spot: Spot) -> None:
    if "target" in tolerance:
        spot.at("target").text(tolerance["target"])


_CHECKS: dict[str, Callable[[dict[str, Any], Spot], None]] = {
    "range": _check_range,
    "regex": _check_regex,
    "jsonpath": _check_jsonpath,
}

# -- judgements --------------------------------------------------------------------------------------------------------


def _status(value: Any) -> Any:
    return value["status"] if isinstance(value, dict) and "status" in value else value


def _target(tolerance: dict[str, Any], value: Any) -> Any:
    target = tolerance.get("target")
    return value.get(target, value) if target and isinstance(value, dict) else value


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _instead(value: Any, tolerance: Any) -> str:
    return f"answered {_shown(value)} where {_shown(tolerance)} is tolerated"


def _unlisted(tolerance: list[Any], value: Any) -> str | None:
    if len(tolerance) != 2:
        met = any(type(value) is type(one) and value == one for one in tolerance) or (
            is_number(value) and any(is_number(one) and value == one for one in tolerance)
        )
        return None if met else f"answered {_shown(value)}, which is none of {_shown(tolerance)}"
    low, high = tolerance
    comparable = isinstance(value, str) if isinstance(low, str) else is_number(value)
    return None if comparable and low <= value <= high else _outside(value, low, high)


def _outside(value: Any, low: Any, high: Any) -> str:
    return f"answered {_shown(value)}, which does not lie between {_shown(low)} and {_shown(high)}"


def _out_of_range(bounds: list[float], value: Any) -> str | None:
    low, high = bounds
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    try:
        number = Decimal(str(text).strip()) if is_number(text) or isinstance(text, str) else None
    except InvalidOperation:
        number = None
    if number is None or number.is_nan():
        return f"answered {_shown(value)}, which is no number"
    return None if Decimal(str(low)) <= number <= Decimal(str(high)) else _outside(value, low, high)


def _unmatched(pattern: str, value: Any) -> str | None:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return f"answered {_shown(value)}, which is no text to match {pattern!r} against"
    return None if re.search(pattern, text) else f"answered {_shown(text)}, in which nothing matches {pattern!r}"


def _unfound(tolerance: dict[str, Any], value: Any) -> str | None:
    found = jsonpath.find(jsonpath.parse(tolerance["path"]), _as_json(value))
    where = f"{len(found)} values at {tolerance['path']}: {_shown(found)}"
    if "expect" in tolerance:  # with both, the Chaos Toolkit looks at this one only
        expected = tolerance["expect"] if isinstance(tolerance["expect"], list) else [tolerance["expect"]]
        return None if found == expected else f"has {where}, where {_shown(expected)} is tolerated"
    if "count" in tolerance:
        return None if len(found) == tolerance["count"] else f"has {where}, where there should be {tolerance['count']}"
    return None if found else f"has nothing at {tolerance['path']}"


def _as_json(value: Any) -> Any:
    if isinstance(value, str | bytes):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
