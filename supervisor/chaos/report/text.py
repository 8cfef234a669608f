"""The report for a terminal: 80 columns, and colours only where they are wanted; every colour's meaning is in the words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from supervisor.chaos import blast
from supervisor.chaos.invariants import State
from supervisor.chaos.report import words
from supervisor.chaos.report.words import plain
from supervisor.chaos.verdict import Word
from supervisor.cli.paint import Column, cut, paint, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.chaos.findings import Findings

WIDE = 80
FEW = 12  # faults that are told one by one; of more, those that are odd
COLOURS = {
    Word.HELD: "green", Word.DEVIATED: "red", Word.ABORTED: "yellow", Word.INTERRUPTED: "yellow",
    State.HELD: "green", State.BROKEN: "red", State.UNKNOWN: "yellow",
}  # fmt: skip


def report(findings: Findings, *, colour: bool = False, wide: int = WIDE) -> str:
    """All of it, each line `wide` columns at most, with a newline at its end."""
    return "".join(f"{line}\n" for line in _lines(findings, colour=colour, wide=wide))


def _lines(findings: Findings, *, colour: bool, wide: int) -> Iterator[str]:
    verdict = findings.verdict
    word = paint(str(verdict.word).upper(), COLOURS[verdict.word], on=colour)
    yield paint(cut(plain(findings.title), wide), "bold", on=colour)
    yield f"{word}  {words.summary(findings)}" if len(words.summary(findings)) < wide - 14 else word
    if len(words.summary(findings)) >= wide - 14:
        yield from _wrapped(words.summary(findings), wide)
    yield from _wrapped(f"Faults: {words.outcomes(findings)}.", wide)
    for reason in verdict.reasons:
        yield from _wrapped(plain(reason), wide, "  because ")
    yield from _hypothesis(findings, colour=colour, wide=wide)
    yield from _kinds(findings, colour=colour, wide=wide)
    yield from _faults(findings, colour=colour, wide=wide)
    yield from _availability(findings, colour=colour, wide=wide)
    yield from _invariants(findings, colour=colour, wide=wide)
    failed = [each for each in findings.activities if each.status != "succeeded"]
    if failed:
        yield from _title("Activities that failed", colour=colour)
        for each in failed:
            yield from _wrapped(f"{plain(each.name)} ({each.part}): {plain(each.told)}", wide, "  ")


def _hypothesis(findings: Findings, *, colour: bool, wide: int) -> Iterator[str]:
    if not findings.probes:
        return
    yield from _title("Steady state", colour=colour)
    for probe in findings.probes:
        met, shade = {True: ("held", "green"), False: ("not held", "red"), None: ("unknown", "yellow")}[probe.met]
        line = f"  {paint(f'{met:<8}', shade, on=colour)}  {probe.when:<6}  {plain(probe.name)}: {plain(probe.got)}"
        yield cut(line, wide)


def _kinds(findings: Findings, *, colour: bool, wide: int) -> Iterator[str]:
    figures = findings.figures
    if not figures.faults:
        return
    yield from _title("Times by kind (of n that were measured)", colour=colour)
    columns = [
        Column("kind"), Column("n", right=True), Column("noticed p50", right=True, drop=3),
        Column("ready p50", right=True), Column("p95", right=True), Column("p99", right=True, drop=1),
        Column("max", right=True), Column("own p50", right=True, drop=2),
    ]  # fmt: skip
    rows = []
    for kind, spreads in [*figures.kinds.items(), *([("all", figures.total)] if len(figures.kinds) > 1 else [])]:
        number = sum(kind in ("all", each.traced.fault.kind) for each in figures.faults)
        detect, recovery, own = (spreads.get(name) for name in ("detect_s", "recovery_s", "own_s"))
        points = [words.spread(recovery, point) for point in ("p50", "p95", "p99", "max")]
        rows.append([plain(kind), str(number), words.spread(detect, "p50"), *points, words.spread(own, "p50")])
    for line in table(columns, rows, fits=wide - 2):
        yield f"  {line}"


def _faults(findings: Findings, *, colour: bool, wide: int) -> Iterator[str]:
    every = findings.figures.faults
    shown = every if len(every) <= FEW else [each for each in every if words.is_odd(each)]
    if not shown:
        return
    yield from _title("Faults" if len(every) <= FEW else "Faults that were not over", colour=colour)
    began = findings.record.began
    for each in shown[:50]:
        at = f"+{words.seconds(each.traced.fault.at - began)}"
        yield from _wrapped(f"{plain(words.fault(each))}: {words.fate(each)}", wide, f"  {at:>12}  ")
    if len(shown) > 50:
        yield f"  and {len(shown) - 50} more"


def _availability(findings: Findings, *, colour: bool, wide: int) -> Iterator[str]:
    figures = findings.figures
    yield from _title("Isolation", colour=colour)
    yield f"  availability  {words.share(figures.available)}"
    worst = sorted((value, name) for name, value in figures.availability.items() if value is not None and value < 1)
    if worst:
        told = ", ".join(f"{plain(name)} {words.share(value)}" for value, name in worst[:4])
        yield cut(f"  least         {told}", wide)
    shade = "red" if findings.hurts else "green"
    yield f"  blast radius  {paint(words.radius(findings), shade, on=colour)}"
    for hurt in findings.hurts[:10]:
        at = f"+{words.seconds(hurt.at - findings.record.began)}"
        yield from _wrapped(f"{plain(hurt.worker)} {plain(hurt.what)}", wide, f"  {at:>12}  ")
    if len(findings.hurts) > 10:
        yield f"  and {len(findings.hurts) - 10} more, of {len(blast.names(findings.hurts))} workers"


def _invariants(findings: Findings, *, colour: bool, wide: int) -> Iterator[str]:
    yield from _title("Invariants", colour=colour)
    for each in findings.invariants:
        state = paint(f"{each.state:<7}", COLOURS[each.state], on=colour)
        yield cut(f"  {state}  {each.claim}", wide)
        if each.state is not State.HELD:
            yield from _wrapped(plain(each.sentence), wide, " " * 11)


def _title(text: str, *, colour: bool) -> Iterator[str]:
    yield ""
    yield paint(text, "bold", on=colour)


def _wrapped(text: str, wide: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, wide, initial_indent=indent, subsequent_indent=" " * len(indent)) or [indent]
