"""The report as one page: verdict, timeline, times, tables. Nothing to load, no script; what others wrote is escaped. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from supervisor import __version__, paper
from supervisor.chaos import blast
from supervisor.chaos.figures import METHOD
from supervisor.chaos.invariants import State
from supervisor.chaos.report import plot, words
from supervisor.chaos.report.style import STYLE
from supervisor.chaos.verdict import Word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervisor.chaos.figures import Spread
    from supervisor.chaos.findings import Findings

OPEN_FAULTS = 40  # a longer table of faults is folded
LONG = 70  # characters of a title that is set smaller
CLASSES = {
    Word.HELD: "yes", Word.DEVIATED: "no", Word.ABORTED: "nothere", Word.INTERRUPTED: "nothere",
    State.HELD: "yes", State.BROKEN: "no", State.UNKNOWN: "nothere",
}  # fmt: skip


def report(findings: Findings) -> str:
    """The whole file."""
    title = words.plain(findings.title)
    sections = (_header(findings), _timeline(findings), _times(findings), _isolation(findings), _invariants(findings),
                _experiment(findings), _faults(findings))  # fmt: skip
    made = f'<section class="faint">Made by ninelives {escape(__version__)} with <code>ninelives chaos report</code>.</section>'
    return paper.document(f"{title}: {findings.verdict.word}", "\n".join([*sections, made]), style=STYLE)


def _text(value: object) -> str:
    return escape(words.plain(value))


def _badge(word: Word | State) -> str:
    return f'<span class="badge {CLASSES[word]}">{word}</span>'


def _header(findings: Findings) -> str:
    verdict, record, figures = findings.verdict, findings.record, findings.figures
    when = f"{record.began_wall[:19].replace('T', ' ')} UTC"
    recovery = figures.total.get("recovery_s")
    tiles = [
        ("faults", str(len(figures.faults)), words.outcomes(findings)),
        ("recovery p50", words.spread(recovery, "p50"), _most(recovery)),
        ("blast radius", str(len(blast.names(findings.hurts))), f"of {len(findings.timeline.lanes)} workers"),
        ("availability", words.share(figures.available), f"over {words.seconds(figures.window_s)}"),
    ]  # fmt: skip
    shown = "".join(
        f'<div><span class="faint">{_text(name)}</span><b>{_text(value)}</b><span class="faint">{_text(more)}</span></div>'
        for name, value, more in tiles
    )
    about = f"<p>{_text(findings.description)}</p>" if findings.description else ""
    size = ' class="long"' if len(findings.title) > LONG else ""
    word = f'<span class="verdict {CLASSES[verdict.word]}">{verdict.word}</span>'
    return f"""<header><h1{size}>{_text(findings.title)} {word}</h1>
{about}<p>{_text(words.summary(findings))}</p>
<p class="faint">{_text(record.service.name)}, {_text(when)}</p>
{_reasons("Why", verdict.reasons, "no")}{_reasons("Could not be judged", verdict.beside, "nothere")}
<div class="tiles">{shown}</div></header>"""


def _most(recovery: Spread | None) -> str:
    return f"p99 {words.spread(recovery, 'p99')}, most {words.spread(recovery, 'max')}"


def _reasons(title: str, reasons: Iterable[str], kind: str) -> str:
    items = "".join(f"<li>{_text(reason)}</li>" for reason in reasons)
    return f'<p class="{kind}"><strong>{title}</strong></p><ul>{items}</ul>' if items else ""


def _timeline(findings: Findings) -> str:
    drawing, folded = plot.lanes(findings)
    why = {gap.why for lane in findings.timeline.lanes.values() for gap in lane.gaps}
    colours = "".join(
        f'<span><i class="gap-{name}"></i>{told}</span>' for name, told in words.GAPS.items() if name in why
    )
    away = '<span><i class="away"></i>the supervisor was away</span>' if findings.timeline.aways else ""
    hurt = '<span><b class="no">✕</b> hurt, and no fault was meant for it</span>' if findings.hurts else ""
    marks = plot.legend(each.traced.fault.kind for each in findings.figures.faults)
    more = f'<p class="faint">{escape(folded)}</p>' if folded else ""
    return f"""<section><h2>Timeline</h2>
