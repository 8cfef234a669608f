"""What our HTML pages have in common: one file each, style and plots inside, nothing to load, no script. Pure.

Everything that goes into a cell or a title as text is escaped here; what is called markup is put in as it is.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #666; --rule: #ddd; --box: #f6f6f4;
  --yes: #1d6f42; --no: #a3261f; --nothere: #6b5d00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e2; --paper: #181a1b; --faint: #a0a0a0; --rule: #3a3d3f;
  --box: #202324; --yes: #62c48f; --no: #f08078; --nothere: #d2bf5a } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 52rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.2rem; margin: 0 } h3 { font-size: .95rem; margin: 1rem 0 .3rem }
section { border-top: 1px solid var(--rule); padding: 1.4rem 0 }
p { margin: .4rem 0 } .faint, figcaption { color: var(--faint); font-size: .9rem }
.badge { font-size: .85rem; font-weight: 600; white-space: nowrap } .badge::before { content: "● " }
.yes { color: var(--yes) } .no { color: var(--no) } .nothere { color: var(--nothere) }
table { border-collapse: collapse; font-size: .92rem; width: 100% } th, td { text-align: left; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--rule); vertical-align: top }
td { overflow-wrap: break-word } td:first-child { white-space: nowrap } th { font-weight: 600 }
pre { background: var(--box); padding: .6rem .8rem; overflow-x: auto; margin: 0; font-size: .9rem }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif } svg text { fill: var(--ink) }
svg .grid { stroke: var(--rule) } svg .axis { fill: var(--faint); font-size: 12px }
a { color: inherit } code { font-size: .9em } .legend span { margin-right: 1rem }
"""


def document(title: str, body: str, *, style: str = "") -> str:
    """The whole file. body, style: markup."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>
{body}
</body></html>
"""


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Text in rows under its titles."""
    return markup_table([escape(column) for column in columns], ([escape(cell) for cell in row] for row in rows))


def markup_table(columns: Iterable[str], rows: Iterable[Iterable[str]], *, kind: str = "") -> str:
    """The same of markup; kind: its class."""
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    mark = f' class="{kind}"' if kind else ""
    return f"<table{mark}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """A drawing; title: for who cannot see it. parts: markup."""
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'


def number(value: float) -> str:
    """Three digits that count: 0.0278, 1.86, 1,234."""
    return f"{value:,.0f}" if value == 0 or abs(value) >= 100 else f"{value:.3g}"
