"""From a journal to a report in the format that was asked for, and to an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from supervisor.chaos import findings
from supervisor.chaos.report import text
from supervisor.chaos.report.formats import FORMATS
from supervisor.chaos.verdict import Word
from supervisor.cli import client

if TYPE_CHECKING:
    import argparse

    from supervisor.chaos.findings import Findings

CODES = {Word.HELD: 0, Word.DEVIATED: 1, Word.ABORTED: 4, Word.INTERRUPTED: 130}


def tell(journal: dict[str, Any], args: argparse.Namespace) -> int:
    """Write the report of a journal where `args` say; record.NoRecord, client.Denied. The exit code of its run."""
    found = findings.of_journal(journal)
    told = _rendered(found, args.format, to_terminal=args.output is None and sys.stdout.isatty())
    if args.output is None:
        print(told, end="" if told.endswith("\n") else "\n")
        return CODES[found.verdict.word]
    try:
        with open(args.output, "w", encoding="utf-8") as file:
            file.write(told)
    except OSError as error:
        raise client.Denied(f"{args.output}: {error.strerror or error}", 2) from error
    return CODES[found.verdict.word]


def unwritable(path: str | None) -> str | None:
    """Why a file could not be written there: better said now than in ten minutes."""
    if path is None:
        return None
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        return f"{path}: is a folder"
    target = path if os.path.exists(path) else folder
    return None if os.access(target, os.W_OK) else f"{path}: cannot be written"


def _rendered(found: Findings, wanted: str, *, to_terminal: bool) -> str:
    if wanted == "text" and to_terminal:
        wide = min(120, os.get_terminal_size(sys.stdout.fileno()).columns or 80)
        return text.report(found, colour="NO_COLOR" not in os.environ, wide=wide)
    return FORMATS[wanted](found)
