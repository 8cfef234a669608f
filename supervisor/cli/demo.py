"""`ninelives demo`: the notes on multiprocessing as experiments on this machine, and a page of what came of them.

The page goes to stdout, the sign of life to stderr; nothing is printed that a worker could drive the terminal with.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, assert_never

import supervisor
from supervisor.cli.paint import Column, cut, harmless, paint, table
from supervisor.demo import catalogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from supervisor.demo.frame import Bars, Figure, Lines, Report, Result

HELP = """\
exit codes: 0 every claim held or does not apply here, 1 one did not hold (on one core there is no speed-up)

--json: {schema, version, at, quick, took_s, machine: {cpus, python, …}, experiments: [{name, took_s,
  claim: {title, sentence, done, copy}, outcome: {held: "yes" | "no" | "does not apply here", why},
  figures: [{kind: "bars" | "lines" | "table" | "output", title, …}]}]}; see docs/operations.md"""
COLOURS = {"yes": "green", "no": "red", "does not apply here": "yellow"}
SIDES = {"processes": "green", "threads": "yellow", "neither": None}
BAR = 30  # columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main` reads to a command's parser."""
    parser.epilog = HELP
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", choices=catalogue.NAMES, help=f"only these: {', '.join(catalogue.NAMES)}"
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the work: does it run, not how fast is it")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of the page")
    parser.add_argument("--html", metavar="FILE", help="write the page as one HTML file with its plots, too")


def main(args: argparse.Namespace) -> int:
    """0: everything held that could; 1: something did not; 2: the page cannot be written."""
    if args.html and (why := _unwritable(args.html)):
        print(f"ninelives demo: {args.html}: {why}", file=sys.stderr)
        return 2
    report = _perform(args.only or catalogue.NAMES, quick=args.quick)
    if args.html:
        from supervisor.demo.page import page  # noqa: PLC0415 - not for those who want none

        with open(args.html, "w", encoding="utf-8") as file:
            file.write(page(report))
    if args.json:
        import msgspec  # noqa: PLC0415

        print(msgspec.json.encode(report).decode())
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print("\n".join(text(report, columns=min(100, shutil.get_terminal_size().columns), colour=colour)))
    return int(any(result.outcome.held == "no" for result in report.experiments))


def _unwritable(path: str) -> str:
    """Why a page could not be written there: better said now than in a minute."""
    try:
        with open(path, "a", encoding="utf-8"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _perform(names: list[str] | tuple[str, ...], *, quick: bool) -> Report:
    from supervisor.demo import director, machine  # noqa: PLC0415 - not for --help
    from supervisor.demo.frame import Report  # noqa: PLC0415

    chosen = [name for name in catalogue.NAMES if name in names]
    began, at = time.monotonic(), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    results: list[Result] = []
    live = sys.stderr.isatty()

    def tick(name: str, seconds: float) -> None:
        if live:
            print(
                f"\r\x1b[K[{len(results) + 1}/{len(chosen)}] {name} … {seconds:.1f} s",
                end="",
                file=sys.stderr,
                flush=True,
            )

    try:
        for result in director.perform(chosen, quick=quick, tick=tick):
            results.append(result)
            if not live:
                said = f"[{len(results)}/{len(chosen)}] {result.name}: {result.outcome.held}"
                print(f"{said} ({result.took_s:.1f} s)", file=sys.stderr, flush=True)
    finally:
        if live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return Report(
        version=supervisor.__version__, at=at, quick=quick, took_s=round(time.monotonic() - began, 3),
        machine=machine.facts(), experiments=tuple(results),
    )  # fmt: skip


def text(report: Report, *, columns: int, colour: bool) -> Iterator[str]:
    """The page in lines of at most so many columns."""
    from supervisor.demo import page  # noqa: PLC0415

    for result in report.experiments:
        yield from _result(result, columns, colour=colour)
    width = max(len(result.claim.title) for result in report.experiments)
    for result in report.experiments:
        held = result.outcome.held
        yield cut(f"{result.claim.title:{width}}  {paint(page.WORDS[held], COLOURS[held], on=colour)}", columns)
    yield ""
    yield from textwrap.wrap(page.setting(report), columns)
    yield from textwrap.wrap(page.summary(report), columns)


def _result(result: Result, columns: int, *, colour: bool) -> Iterator[str]:
    from supervisor.demo.page import WORDS  # noqa: PLC0415

    held, claim = result.outcome.held, result.claim
    word = paint(WORDS[held], COLOURS[held], on=colour)
    yield cut(f"{paint(claim.title, 'bold', on=colour)}: {word}", columns)
    for what, said in (("", f"“{claim.sentence}”"), ("done: ", claim.done), ("seen: ", result.outcome.why)):
        for line in said.splitlines():
            yield from textwrap.wrap(what + harmless(line), columns, initial_indent="  ", subsequent_indent="  ")
    for figure in result.figures:
        yield from (cut(f"    {line}", columns) for line in _figure(figure, columns - 4, colour=colour))
    yield ""


def _figure(figure: Figure, columns: int, *, colour: bool) -> Iterator[str]:
    from supervisor.demo.frame import Bars, Lines, Output, Table  # noqa: PLC0415

    match figure:
        case Bars():
            yield from _bars(figure, colour=colour)
        case Lines():
            yield from _lines(figure, colour=colour)
        case Table():
            rows = [[harmless(cell) for cell in row] for row in figure.rows]
            yield from table([Column(title) for title in figure.columns], rows, fits=columns)
        case Output():
            yield from (f"| {harmless(line)}" for line in figure.lines)
        case _:
            assert_never(figure)


def _bars(figure: Bars, *, colour: bool) -> Iterator[str]:
    from supervisor.demo.plot import shares  # noqa: PLC0415
    from supervisor.paper import number  # noqa: PLC0415

    yield f"{figure.title}, {figure.unit}{' (logarithmic)' if figure.log else ''}:"
    width = max((len(bar.label) for bar in figure.bars), default=0)
    for bar, share in zip(figure.bars, shares([bar.value for bar in figure.bars], log=figure.log), strict=True):
        drawn = paint("█" * max(1, round(share * BAR)), SIDES[bar.side], on=colour)
        yield f"{bar.label:>{width}}  {drawn} {number(bar.value)}"


def _lines(figure: Lines, *, colour: bool) -> Iterator[str]:
    from supervisor.demo.frame import Bar, Bars  # noqa: PLC0415

    bars = [Bar(label=f"{line.label}, {x:g}", value=y, side=line.side) for line in figure.lines for x, y in line.points]
    yield from _bars(Bars(title=f"{figure.title} ({figure.x})", unit=figure.y, bars=tuple(bars)), colour=colour)
