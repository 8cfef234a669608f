"""Lines that are not a worker's words: the supervisor's events, and what the pump itself has to say. Pure.

An event comes as a JSON object without `schema`, `seq` and `instance_id`; they are put in as text. Only a
line too long for journald is taken apart.
"""

from __future__ import annotations

import json
from typing import Any

from supervisor.events import EVENTS
from supervisor.pump.lines import LIMIT, shortened

LONG_FIELDS = ("last_lines", "stack", "traceback", "errors", "data", "why", "status", "msg")


def finished(line: bytes, seq: int, instance: str) -> bytes | None:
    """An event line with its place in the order; None when it is no JSON object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value:
        return None
    tail = f',"schema":1,"seq":{seq},"instance_id":{json.dumps(instance)}}}\n'.encode()
    text = line.rstrip()[:-1] + tail
    return text if len(text) <= LIMIT else _fitted(value, tail)


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
