"""The report for a pull request or a ticket. Names and texts are escaped: they are other people's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from supervisor.chaos.figures import METHOD
from supervisor.chaos.report import words
from supervisor.chaos.trace import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from supervisor.chaos.findings import Findings

MOST_FAULTS = 200  # in the table of all of them; the odd ones come first
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@-])")
_STATES = {True: "held", False: "**not held**", None: "unknown"}


def report(findings: Findings) -> str:
    """GitHub's Markdown."""
    return "\n".join(_lines(findings)) + "\n"


def text(value: object) -> str:
    """Text that means nothing but itself, on one line."""
    return _MARKS.sub(r"\\\1", words.plain(value))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Rows of cells that are escaped already."""
    heads = list(columns)
    return [
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _lines(findings: Findings) -> Iterator[str]:
    verdict = findings.verdict
    yield f"# {text(findings.title)}: {verdict.word}"
    yield ""
    if findings.description:
        yield from (text(findings.description), "")
    yield text(words.summary(findings))
    yield f"Faults: {text(words.outcomes(findings))}."
    yield ""
    for title, reasons in (("Why", verdict.reasons), ("Could not be judged", verdict.beside)):
        if reasons:
            yield from (f"**{title}**", "", *(f"- {text(reason)}" for reason in reasons), "")
    yield from _hypothesis(findings)
    yield from _kinds(findings)
    yield from _isolation(findings)
    yield from ("## Invariants", "")
    rows = ((text(each.claim), f"{each.state}", text(each.sentence)) for each in findings.invariants)
    yield from (*table(("invariant", "state", "seen"), rows), "")
    yield from _faults(findings)


def _hypothesis(findings: Findings) -> Iterator[str]:
    if findings.probes:
        asked = ((p.when, text(p.name), _STATES[p.met], text(p.got)) for p in findings.probes)
        yield from ("## Steady state", "", *table(("when", "probe", "", "got"), asked), "")
    if findings.activities:
        done = (
            (
                each.part,
                text(each.kind),
                text(each.name),
                text(each.status),
                words.seconds(each.took_s),
                text(each.told),
            )
            for each in findings.activities
        )
        columns = ("part", "type", "activity", "status", "took", "told")
        yield from ("## Activities", "", *table(columns, done), "")


def _kinds(findings: Findings) -> Iterator[str]:
    if not findings.figures.faults:
        return
    yield from ("## Times", "", f"Percentiles: {text(METHOD)}.", "")
    rows = ((text(cell) for cell in row) for row in words.figures(findings))
    yield from (*table(("kind", "time", "n", *words.POINTS), rows), "")


def _isolation(findings: Findings) -> Iterator[str]:
    figures = findings.figures
    yield from ("## Isolation", "", f"- availability: {words.share(figures.available)}")
    worst = sorted((value, name) for name, value in figures.availability.items() if value is not None and value < 1)
    yield from (f"  - {text(name)}: {words.share(value)}" for value, name in worst[:10])
    yield f"- blast radius: {text(words.radius(findings))}"
    began = findings.record.began
    yield from (f"  - {text(h.worker)} {text(h.what)} (at {words.seconds(h.at - began)})" for h in findings.hurts[:50])
    if len(findings.hurts) > 50:
        yield f"  - and {len(findings.hurts) - 50} more"
    yield ""


def _faults(findings: Findings) -> Iterator[str]:
    every = sorted(findings.figures.faults, key=lambda each: each.traced.outcome in (Outcome.RECOVERED, Outcome.PASSED))
    if not every:
        return
    shown = sorted(every[:MOST_FAULTS], key=lambda each: each.traced.fault.at)
    began = findings.record.began
    rows = (
        (
            words.seconds(each.traced.fault.at - began), text(each.traced.fault.kind), text(each.traced.name),
            text(words.fate(each)), text(each.traced.fault.chaos_id),
        )
        for each in shown
    )  # fmt: skip
    yield from ("## Faults", "", *table(("at", "kind", "on", "what became of it", "chaos_id"), rows))
    if len(every) > len(shown):
        yield from ("", f"and {len(every) - len(shown)} more that were over")
