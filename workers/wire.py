"""The lines on a beat pipe. Pure: bytes in, messages out; no clock, no descriptor, no process.

Rules, for both ends:
- A line is one JSON object with a known `kind`, UTF-8, at most 512 bytes with its newline: one write is
  atomic.
- Stamps (`at`) are CLOCK_MONOTONIC seconds, durations seconds. A number is finite; a flag is no number.
- A field the table below does not name is ignored, so that an older supervisor understands a newer heart.
- What breaks a rule becomes a `Violation`, once a line; reading goes on at the next newline. Reading never
  raises.
- A run of plain beats is told as its last one, with how many it stands for: nobody needs the others.
"""

from __future__ import annotations

import math
import re
from functools import cache

from workers import plain_json
from workers.hints import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 512  # bytes of a line with its newline
_SAMPLE = 80  # bytes of an offending line that are shown


class Message(NamedTuple):
    """A good line. `times` is above 1 only for plain beats that arrived together: this is the last."""

    kind: str
    fields: dict[str, Any]
    times: int = 1


class Violation(NamedTuple):
    """A line that broke a rule: which one, and how the line began."""

    why: str
    sample: bytes


class Go(NamedTuple):
    """Supervisor -> standby: who you are from now on. `cpus`: pin to these; `env`: added to yours."""

    name: str
    replica: int
    cpus: list[int] | None = None
    env: dict[str, str] = {}  # noqa: RUF012 a NamedTuple's default, never changed


def _number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _seconds(value: object) -> bool:
    return _number(value) and value >= 0  # type: ignore[operator]  # _number has just said so


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half a surrogate pair: no JSON log could carry it on
        return False


_Fields = dict[str, "Callable[[object], bool]"]
_STAMP: _Fields = {"at": _seconds}
# kind -> what it must say, what it may say
KINDS: dict[str, tuple[_Fields, _Fields]] = {
    "hello": ({"pid": _whole, "start": _whole, "spawn": _text, "heart": _flag, "stacks": _flag}, {}),
    "prepared": (_STAMP, {}),
    "started": (_STAMP, {}),
    "ready": (_STAMP, {"status": _text, "took_s": _seconds, "modules": _whole}),
    "beat": (_STAMP, {"progress": _number, "status": _text}),
    "busy": ({"at": _seconds, "for": _seconds}, {}),
    "leaving": (_STAMP, {}),
    "refused": ({"why": _text}, {}),
    "failed": ({"what": _text, "error": _text}, {"module": _text, "traceback": _text}),
}


def encode(kind: str, **fields: Any) -> bytes:
    """The line for a message; fields that are None are left out. ValueError when it would break a rule."""
    said = {name: value for name, value in fields.items() if value is not None}
    wrong = _broken_rule(kind, said)
    if wrong is not None:
        raise ValueError(wrong)
    text = plain_json.dumps({"kind": kind, **said})
    line = text.encode() + b"\n"
    if len(line) > LIMIT:
        raise ValueError(f"{kind}: a line of {len(line)} bytes, the limit is {LIMIT}")
    return line


def encode_fitting(kind: str, text: str, **fields: Any) -> bytes:
    """As `encode`, but the field called `text` is cut (at its end) until the line fits."""
    value = str(fields[text]).encode("utf-8", "replace").decode()
    while True:
        try:
            return encode(kind, **{**fields, text: value})
        except ValueError:
            if len(value) < 2:
                raise
            value = value[: len(value) * 3 // 4]


def encode_go(go: Go) -> bytes:
    """The one line a standby reads, whole; the environment in it may be long."""
    return plain_json.dumps_ascii({"kind": "go", **go._asdict()}).encode() + b"\n"


def decode_go(data: bytes) -> Go | None:
    """The go in all that a standby was sent; None when there is none, or only half of one."""
    try:
        said = plain_json.loads(data.decode())
        if said.pop("kind") != "go":
            return None
        return Go(**{name: said[name] for name in Go._fields if name in said})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


class Decoder:
    """Bytes in any slices -> messages and violations, in order. Holds at most one unfinished line."""

    __slots__ = ("_rest", "_skipping")

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False  # inside a line already reported as too long

    def __repr__(self) -> str:
        return f"<Decoder {'skipping' if self._skipping else len(self._rest)}>"

    def feed(self, data: bytes) -> list[Message | Violation]:
        """All that became whole with these bytes."""
        if self._skipping:
            end = data.find(b"\n") + 1
            if not end:
                return []
            data = data[end:]
            self._skipping = False
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        found = _decode_lines(whole + newline) if newline else []
        self._rest = rest
        if len(rest) >= LIMIT:  # no newline can make this a line any more
            found.append(_too_long(rest))
            self._rest, self._skipping = b"", True
        return found


# What `encode` writes for a beat without a status. Possessive: what is almost a run of beats fails at once.
_DECIMAL = r"(?:0|[1-9]\d{0,14}+)(?:\.\d{1,17}+)?+"


@cache
def _beats() -> re.Pattern[bytes]:
    """Compiled by whoever reads: a worker, who only writes, starts without it."""
    return re.compile(rf'(?:\{{"kind":"beat","at":{_DECIMAL}(?:,"progress":-?{_DECIMAL})?+\}}\n)++'.encode())


def _decode_lines(data: bytes) -> list[Message | Violation]:
    found: list[Message | Violation] = []
    beats = _beats().match(data)
    at = 0
    if beats is not None:
        at = beats.end()
        last = _decode_line(data[data.rfind(b"\n", 0, at - 1) + 1 : at - 1])
        times = data.count(b"\n", 0, at)
        found.append(last._replace(times=times) if isinstance(last, Message) else last)
    if at < len(data):
        found.extend(_decode_line(line) for line in data[at:-1].split(b"\n"))
    return found


def _decode_line(line: bytes) -> Message | Violation:
    if len(line) >= LIMIT:
        return _too_long(line)
    try:
        said = plain_json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return Violation(f"not JSON: {error}", line[:_SAMPLE])
    if not isinstance(said, dict):
        return Violation("not a JSON object", line[:_SAMPLE])
    kind = said.pop("kind", None)
    wrong = _broken_rule(kind, said)
    if wrong is not None:
        return Violation(wrong, line[:_SAMPLE])
    must, may = KINDS[kind]
    return Message(kind, {name: value for name, value in said.items() if name in must or name in may})


def _broken_rule(kind: object, said: dict[str, Any]) -> str | None:
    if not isinstance(kind, str) or kind not in KINDS:
        return f"unknown kind {kind!r:.40}"
    must, may = KINDS[kind]
    for name, fits in must.items():
        if name not in said:
            return f"{kind} without {name}"
        if not fits(said[name]):
            return f"{kind}: {name} is not a {fits.__name__[1:]}"
    for name, fits in may.items():
        if name in said and not fits(said[name]):
            return f"{kind}: {name} is not a {fits.__name__[1:]}"
    return None


def _too_long(line: bytes) -> Violation:
    return Violation(f"a line of more than {LIMIT} bytes", line[:_SAMPLE])
