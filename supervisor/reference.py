"""docs/events.md, made from the table of events; `python -m supervisor.reference` prints it."""

from __future__ import annotations

import sys

from supervisor.events import ALWAYS, EVENTS, STAMP, Event

HEAD = """# Events

One JSON object a line, at most 4,096 bytes, flat. Made from `supervisor/events.py` by `python -m supervisor.reference`; a
test holds the two together.

Every line has {always}, and but for a worker's output and what the pump says `{stamp}`: CLOCK_MONOTONIC, which
no step of the wall clock moves. `seq` has no gap that a `log.dropped` does not explain. Units are in the
names: `_s` seconds, `_bytes` bytes. A field that has nothing to say is absent. Endings use systemd's words
($SERVICE_RESULT): `exit_kind` is exited, killed or dumped;
`result` is success, exit-code, signal, core-dump, watchdog, timeout, resources or protocol.

| event | level | in words | fields of its own |
|---|---|---|---|
"""


def markdown() -> str:
    """The whole page."""
    rows = [_row(name, event) for name, event in EVENTS.items()]
    return HEAD.format(stamp=STAMP, always=", ".join(f"`{field}`" for field in ALWAYS)) + "\n".join(rows) + "\n"


def _row(name: str, event: Event) -> str:
    fields = ", ".join(f"`{field}`" for field in event.fields)
    return f"| `{name}` | {event.level} | {event.message.replace('|', '/')} | {fields} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
