"""Bytes of a worker in, JSON lines out. Pure: the caller brings the timestamp and the room.

Whatever comes in, every line that goes out is valid JSON of at most 4,096 bytes, and the `msg` of the pieces
of a long line, put together, are that line again. What cannot be made into a line yet is handed back, so that
the whole memory of a source is the pair (pending bytes, parts of the current line that are out).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn

LIMIT = 4096
LONGEST = 8192  # raw bytes of one line that are looked at together
MOST_TRACEBACK = 16384
LEVELS = {
    "debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error",
    "critical": "critical", "fatal": "critical",
}  # fmt: skip
_PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\')) + b"\n"
_TRACEBACK = b"Traceback (most recent call last):"
_CHAINED = (
    b"\nDuring handling of the above exception, another exception occurred:\n\n" + _TRACEBACK + b"\n",
    b"\nThe above exception was the direct cause of the following exception:\n\n" + _TRACEBACK + b"\n",
)


Step = tuple[list[bytes], int, int]


class Batch(NamedTuple):
    """What came of some bytes: finished lines, how many, and what is left for later. full: the room was used up."""

    out: bytes
    made: int
    rest: bytes
    part: int
    full: bool


class Envelope:
    """The part of a source's lines that is the same in all of them."""

    def __init__(self, instance: str, label: dict[str, Any]) -> None:
        worker, spawn_id = str(label.get("worker", ""))[:200], str(label.get("spawn_id", ""))[:250]
        stream = "stderr" if label.get("stream") == "stderr" else "stdout"
        self.tail = (
            f',"instance_id":{json.dumps(instance[:100])},"worker":{json.dumps(worker)},'
            f'"spawn_id":{json.dumps(spawn_id)},"pid":{json.dumps(label.get("pid"))},"stream":"{stream}"'
        )
        self.tracebacks = stream == "stderr"
        self.overhead = len(self.tail) + 140  # timestamp, level, event, a seq of 20 digits, braces
        self.space = LIMIT - self.overhead - 80  # for a msg; 80: part, more, binary, truncated


