"""The specification of the journal as a checker: every MUST of "Experiment Journal", and the SHOULDs we keep.

One word of it is not kept, by the Chaos Toolkit neither: `output` is to be a string or null, while the specification of the
providers has them answer objects. Here it is anything JSON can say.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUSES = ("completed", "failed", "aborted", "interrupted")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")  # RFC 3339, in UTC


def broken(journal: Any) -> list[str]:
    """The rules that are broken, each at its place."""
    return list(_journal(journal))


def _journal(journal: Any) -> Iterator[str]:
    if not isinstance(journal, dict):
        yield "a journal MUST be a JSON object"
        return
    json.dumps(journal, allow_nan=False)  # or it is no JSON
    yield from _has(
        journal, "", "experiment", "status", "start", "end", "duration", "steady_states", "run", "rollbacks"
    )
    yield from _is(journal.get("status") in STATUSES, "status", f"one of {STATUSES}")
    yield from _times(journal, "")
    yield from _experiment(journal.get("experiment"))
    for key in ("platform", "node"):
        yield from _is(isinstance(journal.get(key, ""), str), key, "a string")
    states: Any = journal.get("steady_states")
    yield from _is(isinstance(states, dict), "steady_states", "an object")
    for key in ("before", "after"):
        if states.get(key) is not None:  # may be missing if it was not run; null in ours and the Chaos Toolkit's
            yield from _state(states[key], f"steady_states.{key}")
    for index, state in enumerate(states.get("during", [])):
        yield from _state(state, f"steady_states.during[{index}]")
    for key in ("run", "rollbacks"):
        yield from _is(isinstance(journal.get(key), list), key, "an array")
        for index, entry in enumerate(journal.get(key, [])):
            yield from _entry(entry, f"{key}[{index}]")


def _experiment(tree: Any) -> Iterator[str]:
    if not isinstance(tree, dict):
        yield "experiment MUST be an object"
        return
    yield from _has(tree, "experiment", "title", "description", "method")


def _state(state: Any, at: str) -> Iterator[str]:
    yield from _has(state, at, "steady_state_met", "probes")
    yield from _is(isinstance(state.get("steady_state_met"), bool), f"{at}.steady_state_met", "a boolean")
    yield from _is(isinstance(state.get("probes"), list), f"{at}.probes", "an array")
    for index, entry in enumerate(state.get("probes", [])):
        yield from _entry(entry, f"{at}.probes[{index}]")
        met = entry.get("tolerance_met")
        yield from _is(isinstance(met, bool), f"{at}.probes[{index}].tolerance_met", "a boolean")
        if index < len(state["probes"]) - 1:
            yield from _is(met is True, f"{at}.probes", "at an end with the first probe that is not tolerated")
    met = all(entry.get("tolerance_met") for entry in state.get("probes", []))
    if state.get("steady_state_met"):
        yield from _is(met, f"{at}.steady_state_met", "true only when all its probes matched")


def _entry(entry: Any, at: str) -> Iterator[str]:
    yield from _has(entry, at, "activity", "status", "start", "end", "duration", "output")
    yield from _is(isinstance(entry.get("activity"), dict), f"{at}.activity", "an object")
    yield from _is(entry.get("status") in ("succeeded", "failed"), f"{at}.status", "succeeded or failed")
    yield from _times(entry, at)
    exception = entry.get("exception", [])
    yield from _is(isinstance(exception, str | list), f"{at}.exception", "an array or a string")
    if entry.get("status") == "failed":
        yield from _is(bool(exception), f"{at}.exception", "there, as it failed")


def _times(tree: dict[str, Any], at: str) -> Iterator[str]:
    for key in ("start", "end"):
        yield from _is(bool(STAMP.fullmatch(str(tree.get(key)))), f"{at}.{key}".lstrip("."), "RFC 3339 in UTC")
    duration = tree.get("duration")
    yield from _is(
        isinstance(duration, int | float) and duration >= 0, f"{at}.duration".lstrip("."), "a number of seconds"
    )


def _has(tree: Any, at: str, *keys: str) -> Iterator[str]:
    yield from (f"{at or 'the journal'} MUST declare {key}" for key in keys if key not in tree)


def _is(met: bool, at: str, what: str) -> Iterator[str]:
    if not met:
        yield f"{at} MUST be {what}"


def shape(value: Any, at: str = "") -> set[str]:
    """Every key there is in a tree, with the type of its value; elements of a list together."""
    if isinstance(value, dict):
        return {
            found
            for key, item in value.items()
            for found in {f"{at}.{key}: {_kind(item)}"} | shape(item, f"{at}.{key}")
        }
    if isinstance(value, list):
        return {found for item in value for found in {f"{at}[]: {_kind(item)}"} | shape(item, f"{at}[]")}
    return set()


def _kind(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__
