"""Colours, tables and short numbers for people. Pure: it returns text, and never asks the terminal anything.

Colours are the terminal's own eight, so that they suit its background; every meaning is also in the words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

CODES = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "dim": "2",
    "bold": "1",
}
_STYLED = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
GAP = "  "


class Column(NamedTuple):
    """A column of a table: drop is the order in which columns leave when it is too wide (0: never)."""

    title: str
    right: bool = False
    drop: int = 0


def paint(text: str, colour: str | None, *, on: bool) -> str:
    """Wrap text in a colour of CODES; colour None or on=False leaves it alone."""
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if on and colour else text


def width(text: str) -> int:
    """Columns that the text takes, colours not counted."""
    return len(_STYLED.sub("", text))


def harmless(text: str) -> str:
    """Show control characters instead of obeying them: what a worker wrote must not drive the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def table(columns: list[Column], rows: list[list[str]], *, fits: int) -> list[str]:
    """Lay rows out under their titles in `fits` columns: the least wanted are left out, the last is cut."""
    keep = list(range(len(columns)))
    widths = [
        max([len(column.title), *(width(row[at]) for row in rows)]) for at, column in enumerate(columns)
    ]
    for at in sorted((at for at in keep if columns[at].drop), key=lambda at: columns[at].drop):
        if sum(widths[at] + len(GAP) for at in keep) - len(GAP) <= fits:
            break
        keep.remove(at)
    laid = [[column.title for column in columns], *rows]
    lines = (GAP.join(_pad(row[at], widths[at], columns[at].right) for at in keep) for row in laid)
    return [cut(line.rstrip(), fits) for line in lines]


def cut(text: str, fits: int) -> str:
    """Shorten to `fits` columns with an ellipsis; colours are closed."""
    if width(text) <= fits:
        return text
    out, seen = "", 0
    for part in re.split(r"(\x1b\[[0-9;]*m)", text):
        if _STYLED.fullmatch(part):
            out += part
        else:
            out += part[: max(0, fits - 1 - seen)]
            seen += len(part)
    return out + "…" + ("\x1b[0m" if "\x1b" in text else "")


def duration(seconds: float | None) -> str:
    """Seconds in at most two units: 0.013s, 4.2s, 3m12s, 2h05m, 9d04h."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.3f}s" if seconds < 0.1 else f"{seconds:.1f}s"
    for unit, big, small_unit, small in (("m", 60, "s", 1), ("h", 3600, "m", 60), ("d", 86400, "h", 3600)):
        if seconds < big * (60 if unit == "m" else 24) or unit == "d":
            return f"{int(seconds // big)}{unit}{int(seconds % big // small):02d}{small_unit}"
    raise AssertionError


def size(count: float | None) -> str:
    """Bytes in binary units: 512B, 14.2M, 1.1G."""
    if count is None:
        return "-"
    for unit in "BKMGT":
        if abs(count) < 1024 or unit == "T":
            return f"{count:.0f}B" if unit == "B" else f"{count:.1f}{unit}"
        count /= 1024
    raise AssertionError


def _pad(text: str, columns: int, right: bool) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space