class Reader:
    """Turns the bytes of one source into lines within a given room (bytes) and allowance (lines)."""

    def __init__(self, envelope: Envelope, stamp: str, seq: int, room: int, allowed: int) -> None:
        self.envelope = envelope
        self.stamp = stamp
        self.seq = self.first = seq
        self.room = room
        self.allowed = allowed
        self.out: list[bytes] = []

    def lines(self, data: bytes, part: int, *, final: bool = False, late: bool = False) -> Batch:
        """Everything in `data` that is a line. final: nothing will follow. late: nothing has followed for a while."""
        end = data.rfind(b"\n") + 1
        if part == 0 and end and not data[:end].translate(None, _PLAIN) and not self._needs_thought(data):
            return self._plain(data, end, final or late)
        return self._thoughtful(data, part, final=final, late=late)

    def _needs_thought(self, data: bytes) -> bool:
        return data[0] == 123 or b"\n{" in data or (self.envelope.tracebacks and _TRACEBACK in data)

    def _plain(self, data: bytes, end: int, flush: bool) -> Batch:
        texts = data[: end - 1].decode("ascii").split("\n")
        longest = len(max(texts, key=len))
        fit = min(self.allowed, self.room // (self.envelope.overhead + longest))
        if longest > self.envelope.space or (flush and end < len(data)) or fit < 1:
            return self._thoughtful(data, 0, final=False, late=flush) if fit else Batch(b"", 0, data, 0, True)
        full = fit < len(texts)
        rest = data[end:]
        if full:
            rest = "\n".join(texts[fit:]).encode() + b"\n" + rest
            del texts[fit:]
        head = f'{{"timestamp":"{self.stamp}","level":"info","event":"worker.output","msg":"'
        tail = self.envelope.tail + "}\n"
        out = "".join([f'{head}{text}","schema":1,"seq":{seq}{tail}' for seq, text in enumerate(texts, self.seq)])
        return Batch(out.encode(), len(texts), rest, 0, full)

    def _thoughtful(self, data: bytes, part: int, *, final: bool, late: bool) -> Batch:
        at, full = 0, False
        while at < len(data) or (final and part):
            step = self._next(data, at, part, final=final, late=late)
            if step is None:
                break
            records, next_at, next_part = step
            size = sum(map(len, records))
            if size > self.room or self.allowed < 1:
                full = True
                break
            self.out += records
            self.seq += len(records)
            self.room -= size
            self.allowed -= len(records)
            at, part = next_at, next_part
        return Batch(b"".join(self.out), self.seq - self.first, data[at:], part, full)

    def _next(self, data: bytes, at: int, part: int, *, final: bool, late: bool) -> Step | None:
        """The records of the next line, where it ends and the parts then out; None: it is not finished yet."""
        end = data.find(b"\n", at, at + LONGEST)
        if end < 0:
            return self._unended(data, at, part, final=final, late=late)
        line = data[at:end]
        if self.envelope.tracebacks and part == 0 and line == _TRACEBACK:
            stop = traceback_end(data, at, flush=final or late)
            if stop is None:
                return None
            if stop > at:
                return [self._traceback(data[at:stop])], stop, 0
        return self._line(line, part), end + 1, 0

    def _unended(self, data: bytes, at: int, part: int, *, final: bool, late: bool) -> Step | None:
        """A line whose newline is not there, or too far away."""
        if len(data) - at > LONGEST:
            cut = _boundary(data, at, at + LONGEST)
        elif final:
            return self._line(data[at:], part), len(data), 0
        elif late:
            cut = len(data)
        else:
            return None
        records = self._pieces(data[at:cut], part, closed=False)
        return records, cut, part + len(records)

    def _line(self, line: bytes, part: int) -> list[bytes]:
        if part == 0 and line.startswith(b"{") and line.endswith(b"}"):
            record = self._data(line)
            if record is not None:
                return [record]
        return self._pieces(line, part, closed=True)

    def _record(self, level: str, message: str, more: str, *, ahead: int = 0) -> bytes:
        """`message` is a JSON string literal, `more` the fields after the label."""
        return (
            f'{{"timestamp":"{self.stamp}","level":"{level}","event":"worker.output","msg":{message},"schema":1,'
            f'"seq":{self.seq + ahead}{self.envelope.tail}{more}}}\n'
        ).encode()

    def _pieces(self, line: bytes, part: int, *, closed: bool) -> list[bytes]:
        """One line (or, not closed, the beginning of one) as records, `part` of it being out already."""
        try:
            text, binary = line.decode(), ""
        except UnicodeDecodeError:
            text, binary = line.decode("utf-8", "backslashreplace"), ',"binary":true'
        literals = literals_of(text, self.envelope.space)
        if closed and part == 0 and len(literals) == 1:
            return [self._record("info", literals[0], binary)]
        records = []
        for ahead, literal in enumerate(literals):
            more = "" if closed and ahead == len(literals) - 1 else ',"more":true'
            part += 1
            records.append(self._record("info", literal, f'{binary},"part":{part}{more}', ahead=ahead))
        return records

    def _data(self, line: bytes) -> bytes | None:
        """A line that is a JSON object goes on as data, its text untouched; None when it is not, or too long."""
        try:
            text = line.decode()
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return None
        message = next((value[key] for key in ("msg", "message", "event") if isinstance(value.get(key), str)), "")
        known = value.get("level")
        level = LEVELS.get(known.lower(), "info") if isinstance(known, str) else "info"
        record = self._record(level, json.dumps(message), f',"data":{text}')
        if len(record) > LIMIT:  # the msg stands in the data anyway
            record = self._record(level, '""', f',"data":{text}')
        return record if len(record) <= LIMIT else None

    def _traceback(self, text: bytes) -> bytes:
        whole = text.decode("utf-8", "backslashreplace").rstrip("\n")
        said = shortened(whole.rsplit("\n", 1)[-1], 600)
        stack = shortened(whole, self.envelope.space - len(said.encode()) - 20)
        cut = _TRUNCATED if stack != _literal(whole) else ""
        return self._record("info", said, f',"traceback":{stack}{cut}')


_TRUNCATED = ',"truncated":true'


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _literal(text: str) -> str:
    """The text as a JSON string; readable UTF-8 where that is possible."""
    literal = json.dumps(text, ensure_ascii=False)
    return literal if _encodes(literal) else json.dumps(text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, from an escape in somebody's JSON
        return False
    return True


def _width(literal: str) -> int:
    return len(literal) if literal.isascii() else len(literal.encode())


def literals_of(text: str, space: int) -> list[str]:
    """The text as JSON strings of at most `space` bytes each, which put together are the text."""
    whole = _literal(text)
    if _width(whole) <= space:
        return [whole]
    found, at = [], 0
    while at < len(text):
        count = space
        while _width(literal := _literal(text[at : at + count])) > space:
            count = count * 3 // 4
        found.append(literal)
        at += count
    return found


def shortened(text: str, space: int) -> str:
    """The text as one JSON string of at most `space` bytes: its beginning and its end, when it is too long."""
    literal, keep = _literal(text), min(len(text), space)
    while _width(literal) > space and keep > 1:
        keep = keep * 3 // 4
        literal = _literal(text[: keep // 2] + " … " + text[-keep // 2 :])
    return literal if _width(literal) <= space else '""'


def _boundary(data: bytes, start: int, end: int) -> int:
    """The last place at or before `end` that does not cut a UTF-8 character in two."""
    for place in range(end, max(end - 4, start), -1):
        if data[place] & 0xC0 != 0x80:
            return place
    return end


def traceback_end(data: bytes, start: int, *, flush: bool) -> int | None:
    """Where the Python traceback at `start` ends; None: wait for more; `start`: it is no traceback we understand."""
    at = start + len(_TRACEBACK) + 1
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            if len(data) - start > MOST_TRACEBACK:
                return start
            return at if flush else None
        if end - start > MOST_TRACEBACK:
            return start
        indented = data[at : at + 1] in b" \t\n"  # a source line may hold an empty one
        at = end + 1
        if indented:
            continue
        chained = next((text for text in _CHAINED if data.startswith(text, at)), None)
        if chained is not None:
            at += len(chained)
            continue
        if not flush and any(text.startswith(data[at : at + len(text)]) for text in _CHAINED):
            return None  # nothing yet, or the beginning of a chained one
        return at
