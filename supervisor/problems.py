"""What is wrong with a config, as values: collected, never stopping at the first.

A reader of one value raises Wrong; whoever reads several catches it, keeps it as a Problem of the Place it
happened at, and goes on.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from supervisor.spec import Noun

if TYPE_CHECKING:
    from collections.abc import Iterable


class Problem(Noun, frozen=True):
    """One mistake: where (a key path such as workers.mailer.backoff.max), what, and what to do about it."""

    file: str
    key: str
    what: str
    suggestion: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}: " if self.key else f"{self.file}: "
        return where + self.what + (f"; {self.suggestion}" if self.suggestion else "")


class BadConfig(Exception):
    """A config that was refused; `problems` has everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Wrong(Exception):
    """One value is wrong, or its part `key`; without a sentence when that has been told already."""

    def __init__(self, what: str = "", suggestion: str | None = None, *, key: str | None = None) -> None:
        self.what, self.suggestion, self.key = what, suggestion, key
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Place:
    """A key in a config file, and the list into which its problems go."""

    file: str
    folder: str  # absolute; what relative paths are relative to
    key: str = ""
    problems: list[Problem] = field(default_factory=list)

    def at(self, key: str | int) -> Place:
        """The place of a key or of an element below this one."""
        if isinstance(key, int):
            return Place(self.file, self.folder, f"{self.key}[{key}]", self.problems)
        path = f"{self.key}.{key_text(key)}" if self.key else key_text(key)
        return Place(self.file, self.folder, path, self.problems)

    def wrong(self, what: str, suggestion: str | None = None) -> None:
        """Keep a problem of this place."""
        self.problems.append(Problem(file=self.file, key=self.key, what=what, suggestion=suggestion))

    def keep(self, wrong: Wrong) -> None:
        """Keep what a reader raised, unless it was told already."""
        if wrong.what:
            place = self.at(wrong.key) if wrong.key else self
            place.wrong(wrong.what, wrong.suggestion)


def key_text(key: str) -> str:
    """A key as TOML wants it: bare where it may be, else quoted."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else text(key)


def text(value: str) -> str:
    """A TOML basic string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda char: f"\\u{ord(char[0]):04x}", escaped) + '"'


def said(value: object) -> str:  # noqa: PLR0911 - a table
    """A wrong value, short enough to stand in a sentence."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return text(value if len(value) <= 60 else value[:57] + "...")
        case int() if abs(value) >= 1 << 64:  # Python itself refuses to print very long ones
            return "a very large number"
        case int() | float():
            return f"{value}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The suggestion for a misspelt word, if one of the words is close."""
    close = difflib.get_close_matches(word[:80], list(words), n=1, cutoff=0.6)
    return f"did you mean {text(close[0])}?" if close else None
