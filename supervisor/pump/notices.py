"""Lines that are not a worker's words: the supervisor's events, and what the pump itself has to say. Pure.

An event comes as a JSON object without `schema`, `seq` and `instance_id`; they are put in as text. Only a
line too long for journald is taken apart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from supervisor.events import EVENTS
from supervisor.pump.lines import LIMIT, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

TAIL = 2048  # bytes of a worker's output remembered for the event of its end
LAST_LINES = 5  # of them told
LAST_LINE = 200  # bytes of each
_CONTINUES = bytes(range(0x80, 0xC0))  # UTF-8
_ENDED = (b'"event":"worker.ended"', b'"event":"standby.ended"')
LONG_FIELDS = ("last_lines", "stack", "traceback", "errors", "data", "why", "status", "msg")


def ended(line: bytes) -> str | None:
    """The spawn whose end this event tells; None for every other event."""
    if not any(name in line for name in _ENDED):
        return None
    try:
        spawn_id = json.loads(line)["spawn_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return spawn_id if isinstance(spawn_id, str) else None


def last_lines(tail: bytes) -> list[str]:
    """The last lines of what a worker wrote, each cut to LAST_LINE bytes."""
    lines = tail.split(b"\n")
    if len(tail) >= TAIL:  # the beginning of the first is missing, and perhaps that of a character
        lines[0] = b"" if len(lines) > LAST_LINES else lines[0].lstrip(_CONTINUES)
    texts = [line.rstrip().decode("utf-8", "backslashreplace").encode() for line in lines if line.strip()]
    return [text[:LAST_LINE].decode("utf-8", "ignore") for text in texts[-LAST_LINES:]]


def finished(line: bytes, seq: int, instance: str, last_words: Sequence[str] = ()) -> bytes | None:
    """An event line with its place in the order; None when it is no JSON object.

    `last_words` go into the event of an unclean end.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value:
        return None
    tail = f',"schema":1,"seq":{seq},"instance_id":{json.dumps(instance)}}}\n'.encode()
    if last_words and value.get("level") != "info":
        tail = b',"last_lines":' + _fewer(last_words).encode() + tail
    text = line.rstrip()[:-1] + tail
    return text if len(text) <= LIMIT else _fitted(value, tail)


def _fewer(lines: Sequence[str]) -> str:
    """The last of them, as JSON: what is escaped may have become six times as long."""
    text = json.dumps(lines, ensure_ascii=False)
    return text if len(text.encode()) <= 1300 or len(lines) == 1 else _fewer(lines[1:])


def _fitted(value: dict[str, Any], tail: bytes) -> bytes:
    """The object with its longest fields cut until the line fits."""
    value["truncated"] = True
    space = 1500
    while True:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")[:-1] + tail
        if len(text) <= LIMIT:
            return text
        for key in (*LONG_FIELDS, *value):
            known = value.get(key)
            said = known if isinstance(known, str) else json.dumps(known)
            if len(said.encode("utf-8", "replace")) > space:
                value[key] = json.loads(shortened(said, space))
        if space < 8:  # thousands of tiny fields: keep what every line has
            keep = ("timestamp", "level", "event", "msg", "truncated")
            value = {key: value[key] for key in keep if key in value}
        space //= 2


def dropped(
    stamp: str,
    seq: int,
    instance: str,
    *,
    count: int,
    reason: str,
    since_ms: int,
    size: int,
    worker: str | None = None,
) -> bytes:
    """The one line that says what was lost: `count` lines, `size` bytes, since when (wall clock, ms)."""
    event = EVENTS["log.dropped"]
    fields = {
        "timestamp": stamp,
        "level": event.level,
        "event": "log.dropped",
        "msg": event.message.format(count=count, reason=reason),
        "count": count,
        "reason": reason,
        "since": since_ms / 1000,
        "bytes": size,
    }
    if worker is not None:
        fields["worker"] = worker
    line = finished(json.dumps(fields, separators=(",", ":")).encode(), seq, instance)
    assert line is not None
    return line
