"""How finished lines look on their way out: JSON, JSON with journald's priorities, or text for people.

Rendering is a function of the bytes alone: after a kill, the next pump renders the same batch to the same
bytes and goes on where the last one stopped.
"""

from __future__ import annotations

import calendar
import functools
import json
import os
import stat
import time
import zlib
from collections.abc import Callable
from typing import Any

Render = Callable[[bytes], bytes]

_PRIORITY = {b"debug": b"<7>", b"info": b"<6>", b"warning": b"<4>", b"error": b"<3>", b"critical": b"<2>"}
_MARKS = {"warning": ("!", "33"), "error": ("✗", "31"), "critical": ("✗", "1;31")}
_GOOD = frozenset({"supervisor.ready", "worker.ready", "worker.recovered", "worker.completed", "worker.released"})
_COLOURS = ("36", "32", "35", "34", "96", "92", "95", "94")
_NARROW = 100  # columns; a terminal with fewer gets short times and names
_STACK_LINES = 4
_OURS = "supervisor/function.py"  # called every worker's function: says nothing
_MOST = 8000  # bytes for one line: what one write can always take
_LEVEL_AT = len('{"timestamp":"2026-01-01T00:00:00.000000Z","level":"')


def choose(fmt: str, fd: int) -> Render:
    """The renderer for `--format` and what the descriptor is."""
    terminal = os.isatty(fd)
    if fmt == "console" or (fmt == "auto" and terminal):
        plain = not terminal or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return console(colours=not plain, fd=fd if terminal else None)
    return for_journald if _is_journal(fd) else as_it_is


def _is_journal(fd: int) -> bool:
    status = os.fstat(fd)
    return stat.S_ISSOCK(status.st_mode) and os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def as_it_is(lines: bytes) -> bytes:
    """JSON lines."""
    return lines


def for_journald(lines: bytes) -> bytes:
    """JSON lines with the syslog priority systemd reads before each (sd-daemon(3))."""
    return b"".join(_PRIORITY.get(_level(line), b"<6>") + line for line in lines.splitlines(keepends=True))


def _level(line: bytes) -> bytes:
    if line.find(b'"level":"') == _LEVEL_AT - 9:  # our own lines: always there
        return line[_LEVEL_AT : line.index(b'"', _LEVEL_AT)]
    return str(json.loads(line).get("level")).encode()


def console(*, colours: bool, fd: int | None = None) -> Render:
    """Aligned text for people, wrapped to the width of the terminal behind `fd`, if there is one."""

    def render(lines: bytes) -> bytes:
        page = _Page(_columns(fd), colours=colours)
        return b"".join([page.show(json.loads(line)) for line in lines.split(b"\n") if line])

    return render


def _columns(fd: int | None) -> int:
    try:
        return os.get_terminal_size(fd).columns if fd is not None else 0
    except OSError:
        return 0


class _Page:
    """So many columns (0: any number), with colours or without."""

    def __init__(self, columns: int, *, colours: bool) -> None:
        self.colours = colours
        narrow = 0 < columns < _NARROW
        self.time, self.name = (8, 12) if narrow else (12, 14)
        self.text = max(columns - self.time - self.name - 4, 20) if columns else 0

    def show(self, value: dict[str, Any]) -> bytes:
        """One line of the log as one or more lines of text."""
        who, noun = _who(value)
        output = value.get("event") == "worker.output"
        mark, tint = _mark(value)
        style = _MARKS.get(str(value.get("level")), ("", "" if output or mark == "✓" else "2"))[1]
        own = _COLOURS[zlib.crc32(who.encode("utf-8", "replace")) % len(_COLOURS)] if who else "1"
        head = f"{self._paint(_local(str(value.get('timestamp', '')))[: self.time], '2')} "
        gutter = f"{self._paint(mark, own if output else tint)} "
        name = _harmless(who or noun)
        name = name if len(name) <= self.name else name[: self.name - 1] + "…"
        head += gutter + self._paint(name, own) + " " * (self.name - len(name) + 1)
        below = " " * (self.time + 1) + (gutter if output else "  ") + " " * (self.name + 1)
        rows = [row for line in _said(value, who, noun).split("\n") for row in self._wrapped(line)]
        shown = ("\n" + below).join([self._paint(row, style) for row in rows])
        return (head + shown).encode("utf-8", "replace")[:_MOST].decode("utf-8", "ignore").encode() + b"\n"

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours and colour and text else text

    def _wrapped(self, line: str) -> list[str]:
        line = _harmless(line)
        if not self.text:
            return [line]
        rows = []
        while len(line) > self.text:
            cut = line.rfind(" ", self.text // 2, self.text + 1)
            cut = cut if cut > 0 else self.text
            rows.append(line[:cut])
            line = line[cut:].removeprefix(" ")
        return [*rows, line]


def _harmless(text: str) -> str:
    """A worker's bytes must not steer the reader's terminal."""
    if text.isprintable():
        return text
    return "".join([sign if sign.isprintable() else "    " if sign == "\t" else repr(sign)[1:-1] for sign in text])


def _who(value: dict[str, Any]) -> tuple[str, str]:
    """Whom it is about, as the first column names them; the noun of the event."""
    noun = str(value.get("event", "")).partition(".")[0]
    if "template" in value:
        return f"({value['template']})", noun
    return f"[{value['group']}]" if "group" in value else str(value.get("worker") or ""), noun


def _mark(value: dict[str, Any]) -> tuple[str, str]:
    if value.get("event") == "worker.output":
        return ("┃" if value.get("stream") == "stderr" else "│"), ""
    return _MARKS.get(str(value.get("level"))) or (("✓", "32") if value.get("event") in _GOOD else ("·", "2"))


def _said(value: dict[str, Any], who: str, noun: str) -> str:
    """The sentence, without the name that stands before it; what a worker said with its data or as its traceback."""
    said = str(value.get("msg") or "")
    if "traceback" in value:
        return str(value["traceback"])
    if isinstance(value.get("data"), dict):
        rest = {key: it for key, it in value["data"].items() if it != said and key not in ("level", "timestamp")}
        return " ".join([said, *(f"{key}={_short(it)}" for key, it in rest.items())]).strip()
    if value.get("event") == "worker.output":
        return said
    for name in (f"{noun} {who[1:-1]} " if who.startswith(("(", "[")) else f"{who} ", f"{noun} "):
        said = said.removeprefix(name)
    return "\n".join([said, *_stack(value)])


def _stack(value: dict[str, Any]) -> list[str]:
    """Where it hung or crashed; an exception has been seen in its output, and a hung one's end says nothing new."""
    crashed = value.get("exit_kind") in ("killed", "dumped") and value.get("result") != "watchdog"
    if value.get("event") != "worker.hung" and not crashed:
        return []
    frames = [line for line in str(value.get("stack") or "").splitlines() if line.startswith("  ")]
    return [line for line in frames if _OURS not in line][:_STACK_LINES]


def _short(value: Any) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value, ensure_ascii=False)


@functools.lru_cache(maxsize=64)
def _local_second(second: str) -> str:
    return time.strftime("%H:%M:%S", time.localtime(calendar.timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S"))))


def _local(stamp: str) -> str:
    """The time of day where the reader is."""
    try:
        return _local_second(stamp[:19]) + stamp[19:23]
    except ValueError:
        return stamp[11:23]
