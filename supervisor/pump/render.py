"""How finished lines look on their way out: JSON, JSON with journald's priorities, or text for people.

Rendering is a function of the bytes alone: after a kill, the next pump renders the same batch to the same
bytes and goes on where the last one stopped.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Callable

Render = Callable[[bytes], bytes]

_PRIORITY = {b"debug": b"<7>", b"info": b"<6>", b"warning": b"<4>", b"error": b"<3>", b"critical": b"<2>"}
_MARKS = {
    "debug": ("·", "2"),
    "info": (" ", ""),
    "warning": ("!", "33"),
    "error": ("✗", "31"),
    "critical": ("✗", "1;31"),
}
_COLOURS = ("36", "32", "35", "34", "96", "92", "95", "94")
_WIDTH = 14  # of the worker's name
_LEVEL_AT = len('{"timestamp":"2026-01-01T00:00:00.000000Z","level":"')


def choose(fmt: str, fd: int) -> Render:
    """The renderer for `--format` and what the descriptor is."""
    terminal = os.isatty(fd)
    if fmt == "console" or (fmt == "auto" and terminal):
        plain = not terminal or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return console(colours=not plain)
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


def console(*, colours: bool) -> Render:
    """Aligned text for people, one line a line."""

    def render(lines: bytes) -> bytes:
        return "".join([_for_people(line, colours) for line in lines.split(b"\n") if line]).encode("utf-8", "replace")

    return render


def _for_people(line: bytes, colours: bool) -> str:
    value = json.loads(line)
    mark, colour = _MARKS.get(str(value.get("level")), _MARKS["info"])
    who = str(value.get("worker") or value.get("group") or value.get("template") or "")
    said = str(value.get("msg") or "")
    if value.get("event") == "worker.output":
        said = said or json.dumps(value.get("data"), ensure_ascii=False) if "data" in value else said
        said = str(value.get("traceback", said)).replace("\n", "\n" + " " * (_WIDTH + 16))
    # A worker's bytes must not steer the reader's terminal.
    said = "".join([sign if sign.isprintable() or sign in "\n\t" else repr(sign)[1:-1] for sign in said])
    name, when = who[:_WIDTH].ljust(_WIDTH), str(value.get("timestamp", ""))[11:23]
    if not colours:
        return f"{when} {mark} {name} {said}\n"
    tint = _COLOURS[zlib.crc32(who.encode("utf-8", "replace")) % len(_COLOURS)]
    said = f"\x1b[{colour}m{said}\x1b[0m" if colour else said
    return f"\x1b[2m{when}\x1b[0m {mark} \x1b[{tint}m{name}\x1b[0m {said}\n"
