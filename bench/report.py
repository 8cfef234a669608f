"""The rows as a table for a terminal, as JSON, and as a page of docs."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from typing import TYPE_CHECKING

from bench.rows import KINDS, Kind, Row, reached
from supervisor import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

US = "ninelives"
HEAD = ("figure", "who", "n", "median", "p99", "unit", "reach", "", "ninelives is", "load")


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line for each row, in the order of KINDS; ours first."""
    order = list(KINDS)
    lines: list[tuple[str, ...]] = []
    last = ""
    for row in sorted(rows, key=lambda row: (order.index(row.key), row.who != US)):
        kind = KINDS[row.key]
        first, last = row.key != last, row.key
        lines.append(
            (
                kind.title if first else "",
                row.who,
                str(len(row.values)),
                number(row.median),
                number(row.quantile(0.99)) if len(row.values) > 1 else "",
                kind.unit,
                _reach(row),
                {True: "yes", False: "NO", None: ""}[reached(row)],
                _ratio(row, rows),
                f"{row.load:.1f}",
            )
        )
    return lines


def number(value: float) -> str:
    """Three digits that say something; nothing for what could not be measured."""
    if math.isnan(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.3f}"


def _reach(row: Row) -> str:
    kind = KINDS[row.key]
    if row.who != US or kind.p50 is None:
        return ""
    sign = ">=" if kind.more_is_better else "<="
    return f"{sign} {number(kind.p50)}" + (f", p99 {sign} {number(kind.p99)}" if kind.p99 else "")


def _ratio(row: Row, rows: Sequence[Row]) -> str:
    """How much better ours is than this peer; for a row of ours that peers have no match for, than the best of them."""
    kind = KINDS[row.key]
    if row.who == US:
        if kind.versus is None:
            return ""
        peers = [other for other in rows if other.key == kind.versus and is_peer(other) and other.median]
        if not peers or not row.median:
            return ""
        best = (max if kind.more_is_better else min)(peers, key=lambda other: other.median)
        return _times(_factor(kind, row, best), best.who)
    ours = next((other for other in rows if other.key == row.key and other.who == US), None)
    if ours is None or not is_peer(row) or not ours.median or not row.median:
        return ""
    return _times(_factor(kind, ours, row))


def _factor(kind: Kind, ours: Row, theirs: Row) -> float:
    return ours.median / theirs.median if kind.more_is_better else theirs.median / ours.median


def _times(factor: float, than: str = "") -> str:
    if factor == 0 or math.isnan(factor):
        return ""  # a peer that uses nothing at all; nothing was measured
    words = f"{number(factor)} x better" if factor >= 1 else f"{number(1 / factor)} x worse"
    return f"{words} than {than}" if than else words


def is_peer(row: Row) -> bool:
    """Another supervisor, not a program started by hand."""
    return row.who not in (US, "started by hand")


def machine() -> dict[str, object]:
    """Where and when."""
    model = platform.processor()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "version": __version__,
        "python": platform.python_version(),
        "kernel": platform.release().partition("-")[0],
        "cpus": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
    }


def to_terminal(rows: Sequence[Row]) -> None:
    """Aligned columns."""
    lines = [HEAD, *table(rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        if row.note:
            print(f"{row.who}, {KINDS[row.key].title}: {row.note}")
    sys.stdout.flush()


def to_json(path: str, rows: Sequence[Row], facts: dict[str, object]) -> None:
    """All values; what an earlier run found about other figures, or about peers, stays."""
    kept: list[dict[str, object]] = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            measured = {(row.key, row.who) for row in rows}
            kept = [row for row in json.load(file)["rows"] if (row["figure"], row["who"]) not in measured]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**facts, "rows": kept + [row.as_json() for row in rows]}, file, indent=1)


def from_json(path: str) -> list[Row]:
    """The rows of all runs."""
    with open(path, encoding="utf-8") as file:
        return [
            Row(str(row["figure"]), row["who"], row["values"], note=row["note"], load=row["load"])
            for row in json.load(file)["rows"]
        ]


def to_markdown(
    path: str, rows: Sequence[Row], facts: dict[str, object], versions: dict[str, str], pools: dict[str, str]
) -> None:
    """docs/benchmarks.md: the service beside supervisors, then the pool beside pools, each with their versions."""
    ours = [row for row in rows if not is_pool(row)]
    theirs = [row for row in rows if is_pool(row)]
    text = f"""# Benchmarks

Made by `make bench`; do not edit. One figure: `python bench/run.py --only kill-standby`; all of them in short:
`python bench/run.py --quick`. Each figure's file in `bench/figures/` says at its head what is measured and how.

- ninelives {facts["version"]}, Python {facts["python"]}, Linux {facts["kernel"]}, {facts["date"]}
- {facts["cpus"]} CPUs ({facts["cpu"]}), {facts["memory_gib"]} GiB
- supervisors: {_listed(versions)}
- pools: {_listed(pools)}

`load` is the machine's one minute load when the row was measured: much above the service's own work means that others
were at work too, and the figure is worse than it need be. Rows of one figure whose loads differ are of different runs; the
machine itself is up to a third faster in one run than in another. Values and notes: `bench/out/results.json`.

## The service

![kill to ready, by supervisor](benchmarks.svg)

{_section(ours)}
## The pool

Two workers each, everybody with its defaults, every measurement in a fresh interpreter, the pools taking turns. One by one
means imap where a pool has it (with chunks of one), else map; joblib and ninelives gather tasks into chunks as they see how
short they are; joblib has no submit. A pool that a kill breaks is replaced by a new one, in the time that is measured. After
four kills only the results count that came within ten seconds.

![tasks a second, and good results after kills, by pool](benchmarks-pools.svg)

{_section(theirs)}"""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def is_pool(row: Row) -> bool:
    """One of the pool's figures."""
    return row.key.startswith("pool-")


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "none"


def _section(rows: Sequence[Row]) -> str:
    """A table, and the notes below it."""
    lines = [HEAD, ("---",) * len(HEAD), *table(rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    notes = [f"- {row.who}, {KINDS[row.key].title}: {row.note}\n" for row in rows if row.note]
    return text + "\n" + "".join(notes)
