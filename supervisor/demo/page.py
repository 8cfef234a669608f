"""The page of results: one HTML file with its style and its plots inside, nothing to load, no script. Pure."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, assert_never

from supervisor.demo import catalogue, plot
from supervisor.demo.frame import Bars, Held, Lines, Output, Table

if TYPE_CHECKING:
    from supervisor.demo.frame import Figure, Report, Result

WORDS = {Held.YES: "held", Held.NO: "did not hold", Held.NOT_HERE: "does not apply here"}
_CLASSES = {Held.YES: "yes", Held.NO: "no", Held.NOT_HERE: "nothere"}
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #666; --rule: #ddd; --box: #f6f6f4;
  --processes: #2a7f62; --threads: #b0653a; --neither: #8a8a8a; --yes: #1d6f42; --no: #a3261f; --nothere: #6b5d00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e2; --paper: #181a1b; --faint: #a0a0a0; --rule: #3a3d3f;
  --box: #202324; --processes: #4fb48f; --threads: #d98c5f; --neither: #9a9a9a; --yes: #62c48f; --no: #f08078;
  --nothere: #d2bf5a } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 52rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.2rem; margin: 0 } h3 { font-size: .95rem; margin: 1rem 0 .3rem }
section { border-top: 1px solid var(--rule); padding: 1.4rem 0 }
blockquote { margin: .5rem 0; padding-left: .8rem; border-left: 3px solid var(--rule); font-style: italic }
p { margin: .4rem 0 } .faint, figcaption { color: var(--faint); font-size: .9rem }
.badge { font-size: .85rem; font-weight: 600; white-space: nowrap } .badge::before { content: "● " }
.yes { color: var(--yes) } .no { color: var(--no) } .nothere { color: var(--nothere) }
header.claim { display: flex; justify-content: space-between; gap: 1rem; align-items: baseline; flex-wrap: wrap }
table { border-collapse: collapse; font-size: .92rem; width: 100% } th, td { text-align: left; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--rule); vertical-align: top }
td { overflow-wrap: break-word } td:first-child { white-space: nowrap }
.contents td:first-child { white-space: normal; width: 24% } th { font-weight: 600 }
pre { background: var(--box); padding: .6rem .8rem; overflow-x: auto; margin: 0; font-size: .9rem }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif } svg text { fill: var(--ink) }
svg .grid { stroke: var(--rule) } svg .axis { fill: var(--faint); font-size: 12px } polyline { fill: none; stroke-width: 2.2 }
.dashed { stroke-dasharray: 6 4 }
rect.processes, circle.processes { fill: var(--processes) } polyline.processes { stroke: var(--processes) }
rect.threads, circle.threads { fill: var(--threads) } polyline.threads { stroke: var(--threads) }
rect.neither, circle.neither { fill: var(--neither) } polyline.neither { stroke: var(--neither) }
a { color: inherit } code { font-size: .9em } .legend span { margin-right: 1rem }
"""


def page(report: Report) -> str:
    """The whole file."""
    sections = "\n".join(_section(result) for result in report.experiments)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Multiprocessing in Python: the notes, live</title><style>{_STYLE}</style></head><body>
<h1>Multiprocessing in Python: the notes, live</h1>
<p>{escape(summary(report))}</p>
<p class="faint">{escape(setting(report))}</p>
{_contents(report)}
<p class="faint legend"><span class="yes" style="color: var(--processes)">■ processes</span>
<span style="color: var(--threads)">■ threads</span><span style="color: var(--neither)">■ neither</span></p>
{sections}
<section class="faint">Made by ninelives {escape(report.version)} with <code>ninelives demo --html</code>.</section>
</body></html>
"""


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
    rows = "\n".join(
        f'<tr><td><a href="#{result.name}">{escape(result.claim.title)}</a></td><td>{_badge(result)}</td>'
        f"<td>{_sentence(result.outcome.why.splitlines()[0])}</td></tr>"
        for result in report.experiments
    )
    return f"<table class='contents'><thead><tr><th>Claim</th><th></th><th>Seen</th></tr></thead><tbody>{rows}</tbody></table>"


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
            return f"<h3>{escape(figure.title)}</h3>{_table(figure)}"
    assert_never(figure)


def _table(figure: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in figure.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in figure.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
