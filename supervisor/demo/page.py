"""The page of results: one HTML file with its style and its plots inside, nothing to load, no script. Pure."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, assert_never

from supervisor import paper
from supervisor.demo import catalogue, plot
from supervisor.demo.frame import Bars, Held, Lines, Output, Table

if TYPE_CHECKING:
    from supervisor.demo.frame import Figure, Report, Result

WORDS = {Held.YES: "held", Held.NO: "did not hold", Held.NOT_HERE: "does not apply here"}
_CLASSES = {Held.YES: "yes", Held.NO: "no", Held.NOT_HERE: "nothere"}
_STYLE = """
:root { --processes: #2a7f62; --threads: #b0653a; --neither: #8a8a8a }
@media (prefers-color-scheme: dark) { :root { --processes: #4fb48f; --threads: #d98c5f; --neither: #9a9a9a } }
blockquote { margin: .5rem 0; padding-left: .8rem; border-left: 3px solid var(--rule); font-style: italic }
header.claim { display: flex; justify-content: space-between; gap: 1rem; align-items: baseline; flex-wrap: wrap }
.contents td:first-child { white-space: normal; width: 24% }
polyline { fill: none; stroke-width: 2.2 } .dashed { stroke-dasharray: 6 4 }
rect.processes, circle.processes { fill: var(--processes) } polyline.processes { stroke: var(--processes) }
rect.threads, circle.threads { fill: var(--threads) } polyline.threads { stroke: var(--threads) }
rect.neither, circle.neither { fill: var(--neither) } polyline.neither { stroke: var(--neither) }
"""
_TITLE = "Multiprocessing in Python: the notes, live"


def page(report: Report) -> str:
    """The whole file."""
    sections = "\n".join(_section(result) for result in report.experiments)
    body = f"""<h1>{_TITLE}</h1>
<p>{escape(summary(report))}</p>
<p class="faint">{escape(setting(report))}</p>
{_contents(report)}
<p class="faint legend"><span class="yes" style="color: var(--processes)">■ processes</span>
<span style="color: var(--threads)">■ threads</span><span style="color: var(--neither)">■ neither</span></p>
{sections}
<section class="faint">Made by ninelives {escape(report.version)} with <code>ninelives demo --html</code>.</section>"""
    return paper.document(_TITLE, body, style=_STYLE)


def summary(report: Report) -> str:
    """How many claims held."""
    count = len(report.experiments)
    counts = ((report.count(held), WORDS[held]) for held in Held)
    parts = [f"{some} {words if some == 1 else words.replace('does', 'do')}" for some, words in counts if some]
    quick = ", with a fifth of the usual work" if report.quick else ""
    return f"{count} {'claim' if count == 1 else 'claims'}: {', '.join(parts)}. It took {report.took_s:.0f} s{quick}."


def setting(report: Report) -> str:
    """Where and when."""
    facts = report.machine
    return (
        f"{facts['cpus']} CPUs ({facts['processor']}), {facts['memory']}; {facts['kernel']}; {facts['python']}; "
        f"{report.at.replace('T', ' ')[:16]} UTC"
    )


def _badge(result: Result) -> str:
    held = result.outcome.held
    return f'<span class="badge {_CLASSES[held]}">{WORDS[held]}</span>'


def _contents(report: Report) -> str:
    rows = (
        (
            f'<a href="#{result.name}">{escape(result.claim.title)}</a>',
            _badge(result),
            _sentence(result.outcome.why.splitlines()[0]),
        )
        for result in report.experiments
    )
    return paper.markup_table(("Claim", "", "Seen"), rows, kind="contents")


def _section(result: Result) -> str:
    claim = result.claim
    why, _, details = result.outcome.why.partition("\n")
    copy = f" To copy: <code>{escape(claim.copy)}</code>." if claim.copy else ""
    return f"""<section id="{result.name}"><header class="claim"><h2>{escape(claim.title)}</h2>{_badge(result)}</header>
<blockquote>“{escape(claim.sentence)}”</blockquote>
<p>{_marked(claim.done)}</p>
<p><strong>{_sentence(why)}.</strong></p>{f"<pre>{escape(details)}</pre>" if details else ""}
{"".join(_figure(figure) for figure in result.figures)}
<p class="faint">{result.took_s:.1f} s. To read: <code>{catalogue.source(result.name)}</code>.{copy}</p></section>"""


def _sentence(text: str) -> str:
    return escape(text[:1].upper() + text[1:])


def _marked(text: str) -> str:
    """What stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _figure(figure: Figure) -> str:
    match figure:
        case Bars():
            scale = ", logarithmic" if figure.log else ""
            return f"<h3>{escape(figure.title)} ({escape(figure.unit)}{scale})</h3>{plot.bars(figure)}"
        case Lines():
            return f"<h3>{escape(figure.title)} ({escape(figure.y)})</h3>{plot.lines(figure)}"
        case Output():
            return f"<h3>{escape(figure.title)}</h3><pre>{escape(chr(10).join(figure.lines))}</pre>"
        case Table():
            return f"<h3>{escape(figure.title)}</h3>{paper.table(figure.columns, figure.rows)}"
    assert_never(figure)
