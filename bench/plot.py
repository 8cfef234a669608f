"""The plots, bars on a logarithmic scale, as SVG written by hand: what a kill costs, and the pool among pools."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from bench.report import is_peer, number
from bench.rows import KINDS, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = ("kill-standby", "kill-preloaded", "kill-program", "kill-program-numpy")
WIDTH, LEFT, BAR, GAP, TOP, AXIS = 860, 330, 18, 6, 60, 40
OURS, PEER, HAND = "#2a7f62", "#b0653a", "#8a8a8a"
STYLE = "text { font: 13px sans-serif; fill: currentColor } .head { font-weight: bold } .small { font-size: 11px }"


class Scale(NamedTuple):
    """Both ends of an axis, where its lines are, and what stands behind the numbers."""

    least: float
    most: float
    lines: tuple[float, ...]
    unit: str
    logarithmic: bool = True

    def x(self, value: float) -> float:
        value = min(max(value, self.least), self.most)
        part = (value - self.least) / (self.most - self.least)
        if self.logarithmic:
            part = math.log(value / self.least) / math.log(self.most / self.least)
        return round(LEFT + part * (WIDTH - LEFT - 70), 1)


KILLS = Scale(1.0, 10_000.0, (1, 10, 100, 1000, 10_000), " ms")
RATES = Scale(1_000.0, 10_000_000.0, (1_000, 10_000, 100_000, 1_000_000, 10_000_000), "")
RESULTS = Scale(0.0, 196.0, (0, 49, 98, 147, 196), "", logarithmic=False)


def draw(path: str, rows: Sequence[Row]) -> None:
    """What a kill costs: median bars, and a whisker to p99."""
    shown = [(row, f"{row.who}: {_short(row)}") for key in SHOWN for row in _of(key, rows)]
    words = (
        "From kill -9 of a worker to the next one ready, milliseconds",
        "median, and a line to p99; logarithmic: less is better",
    )
    parts, height = _panel(KILLS, words, shown, 0)
    _write(path, parts, height)


def draw_pools(path: str, rows: Sequence[Row]) -> None:
    """Tasks a second, and how many good results come when tasks kill their workers."""
    panels = (
        ("pool-map", RATES, "20,000 trivial tasks, one by one through map with defaults: tasks a second"),
        ("pool-submit", RATES, "Trivial tasks submitted one by one: tasks a second"),
        ("pool-chunks", RATES, "Trivial tasks in chunks of 500: tasks a second"),
        ("pool-survived", RESULTS, "Good results, of 196 tasks submitted, when four others kill their worker"),
        ("pool-survived-map", RESULTS, "Good results, of 196, when all 200 are one call of map"),
    )
    parts: list[str] = []
    height = 0
    for key, scale, head in panels:
        kind = "logarithmic; " if scale.logarithmic else ""
        shown = [(row, row.who) for row in sorted(_of(key, rows), key=lambda row: -row.median)]
        if not shown:
            continue
        more, height = _panel(scale, (head, f"median; {kind}more is better"), shown, height, whiskers=False)
        parts += more
    _write(path, parts, height)


def _of(key: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.key == key and row.values]


def _short(row: Row) -> str:
    return KINDS[row.key].title.removeprefix("kill to ready, ")


def _panel(
    scale: Scale, words: tuple[str, str], shown: Sequence[tuple[Row, str]], top: int, *, whiskers: bool = True
) -> tuple[list[str], int]:
    """Bars under a heading, and where the next panel may begin."""
    end = top + TOP + len(shown) * (BAR + GAP) + AXIS
    parts = [
        f'<text class="head" x="10" y="{top + 22}">{words[0]}</text>',
        f'<text class="small" x="10" y="{top + 40}">{words[1]}</text>',
    ]
    parts += [_axis(scale, at, top, end) for at in scale.lines]
    for index, (row, name) in enumerate(shown):
        parts += _bar(scale, row, name, top + TOP + index * (BAR + GAP), whiskers=whiskers)
    return parts, end


def _axis(scale: Scale, at: float, top: int, end: int) -> str:
    x = scale.x(at)
    line = f'<line x1="{x}" y1="{top + TOP - 6}" x2="{x}" y2="{end - 30}" stroke="currentColor" stroke-opacity="0.2"/>'
    label = f"{at:,.0f}{scale.unit}"
    return f'{line}<text class="small" x="{x}" y="{end - 12}" text-anchor="middle">{label}</text>'


def _bar(scale: Scale, row: Row, name: str, y: float, *, whiskers: bool) -> list[str]:
    colour = PEER if is_peer(row) else OURS if row.who == "ninelives" else HAND
    start, end = scale.x(scale.least), scale.x(row.median)
    far = scale.x(row.quantile(0.99)) if whiskers else end
    middle = y + BAR / 2
    return [
        f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{name}</text>',
        f'<rect x="{start}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}" fill="{colour}"/>',
        f'<line x1="{end}" y1="{middle}" x2="{far}" y2="{middle}" stroke="{colour}" stroke-width="2"/>',
        f'<text class="small" x="{max(far, end) + 5}" y="{y + 13}">{number(row.median)}</text>',
    ]


def _write(path: str, parts: Sequence[str], height: int) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" color="#555">'
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>\n"]))
