"""The log for people: aligned, short, and nothing a worker writes steers the terminal."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from supervisor.pump import render

STAMP = "2026-01-01T12:34:56.789000Z"


def shown(columns: int = 0, *, colours: bool = False, **fields: Any) -> str:
    value = {"timestamp": STAMP, "level": "info", "event": "worker.ready", "msg": "", **fields}
    return render._Page(columns, colours=colours).show(value).decode()


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_local", lambda stamp: stamp[11:23])


def test_events_do_not_repeat_whom_they_are_about() -> None:
    """The name stands in its column, and not again before the sentence."""
    assert shown(worker="web-0", msg="web-0 ready after 1 s") == "12:34:56.789 ✓ web-0          ready after 1 s\n"
    assert shown(event="template.ready", template="np", msg="template np ready") == "12:34:56.789 · (np)           ready\n"
    assert "✗ [g]            failed: x" in shown(event="group.failed", level="error", group="g", msg="group g failed: x")
    assert shown(event="supervisor.ready", msg="3 of 3 ready") == "12:34:56.789 ✓ supervisor     3 of 3 ready\n"


def test_what_workers_say_stands_behind_a_bar() -> None:
    """A thin one for stdout and a thick one for stderr, in every row of it; data follow the message."""
    said: dict[str, Any] = {"event": "worker.output", "worker": "w"}
    assert shown(**said, stream="stdout", msg="hello") == "12:34:56.789 │ w              hello\n"
    trace = shown(**said, stream="stderr", msg="E", traceback="T\n  f\nE")
    assert trace.splitlines()[1] == "             ┃                  f"
    data = {"msg": "disk full", "level": "warning", "free": 3, "on": "/a b"}
    assert shown(**said, msg="disk full", data=data).endswith('disk full free=3 on="/a b"\n')


@pytest.mark.parametrize("columns", [40, 80, 150])
def test_no_row_is_wider_than_the_terminal(columns: int) -> None:
    """Words are kept together where there are words; nothing of them is lost."""
    text = "many words " * 30 + "x" * 300
    rows = shown(columns, worker="a-very-long-name-indeed", msg=text).splitlines()
    assert max(map(len, rows)) <= max(columns, 44)
    assert "".join(rows).replace(" ", "").endswith(text.replace(" ", ""))


def test_control_characters_are_shown_and_not_obeyed() -> None:
    """Escape sequences, bells and returns of a worker are text."""
    line = shown(event="worker.output", worker="\x1b[2J", msg="a\x1b[31mb\x07\rc\u202ed\te")
    assert re.search(r"[\x00-\x09\x0b-\x1f\u202e]", line) is None
    assert "a\\x1b[31mb\\x07\\rc\\u202ed    e" in line


def test_a_crash_and_a_hang_show_where() -> None:
    """The innermost frames of a hung worker and of a crashed one; an exception has been seen in its output."""
    stack = "Thread 0x1 (most recent call first):\n" + "".join(f'  File "a.py", line {n} in f\n' for n in range(9))
    hung = shown(event="worker.hung", level="error", worker="w", msg="w hung", stack=stack)
    assert hung.count("File") == 4
    ended: dict[str, Any] = {"event": "worker.ended", "worker": "w", "stack": stack}
    assert shown(**ended, exit_kind="dumped").count("File") == 4
    assert shown(**ended, exit_kind="killed", result="watchdog").count("File") == 0
    assert shown(**ended, exit_kind="exited").count("File") == 0


def test_colours_only_where_they_are_wanted() -> None:
    """Bad news are red and yellow, and without colours no escape is written."""
    assert "\x1b[31mw hung" not in shown(colours=True, worker="w", level="error", msg="w hung")
    assert "\x1b[31mhung\x1b[0m" in shown(colours=True, worker="w", level="error", msg="w hung")
    assert "\x1b[33mleft" in shown(colours=True, worker="w", level="warning", msg="w left")
    assert "\x1b" not in shown(worker="w", level="error", msg="w hung")


def test_a_line_is_never_more_than_one_write_can_take() -> None:
    """However many rows it becomes."""
    line = {"timestamp": STAMP, "event": "worker.output", "worker": "w", "traceback": "\n" * 3000}
    out = render.console(colours=True)(json.dumps(line).encode() + b"\n")
    assert len(out) <= 8192
    assert out.endswith(b"\n")


def test_a_pipe_is_not_wrapped() -> None:
    """Only a terminal has a width."""
    fd = os.open(os.devnull, os.O_WRONLY)
    assert render._columns(fd) == 0
    assert render._columns(None) == 0
    os.close(fd)
