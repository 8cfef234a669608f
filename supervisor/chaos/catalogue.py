"""All kinds of fault there are: the files of `faults/`, one a kind."""

from __future__ import annotations

import difflib
import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from supervisor.chaos.fault import Fault

PACKAGE = "supervisor.chaos.faults"
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults")


def kinds() -> list[str]:
    """Their names, sorted; nothing is imported."""
    files = (name for name in os.listdir(_FOLDER) if name.endswith(".py") and name != "__init__.py")
    return sorted(name.removesuffix(".py").replace("_", "-") for name in files)


def no_such(kind: str, there: Collection[str]) -> str:
    """The sentence for a kind that is not among those there are."""
    near = difflib.get_close_matches(kind, there, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(there))}"
    return f"no kind of fault is called {kind!r}: {hint}"


def module(kind: str) -> Any:
    """The file of this kind; KeyError, with what may have been meant, if there is none."""
    if kind not in kinds():
        raise KeyError(no_such(kind, kinds()))
    return importlib.import_module(f"{PACKAGE}.{kind.replace('-', '_')}")


def fault(kind: str) -> Fault:
    """Its description."""
    found: Fault = module(kind).FAULT
    return found


def why_not_here(kind: str) -> str | None:
    """Why this machine cannot do it; None if it can."""
    probe = getattr(module(kind), "possible", None)
    why: str | None = probe() if probe is not None else None
    return why


def describe(kind: str) -> dict[str, Any]:
    """What `chaos list` shows of it."""
    one = fault(kind)
    why = why_not_here(kind)
    parameters = [
        {
            "name": each.name,
            "kind": each.kind,
            "default": each.default,
            "summary": each.summary,
            "words": list(each.words),
        }
        for each in one.parameters
    ]
    shown = ("kind", "summary", "place", "lasting", "ends", "detected", "undone")
    return {
        **{name: getattr(one, name) for name in shown},
        "parameters": parameters,
        "possible": why is None,
        "why": why,
    }


_HEAD = """# Kinds of fault

Made from the files of `supervisor/chaos/faults/` by `python -m supervisor.chaos.catalogue`; do not edit. `ninelives chaos list`
says which of them are possible where you run it. *Outside*: done to any worker. *Inside*: done by a worker to itself, where its
heart has the hook (`chaos = true`, and a function or a Python program that uses `workers.heart`). *Part*: done to the
service's own processes (`[chaos] parts = true`).
"""
_ENDS = {"ending": "always ends the life", "maybe": "may end the life", "never": "ends no life"}


def reference() -> str:
    """docs/faults.md: every kind with its parameters, how it is noticed and how it is undone."""
    return "\n".join([_HEAD, *(_section(fault(kind)) for kind in kinds())])


def _section(one: Fault) -> str:
    lasts = "lasts" if one.lasting else "is over at once"
    lines = [
        f"## {one.kind}",
        "",
        f"{one.summary[0].upper()}{one.summary[1:]}. {one.place.capitalize()}; {lasts}; {_ENDS[one.ends]}.",
        "",
    ]
    lines.append(f"- noticed: {one.detected}")
    if one.undone:
        lines.append(f"- undone: {one.undone}")
    for each in one.parameters:
        words = f" ({', '.join(each.words)})" if each.words else ""
        lines.append(f"- `-p {each.name}={each.default}`: {each.summary}{words}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with open("docs/faults.md", "w") as _file:
        _file.write(reference())
