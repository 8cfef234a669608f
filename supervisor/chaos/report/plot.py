"""The drawings of a report as SVG: lanes over time, and how times lie on a logarithmic axis. Pure.

A kind of fault has a shape and a colour of its own; colours are classes, to which the page gives values for light and for dark.
"""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from supervisor.chaos.figures import percentile
from supervisor.chaos.report import words
from supervisor.chaos.report.lanes import Mark, Row, choose
from supervisor.paper import svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from supervisor.chaos.findings import Findings

WIDTH = 1080
LABELS = 150  # pixels: the column of names
RIGHT = 28
COLOURS = 8
MANY_AWAYS = 60  # lines through everything: more are drawn fainter
MOST_DOTS = 400  # of one kind in one plot: of more, every so-manyth in order of size
SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",  # circle
    "M-3.6,-3.6h7.2v7.2h-7.2Z",  # square
    "M0,-4.8L4.6,3.6H-4.6Z",  # triangle
    "M0,-5L5,0L0,5L-5,0Z",  # diamond
    "M-4.6,-3.6H4.6L0,4.8Z",  # triangle, upside down
)


def signs(kinds: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Colour and shape of each kind: neighbours in the alphabet differ in both."""
    return {kind: (at % COLOURS, SHAPES[at % len(SHAPES)]) for at, kind in enumerate(sorted(set(kinds)))}


def legend(kinds: Iterable[str]) -> str:
    """What each mark stands for."""
    return "".join(
        f'<span><svg class="key" viewBox="-6 -6 12 12"><path class="f{colour}" d="{shape}"/></svg>{escape(kind)}</span>'
        for kind, (colour, shape) in signs(kinds).items()
    )


def round_steps(span: float, most: int) -> float:
    """A step for an axis of time, such that at most so many fit into `span` seconds."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400):
        if span / step <= most:
            return step
    return 86400 * math.ceil(span / 86400 / most)


# -- lanes ------------------------------------------------------------------------------------------------------------------


def lanes(findings: Findings) -> tuple[str, str]:
    """The timeline, and a sentence about the workers that are not in it."""
    chosen = choose(findings)
    tall = 24 if len(chosen.rows) <= 20 else 17 if len(chosen.rows) <= 60 else 12
    scale = _Scale(findings.record.began, findings.record.ended)
    top, bottom = 24, 24
    height = top + tall * len(chosen.rows) + bottom
    parts = [*_grid(scale, top, height - bottom), *_aways(findings, scale, top, height - bottom)]
    marks = signs(each.traced.fault.kind for each in findings.figures.faults)
    for at, row in enumerate(chosen.rows):
        parts += _lane(row, scale, top + at * tall, tall, marks)
    title = f"When {len(chosen.rows)} lanes were ready, and what was done to them"
    return svg(WIDTH, height, title, parts), chosen.folded


class _Scale:
    """From moments to pixels."""

    def __init__(self, began: float, ended: float) -> None:
        self.began, self.span = began, max(ended - began, 1e-9)

    def x(self, at: float) -> float:
        share = min(1.0, max(0.0, (at - self.began) / self.span))
        return LABELS + share * (WIDTH - LABELS - RIGHT)


def _grid(scale: _Scale, top: float, bottom: float) -> Iterator[str]:
    step = round_steps(scale.span, 10)
    for number in range(int(scale.span / step + 1e-9) + 1):
        x = scale.x(scale.began + number * step)
        yield f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>'
        for y in (top - 8, bottom + 16):
            yield f'<text class="axis" x="{x:.1f}" y="{y}" text-anchor="middle">{_clock(number * step)}</text>'


def _clock(at: float) -> str:
    """A moment on the axis."""
    if at < 60:
        return f"{at:g} s"
    minutes, rest = divmod(round(at), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _aways(findings: Findings, scale: _Scale, top: float, bottom: float) -> Iterator[str]:
    kind = "away many" if len(findings.timeline.aways) > MANY_AWAYS else "away"
    for away in findings.timeline.aways:
        begin, end = scale.x(away.begin), scale.x(away.end)
        told = f"the supervisor was away for {words.seconds(away.end - away.begin)}: {words.plain(away.reason)}"
        yield (
            f'<g><rect class="{kind}" x="{begin:.1f}" y="{top}" width="{max(end - begin, 1.5):.1f}" height="{bottom - top}"/>'
            f"<title>{escape(told)}</title></g>"
        )


def _lane(row: Row, scale: _Scale, y: float, tall: float, marks: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    middle = y + tall / 2
    size = min(13, tall - 1)
    name = words.plain(row.name)
    short = name if len(name) <= 20 else f"{name[:19]}…"
    kind = ' class="hurt"' if row.hurts or row.odd else ""
    yield (
        f'<g><text{kind} x="{LABELS - 8}" y="{middle + size * 0.35:.1f}" font-size="{size:g}" text-anchor="end">'
        f"{escape(short)}</text><title>{escape(name)}</title></g>"
    )
    bar = max(4.0, tall * 0.5)
    left, right = scale.x(scale.began), scale.x(scale.began + scale.span)
    at = f'y="{middle - bar / 2:.1f}" height="{bar:.1f}"'
    if row.is_worker:
        yield f'<rect class="{"ready" if row.known else "unknown"}" x="{left:.1f}" width="{right - left:.1f}" {at}/>'
    for begin, end, why, told in row.gaps:
        x = scale.x(begin)
        width = max(scale.x(end) - x, 1.5)
        yield f'<rect class="gap-{why}" x="{x:.1f}" width="{width:.1f}" {at}><title>{escape(told)}</title></rect>'
    for moment, what in row.hurts:
        x = scale.x(moment)
        told = escape(words.plain(f"{row.name} {what}"))
        yield f'<path class="cross" d="M{x - 4:.1f},{middle - 4:.1f}l8,8m0,-8l-8,8"><title>{told}</title></path>'
    yield from _marks(row.marks, scale, middle, tall, marks)


def _marks(
    found: Sequence[Mark], scale: _Scale, middle: float, tall: float, signs_of: Mapping[str, tuple[int, str]]
) -> Iterator[str]:
    """Those that would lie on each other are drawn once."""
    size = min(1.0, tall / 15)
    last, waiting = -math.inf, list[Mark]()
    for mark in [*found, None]:
        x = scale.x(mark.at) if mark is not None else math.inf
        if waiting and x - last > 3:
            yield _mark(waiting, last, middle, size, signs_of)
            waiting = []
        if mark is None:
            return
        colour = signs_of[mark.kind][0]
        if mark.until is not None and scale.x(mark.until) - x > 4:
            yield (
                f'<line class="s{colour}" x1="{x:.1f}" x2="{scale.x(mark.until):.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
            )
        last = x if not waiting else last
        waiting.append(mark)


def _mark(marks: Sequence[Mark], x: float, y: float, size: float, signs_of: Mapping[str, tuple[int, str]]) -> str:
    colour, shape = signs_of[marks[0].kind]
    told = "; ".join(mark.told for mark in marks[:5]) + (f" and {len(marks) - 5} more" if len(marks) > 5 else "")
    place = f"translate({x:.1f},{y:.1f}) scale({size:.2f})"
    return f'<path class="f{colour}" transform="{place}" d="{shape}"><title>{escape(told)}</title></path>'


# -- times ------------------------------------------------------------------------------------------------------------------

ROW, LEAST = 26, 1e-4  # pixels of a row; seconds: what is less is drawn there


def strips(title: str, values: Mapping[str, Sequence[float]], marks: Mapping[str, tuple[int, str]]) -> str:
    """A row a kind: a dot for every value, a box for the middle half, lines for the median and p95; seconds, logarithmic."""
    shown = {kind: sorted(max(LEAST, value) for value in each) for kind, each in values.items() if each}
    low = math.floor(math.log10(min(each[0] for each in shown.values())) + 1e-9)
    high = max(math.ceil(math.log10(max(each[-1] for each in shown.values())) - 1e-9), low + 1)
    top, bottom = 8, 8 + ROW * len(shown)

    def x(value: float) -> float:
        return LABELS + 20 + (math.log10(value) - low) / (high - low) * (WIDTH - LABELS - 120)

    parts = []
    for value in _round_values(low, high):
        at = x(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="axis" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{_round(value)}</text>')
    order = sorted(shown, key=lambda kind: (percentile(shown[kind], 0.5), kind))
    for number, kind in enumerate(order):
        points = [x(value) for value in shown[kind]]
        parts += _strip(kind, shown[kind], points, top + number * ROW + ROW / 2, marks[kind])
    return svg(WIDTH, bottom + 26, title, parts)


def _round_values(low: int, high: int) -> Iterator[float]:
    """Of an axis from one power of ten to another: few decades are divided."""
    for power in range(low, high):
        yield from (10.0**power * times for times in ((1, 2, 5) if high - low <= 4 else (1,)))
    yield 10.0**high


def _round(value: float) -> str:
    return f"{value * 1000:g} ms" if value < 0.999 else f"{value:g} s"


def _strip(
    kind: str, values: Sequence[float], points: Sequence[float], middle: float, sign: tuple[int, str]
) -> Iterator[str]:
    colour, shape = sign
    name = words.plain(kind)
    yield f'<text x="{LABELS}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
    q1, q2, q3, q95 = (percentile(points, point) for point in (0.25, 0.5, 0.75, 0.95))
    is_many = len(points) >= 4  # of fewer each is seen for itself
    if is_many:
        yield f'<rect class="box" x="{q1:.1f}" y="{middle - 9:.1f}" width="{max(q3 - q1, 1):.1f}" height="18"/>'
        yield f'<line class="p95" x1="{q95:.1f}" x2="{q95:.1f}" y1="{middle - 9:.1f}" y2="{middle + 9:.1f}"/>'
    every = max(1, math.ceil(len(points) / MOST_DOTS))
    beside: Counter[int] = Counter()
    for point in dict.fromkeys([*points[::every], points[-1]]):
        column = int(point / 3)
        beside[column] += 1
        up = (beside[column] // 2) * (3 if beside[column] % 2 else -3)
        y = middle + max(-9, min(9, up))
        yield f'<path class="f{colour} dot" transform="translate({point:.1f},{y:.1f}) scale(.6)" d="{shape}"/>'
    if is_many:
        yield f'<line class="median" x1="{q2:.1f}" x2="{q2:.1f}" y1="{middle - 11:.1f}" y2="{middle + 11:.1f}"/>'
    told = f"{words.seconds(percentile(values, 0.5))} ({len(values)})"
    yield f'<text class="axis" x="{WIDTH - RIGHT}" y="{middle + 4:.1f}" text-anchor="end">{told}</text>'
