"""What reading an experiment finds: errors and warnings, each at its place in the tree.

A Spot is a place in the file. Readers ask it for what they expect, tell it what is wrong, and go on: everything that is
wrong with a file is said at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from supervisor.problems import Place, Problem, nearest, said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class BadExperiment(Exception):
    """An experiment that was refused; `problems` has everything that is wrong with it, `warnings` what else was seen."""

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        self.problems, self.warnings = tuple(problems), tuple(warnings)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in an experiment, and the two lists into which what is found there goes."""

    place: Place
    warnings: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        """Of the whole file, not of this place alone."""
        return self.place.problems

    def at(self, key: str | int) -> Spot:
        """The place of a key or of an element below this one."""
        return Spot(self.place.at(key), self.warnings)

    def wrong(self, what: str, suggestion: str | None = None) -> None:
        """An experiment with this in it is not run."""
        self.place.wrong(what, suggestion)

    def warn(self, what: str, suggestion: str | None = None) -> None:
        """Worth knowing before it is run."""
        self.warnings.append(Problem(file=self.place.file, key=self.place.key, what=what, suggestion=suggestion))

    # -- what is expected here -----------------------------------------------------------------------------------------

    def table(self, value: Any) -> dict[str, Any]:
        """An object; an empty one where there is none."""
        if isinstance(value, dict):
            return value
        self.wrong(f"must be an object, not {named(value)}")
        return {}

    def listed(self, value: Any) -> list[Any]:
        """An array; an empty one where there is none."""
        if isinstance(value, list):
            return value
        self.wrong(f"must be a list, not {named(value)}")
        return []

    def text(self, value: Any) -> str | None:
        """A string with something in it."""
        if isinstance(value, str) and value.strip():
            return value
        self.wrong("must not be empty" if isinstance(value, str) else f"must be a string, not {named(value)}")
        return None

    def word(self, value: Any, words: Iterable[str]) -> str | None:
        """One of some words."""
        words = list(words)
        if isinstance(value, str) and value in words:
            return value
        close = nearest(value, words) if isinstance(value, str) else None
        self.wrong(f"must be one of {', '.join(words)}, not {named(value)}", close)
        return None

    def flag(self, value: Any) -> bool | None:
        """True or false."""
        if isinstance(value, bool):
            return value
        self.wrong(f"must be true or false, not {named(value)}")
        return None

    def seconds(self, value: Any) -> float | None:
        """A number of seconds, not negative."""
        if is_number(value) and 0 <= value < float("inf"):
            return float(value)
        self.wrong(f"must be a number of seconds, not {named(value)}")
        return None

    def keys(self, tree: Mapping[str, Any], known: Iterable[str], idle: Mapping[str, str] | None = None) -> None:
        """Refuse what is not known, and warn of `idle` keys (key -> why nothing comes of it)."""
        known, idle = list(known), idle or {}
        for key in tree:
            if key in idle:
                self.at(key).warn(idle[key])
            elif key not in known:
                self.at(key).wrong("is no key of this part of an experiment", nearest(key, known))

    def needs(self, tree: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
        """Yield those of the keys that are there; the others are errors."""
        for key in keys:
            if key in tree:
                yield key
            else:
                self.at(key).wrong("is missing")


def named(value: Any) -> str:
    """A wrong value, short enough to stand in a sentence, in JSON's words."""
    if value is None:
        return "null"
    return "an object" if isinstance(value, dict) else said(value)


def is_number(value: Any) -> bool:
    """A JSON number: true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
