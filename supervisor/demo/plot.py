"""Figures as SVG, written by hand: bars and lines, nothing that needs a library or the network. Pure.

Colours are classes (`processes`, `threads`, `neither`), to which the page gives values for light and for dark.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from supervisor.paper import number, svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.demo.frame import Bar, Bars, Line, Lines

WIDTH = 720
LABELS, BAR, GAP = 270, 18, 6  # pixels: the column of labels, a bar, the space between two
LEFT, TOP, HEIGHT, BELOW = 46, 34, 230, 44  # of the frame that lines are drawn in


def shares(values: Sequence[float], *, log: bool) -> list[float]:
    """The lengths of bars, 0 to 1: the largest is 1. On a logarithmic scale the decade below the smallest is 0."""
    most = max(values, default=0.0)
    if most <= 0:
        return [0.0 for _ in values]
    if not log:
        return [max(0.0, value / most) for value in values]
    least = 10 ** math.floor(math.log10(min(value for value in values if value > 0)) - 0.01)
    return [math.log(max(value, least) / least) / math.log(most / least) for value in values]


def bars(figure: Bars) -> str:
    """One under the other."""
    lengths = shares([bar.value for bar in figure.bars], log=figure.log)
    parts = [
        _bar(bar, index * (BAR + GAP), length)
        for index, (bar, length) in enumerate(zip(figure.bars, lengths, strict=True))
    ]
    return svg(WIDTH, len(figure.bars) * (BAR + GAP), f"{figure.title}, {figure.unit}", parts)


def _bar(bar: Bar, y: int, share: float) -> str:
    length = max(1.0, share * (WIDTH - LABELS - 70))
    return (
        f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{bar.side}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        f'<text x="{LABELS + length + 6:.1f}" y="{y + 13}">{number(bar.value)}</text>'
    )


def lines(figure: Lines) -> str:
    """Over one frame, its y axis from 0; a second line of the same side is dashed."""
    points = [point for line in figure.lines for point in line.points]
    left, right = min((x for x, _ in points), default=0.0), max((x for x, _ in points), default=1.0)
    high = max((y for _, y in points), default=1.0) * 1.08 or 1.0
    parts = [_across(y, high) for y in ticks(high)]
    parts += [_down(x, left, right) for x in sorted({x for x, _ in points})]
    parts.append(
        f'<text class="axis" x="{WIDTH - 8}" y="{TOP + HEIGHT + 36}" text-anchor="end">{escape(figure.x)}</text>'
    )
    for index, line in enumerate(figure.lines):
        dashed = any(before.side == line.side for before in figure.lines[:index])
        parts.append(_line(line, index, left, right, high, dashed=dashed))
    return svg(WIDTH, TOP + HEIGHT + BELOW, f"{figure.title}: {figure.y} over {figure.x}", parts)


def ticks(high: float) -> list[float]:
    """Round numbers from 0 up to `high`, four to ten of them."""
    step = 10 ** math.floor(math.log10(high / 2))
    step = next(step * times for times in (0.5, 1, 2, 5, 10) if high / (step * times) <= 8)
    return [round(step * index, 10) for index in range(int(high / step) + 1)]


def _x(x: float, left: float, right: float) -> float:
    share = (x - left) / (right - left) if right > left else 0.5
    return LEFT + 16 + share * (WIDTH - LEFT - 52)


def _y(y: float, high: float) -> float:
    return TOP + HEIGHT * (1 - y / high)


def _across(y: float, high: float) -> str:
    at = _y(y, high)
    rule = f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - 20}" y2="{at:.1f}"/>'
    return f'{rule}<text class="axis" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(y)}</text>'


def _down(x: float, left: float, right: float) -> str:
    return f'<text class="axis" x="{_x(x, left, right):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{number(x)}</text>'


def _line(line: Line, index: int, left: float, right: float, high: float, *, dashed: bool) -> str:
    at = [(_x(x, left, right), _y(y, high)) for x, y in line.points]
    kind = f"{line.side} dashed" if dashed else line.side
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = "".join(f'<circle class="{line.side}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in at)
    key = LEFT + index * 225
    sample = f'<polyline class="{kind}" points="{key},10 {key + 26},10"/>'
    return f'<polyline class="{kind}" points="{path}"/>{dots}{sample}<text x="{key + 32}" y="14">{escape(line.label)}</text>'
