"""The formats of a report, by their names on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.chaos.report import data, html, junit, markdown, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from supervisor.chaos.findings import Findings

FORMATS: Mapping[str, Callable[[Findings], str]] = {
    "text": text.report,
    "json": data.report,
    "md": markdown.report,
    "junit": junit.report,
    "html": html.report,
}
"""Each gives the whole file. `text.report` has colours too, for who writes to a terminal."""
