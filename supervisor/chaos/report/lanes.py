"""Which lanes a timeline shows, and what is on each. Pure.

A lane is a worker, and the first is the service itself when something was done to it. Shown is who has something to see; of
more than can be looked at, those that went wrong come first, then those with most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervisor.chaos.report import words
from supervisor.chaos.trace import Outcome, stamp

if TYPE_CHECKING:
    from supervisor.chaos.figures import Measured
    from supervisor.chaos.findings import Findings

MOST = 250
NAMED, FEW = 12, 20
SERVICE = "the service"


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault: when, until when if it lasted, of which kind, and the sentence."""

    at: float
    until: float | None
    kind: str
    told: str


@dataclass(frozen=True, slots=True)
class Row:
    """A lane. gaps: (begin, end, why, sentence); hurts: (when, what)."""

    name: str
    is_worker: bool
    known: bool
    gaps: tuple[tuple[float, float, str, str], ...] = ()
    marks: tuple[Mark, ...] = ()
    hurts: tuple[tuple[float, str], ...] = ()
    odd: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """The lanes, and a sentence about the rest (empty: there is none)."""

    rows: tuple[Row, ...]
    folded: str


def choose(findings: Findings, most: int = MOST) -> Chosen:
    """By name, but for the service, which is first."""
    by_name: dict[str, list[Measured]] = {}
    for each in findings.figures.faults:
        on = each.traced.fault.worker if each.traced.kind.place != "part" else None
        by_name.setdefault(on or SERVICE, []).append(each)
    every = [_row(findings, name, by_name.get(name, [])) for name in findings.timeline.lanes]
    something = [row for row in every if row.gaps or row.marks or row.hurts]
    nothing = sorted((row.name for row in every if not (row.gaps or row.marks or row.hurts)), key=_in_order)
    if not something:  # nothing happened to anybody: that is worth seeing of a few
        something, nothing = every[:FEW], [row.name for row in every[FEW:]]
    something.sort(key=lambda row: (not row.hurts, not row.odd, -len(row.marks), row.name))
    shown, rest = something[:most], something[most:]
    rows = sorted(shown, key=lambda row: _in_order(row.name))
    if SERVICE in by_name:
        rows.insert(0, _row(findings, SERVICE, by_name[SERVICE], is_worker=False))
    return Chosen(tuple(rows), " ".join(filter(None, (_more(rest), _quiet(nothing)))))


def _in_order(name: str) -> tuple[str, int]:
    """w-2 before w-10."""
    base, dash, number = name.rpartition("-")
    return (base, int(number)) if dash and number.isdecimal() else (name, -1)


def _row(findings: Findings, name: str, faults: list[Measured], *, is_worker: bool = True) -> Row:
    lane = findings.timeline.lanes.get(name) if is_worker else None
    hurts = tuple((hurt.at, hurt.what) for hurt in findings.hurts if hurt.worker == name) if is_worker else ()
    return Row(
        name=name,
        is_worker=is_worker,
        known=lane is not None and lane.known,
        gaps=tuple(
            (
                gap.begin,
                gap.end,
                gap.why,
                f"{words.plain(name)}: {words.GAPS[gap.why]}, {words.seconds(gap.end - gap.begin)}",
            )
            for gap in (lane.gaps if lane is not None and lane.known else ())
        ),
        marks=tuple(_mark(findings, each) for each in sorted(faults, key=lambda each: each.traced.fault.at)),
        hurts=hurts,
        odd=any(each.traced.outcome is Outcome.LOST for each in faults),
    )


def _mark(findings: Findings, one: Measured) -> Mark:
    traced = one.traced
    last = traced.undone or traced.ending
    over = findings.record.ended if last is None else stamp(last)
    until = over if traced.kind.lasting else None
    at = words.seconds(traced.fault.at - findings.record.began)
    return Mark(traced.fault.at, until, traced.fault.kind, f"{at}: {words.plain(words.fault(one))}: {words.fate(one)}")


def _more(rest: list[Row]) -> str:
    if not rest:
        return ""
    faults = sum(len(row.marks) for row in rest)
    return f"{len(rest)} more workers with {faults} faults, all of them well, are not drawn."


def _quiet(nothing: list[str]) -> str:
    if not nothing:
        return ""
    named = ", ".join(words.plain(name) for name in nothing[:NAMED]) + (" …" if len(nothing) > NAMED else "")
    who = "1 worker has" if len(nothing) == 1 else f"{len(nothing)} workers have"
    return f"{who} nothing to see (ready all the time): {named}"
