"""The plot: bars of what a kill costs, on a logarithmic scale, as SVG written by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.report import is_peer, number
from bench.rows import KINDS, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = ("kill-standby", "kill-preloaded", "kill-program", "kill-program-numpy")
WIDTH, LEFT, BAR, GAP, TOP = 860, 330, 18, 6, 60
LEAST, MOST = 1.0, 10_000.0  # milliseconds at both ends of the axis
OURS, PEER, HAND = "#2a7f62", "#b0653a", "#8a8a8a"
STYLE = "text { font: 13px sans-serif; fill: currentColor } .head { font-weight: bold } .small { font-size: 11px }"


def draw(path: str, rows: Sequence[Row]) -> None:
    """Median bars, and a whisker to p99."""
    shown = [row for key in SHOWN for row in rows if row.key == key and row.values]
    height = TOP + len(shown) * (BAR + GAP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" color="#555">',
        f"<style>{STYLE}</style>",
        '<text class="head" x="10" y="22">From kill -9 of a worker to the next one ready, milliseconds</text>',
        '<text class="small" x="10" y="40">median, and a line to p99; logarithmic: less is better</text>',
    ]
    parts += [_axis(at, height) for at in (1, 10, 100, 1000, 10_000)]
    for index, row in enumerate(shown):
        parts += _bar(row, TOP + index * (BAR + GAP))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([*parts, "</svg>\n"]))


def _x(milliseconds: float) -> float:
    part = math.log(min(max(milliseconds, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return round(LEFT + part * (WIDTH - LEFT - 70), 1)


def _axis(at: float, height: int) -> str:
    x = _x(at)
    line = f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{height - 30}" stroke="currentColor" stroke-opacity="0.2"/>'
    return f'{line}<text class="small" x="{x}" y="{height - 12}" text-anchor="middle">{at:,g} ms</text>'


def _bar(row: Row, y: float) -> list[str]:
    colour = PEER if is_peer(row) else OURS if row.who == "ninelives" else HAND
    start, end, far = _x(LEAST), _x(row.median), _x(row.quantile(0.99))
    middle = y + BAR / 2
    what = KINDS[row.key].title.removeprefix("kill to ready, ")
    return [
        f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{row.who}: {what}</text>',
        f'<rect x="{start}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}" fill="{colour}"/>',
        f'<line x1="{end}" y1="{middle}" x2="{far}" y2="{middle}" stroke="{colour}" stroke-width="2"/>',
        f'<text class="small" x="{max(far, end) + 5}" y="{y + 13}">{number(row.median)}</text>',
    ]
