"""The service's own events: structlog, held to the table in events.py.

An event that is not in the table, or a field its row does not name, is refused here, in the process that made the
mistake. What comes out is one JSON object a line; the pump adds what only it knows: seq, schema and instance_id.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

# structlog imports rich where it finds it, for colours we do not use: 80 ms that a resume would have to wait.
_rich_was_there = "rich" in sys.modules
if not _rich_was_there:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if not _rich_was_there:
    del sys.modules["rich"]

from supervisor.events import EVENTS, STAMP  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import FilteringBoundLogger

_encode = msgspec.json.Encoder(enc_hook=str).encode


class UndeclaredEvent(ValueError):
    """An event or a field that the table does not know."""


class Log:
    """`announce(event, **fields)` makes one line and gives it to `write(line, opens=…)` (Ledger.write)."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write, self._opens = write, False
        self._logger: FilteringBoundLogger = structlog.wrap_logger(
            self,
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _in_words,  # the rest in one: between a worker's death and its next life three lines are said
            ],
            wrapper_class=structlog.make_filtering_bound_logger(20),
            cache_logger_on_first_use=True,
        ).bind()

    def announce(self, event: str, /, *, level: str | None = None, **fields: object) -> None:
        """Log an event at its own level, or at another. Raises UndeclaredEvent."""
        declared = EVENTS.get(event)
        if declared is None:
            raise UndeclaredEvent(f"{event} is not in the table of events")
        if unknown := fields.keys() - set(declared.fields):
            raise UndeclaredEvent(f"{event} has no field {', '.join(sorted(unknown))}")
        self._opens = event == "worker.ended"  # what is noted with an ending must not be torn from it
        getattr(self._logger, level or declared.level)(event, **fields)

    def msg(self, line: bytes) -> None:
        """What structlog calls at the end of its chain."""
        self._write(line + b"\n", opens=self._opens)

    debug = info = warning = error = critical = msg


class _Blank(dict[str, object]):
    """Fields for a sentence; one that is missing reads as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


def _in_words(_logger: Any, level: str, event: MutableMapping[str, Any]) -> bytes:
    """The line: with the sentence for people, and the keys in the order they are read in."""
    name = event.pop("event")
    timestamp = event.pop("timestamp")
    said = {key: value for key, value in event.items() if value is not None}
    try:
        sentence = EVENTS[name].message.format_map(_Blank(said))
    except (ValueError, TypeError):  # a format such as .3f for a field that is missing
        sentence = name
    line = {"timestamp": timestamp, "level": level, "event": name, "msg": sentence, **said}
    return _encode({**line, STAMP: round(monotonic(), 6)})
