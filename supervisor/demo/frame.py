"""What an experiment is made of. Nouns only: nothing here measures, and what was measured is judged where it is explained.

An experiment is a module of `supervisor/demo/experiments/` with four names:

    CLAIM     what the notes say, and what is done to see whether it is so
    measure   does it, and returns what was seen: numbers, no opinions
    judge     from what was seen to an Outcome; pure, so that a test can show it worlds in which the claim does not hold
    show      from what was seen to figures; pure too
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

import msgspec


class Noun(msgspec.Struct, frozen=True):
    """A frozen value that becomes a JSON object."""


class Held(StrEnum):
    """Whether a claim is true of this machine. NOT_HERE: nothing on it could show that."""

    YES = "yes"
    NO = "no"
    NOT_HERE = "does not apply here"


class Outcome(Noun, frozen=True, kw_only=True):
    """The answer, and the sentence with the facts that it rests on."""

    held: Held
    why: str


def answer(is_so: bool, why: str) -> Outcome:
    """Yes or no, and why."""
    return Outcome(held=Held.YES if is_so else Held.NO, why=why)


def not_here(why: str) -> Outcome:
    """Nothing on this machine can show it."""
    return Outcome(held=Held.NOT_HERE, why=why)


Side = Literal["processes", "threads", "neither"]
"""Whose a value is: it has one colour in all figures."""


class Bar(Noun, frozen=True, kw_only=True):
    """One value."""

    label: str
    value: float
    side: Side = "neither"


class Bars(Noun, frozen=True, kw_only=True, tag="bars", tag_field="kind"):
    """Values beside each other; `log`: their lengths are logarithms, for values orders of magnitude apart."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    log: bool = False


class Line(Noun, frozen=True, kw_only=True):
    """Points (x, y) in the order of x."""

    label: str
    points: tuple[tuple[float, float], ...]
    side: Side = "neither"


class Lines(Noun, frozen=True, kw_only=True, tag="lines", tag_field="kind"):
    """Lines over one axis; x and y say what the numbers are, with their units."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


class Table(Noun, frozen=True, kw_only=True, tag="table", tag_field="kind"):
    """Text in columns, where there is nothing to draw."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Output(Noun, frozen=True, kw_only=True, tag="output", tag_field="kind"):
    """Lines that a program wrote."""

    title: str
    lines: tuple[str, ...]


Figure = Bars | Lines | Table | Output


class Claim(Noun, frozen=True, kw_only=True):
    """A sentence of the notes. done: the experiment in words. copy: the file to copy from, below the project's folder."""

    title: str
    sentence: str
    done: str
    copy: str = ""


class Result(Noun, frozen=True, kw_only=True):
    """An experiment that is over. took_s is the whole of it, with its processes' start and end."""

    name: str
    claim: Claim
    outcome: Outcome
    figures: tuple[Figure, ...] = ()
    took_s: float = 0.0


class Report(Noun, frozen=True, kw_only=True):
    """All of a run: what `--json` prints and the page shows. at: when it began, in ISO 8601; took_s: seconds."""

    schema: int = 1
    version: str
    at: str
    quick: bool
    took_s: float
    machine: dict[str, str]
    experiments: tuple[Result, ...]

    def count(self, held: Held) -> int:
        """How many of the claims."""
        return sum(result.outcome.held is held for result in self.experiments)


class Pace(NamedTuple):
    """On which CPUs, and how thoroughly."""

    cpus: tuple[int, ...]
    quick: bool = False

    def seconds(self, full: float) -> float:
        """So long, or a fifth of it: enough to see that it works, too little to trust the figure."""
        return full / 5 if self.quick else full

    def times(self, full: int) -> int:
        """So often, or a fifth of it, but three times at least: there is to be a median."""
        return max(3, full // 5) if self.quick else full


class Experiment(Protocol):
    """The four names of a module; what `measure` returns is its own business."""

    CLAIM: Claim

    def measure(self, pace: Pace) -> Any:
        """Do it."""

    def judge(self, seen: Any) -> Outcome:
        """Say whether the claim held."""

    def show(self, seen: Any) -> tuple[Figure, ...]:
        """Draw what was seen."""