<p class="faint legend"><span><i class="ready"></i>ready</span>{colours}{away}{hurt}</p>
<p class="faint legend">{marks}</p>
<div class="scroll">{drawing}</div>{more}</section>"""


def _times(findings: Findings) -> str:
    figures = findings.figures
    marks = plot.signs(each.traced.fault.kind for each in figures.faults)
    plots = []
    delayed = any(each.times.delay_s for each in figures.faults)
    for name in ("recovery_s", *(["own_s"] if delayed else []), "detect_s"):
        values: dict[str, list[float]] = {}
        for each in figures.faults:
            value = getattr(each.times, name)
            if value is not None:
                values.setdefault(each.traced.fault.kind, []).append(value)
        if values:
            title = _TITLES[name]
            plots.append(f'<h3>{title}</h3><div class="scroll">{plot.strips(title, values, marks)}</div>')
    if not plots:
        return '<section><h2>Times</h2><p class="faint">Nothing was measured.</p></section>'
    columns = ("kind", "time", "n", *words.POINTS)
    table = paper.markup_table(
        columns, ([_text(cell) for cell in row] for row in words.figures(findings)), kind="figures"
    )
    return f"""<section><h2>Times</h2>
<p class="faint">Each mark is a fault. Box: the middle half of them; thick line: the median, also at the right beside how many
they are; thin line: the 95th percentile. A percentile is the {escape(METHOD)}.</p>
{"".join(plots)}
<h3>In figures</h3><div class="scroll">{table}</div></section>"""


_TITLES = {
    "recovery_s": "From the fault until ready again",
    "own_s": "Of that without the backoff that was asked for: what the service itself took",
    "detect_s": "From the fault until it was noticed",
}


def _isolation(findings: Findings) -> str:
    figures, began = findings.figures, findings.record.began
    rows = [("all", figures.available), *sorted(
        ((name, value) for name, value in figures.availability.items() if value is not None and value < 1),
        key=lambda row: (row[1], row[0]),
    )[:20]]  # fmt: skip
    shares = paper.table(("worker", "availability"), ((words.plain(name), words.share(value)) for name, value in rows))
    hurt = [
        (words.seconds(each.at - began), words.plain(each.worker), words.plain(each.what))
        for each in findings.hurts[:200]
    ]
    told = paper.table(("at", "worker", "what befell it"), hurt) if hurt else "<p>Nobody but the targets was hurt.</p>"
    never = sum(value == 1 for value in figures.availability.values())
    return f"""<section><h2>Isolation</h2><h3>Blast radius: {_text(words.radius(findings))}</h3>{told}
<h3>Availability</h3><p class="faint">The share of the time in which a worker should have been ready that it was.
{never} of {len(figures.availability)} were ready all the time.</p>{shares}</section>"""


def _invariants(findings: Findings) -> str:
    rows = ((_text(each.claim), _badge(each.state), _text(each.sentence)) for each in findings.invariants)
    return (
        f"<section><h2>Invariants</h2>{paper.markup_table(('what must hold', '', 'seen'), rows, kind='wide')}</section>"
    )


def _experiment(findings: Findings) -> str:
    parts = []
    if findings.probes:
        states = {
            True: _badge(State.HELD),
            False: '<span class="badge no">not held</span>',
            None: _badge(State.UNKNOWN),
        }
        asked = ((p.when, _text(p.name), states[p.met], _text(p.got)) for p in findings.probes)
        parts.append(f"<h2>Steady state</h2>{paper.markup_table(('when', 'probe', '', 'got'), asked, kind='wide')}")
    if findings.activities:
        done = (
            (
                each.part,
                each.kind,
                words.plain(each.name),
                each.status,
                words.seconds(each.took_s),
                words.plain(each.told),
            )
            for each in findings.activities
        )
        parts.append(f"<h2>Activities</h2>{paper.table(('part', 'type', 'activity', 'status', 'took', 'told'), done)}")
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _faults(findings: Findings) -> str:
    every, began = findings.figures.faults, findings.record.began
    if not every:
        return ""
    rows = (
        (
            words.seconds(each.traced.fault.at - began), words.plain(each.traced.fault.kind), words.plain(each.traced.name),
            words.fate(each), words.plain(each.traced.fault.chaos_id),
        )
        for each in every
    )  # fmt: skip
    shown = paper.table(("at", "kind", "on", "what became of it", "chaos_id"), rows)
    table = f'<div class="scroll">{shown}</div>'
    if len(every) <= OPEN_FAULTS:
        return f"<section><h2>Faults</h2>{table}</section>"
    return f"<section><details><summary><h2>All {len(every)} faults</h2></summary>{table}</details></section>"
