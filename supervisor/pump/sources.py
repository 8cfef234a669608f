"""Where lines come from: workers' pipes and the events pipe, and how committed lines are made of it.

The rule: what is taken from a pipe, the lines made of it and what is left over change hands in one commit. A
source that may not be read (no room for its lines, or over its rate) is not read, and waits in its own pipe;
nobody else does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any

from supervisor.pump import notices
from supervisor.pump.files import RotatedFile
from supervisor.pump.journal import Journal, Slot
from supervisor.pump.lines import LIMIT, LONGEST, Batch, Envelope, Reader

TURN = 65536  # bytes read from one source at a time
ENOUGH = 65536  # room without which nothing is read: the most that LONGEST bytes can become
LATE_S = 0.2  # an unfinished line this old is shown as it is: it may be a prompt
SAY_S = 1.0
EVENTS = b"events"
_F_SETPIPE_SZ = 1031
_NO_LIMIT = 1 << 40


class Source:
    """One pipe and its slot. fd is -1 while a slot of the last pump is not yet claimed by an `add`."""

    def __init__(self, slot: int, state: Slot, instance: str) -> None:
        self.slot = slot
        self.fd = -1
        self.pending, self.part, self.tail, self.at_end = state.pending, state.part, state.tail, state.at_end
        self.lost, self.lost_bytes, self.lost_since = state.lost, state.lost_bytes, state.lost_since
        self.said_at = 0.0
        self.full = False  # pending holds whole lines for which there was no room
        self.due = 0.0  # when pending is late (CLOCK_MONOTONIC), 0: it is not waiting
        self.tokens, self.refilled_at = 0.0, 0.0
        self.grown = False
        self.told = False  # its worker's ending, or it never will be: nobody needs its tail any more
        self.file: RotatedFile | None = None
        self.is_events = state.info == EVENTS
        self.describe({} if self.is_events else json.loads(state.info), instance)

    def describe(self, label: dict[str, Any], instance: str) -> None:
        """Take the label of an `add` or a `label` message."""
        self.label = label
        self.name = str(label.get("source", ""))
        self.info = EVENTS if self.is_events else json.dumps(label, separators=(",", ":")).encode()
        if len(self.info) > 8192:
            raise ValueError("the label of a source is at most 8 KiB")
        self.envelope = Envelope(instance, label)
        output = label.get("output") or {}
        self.drops = self.is_events or output.get("when_full") == "drop"
        self.rate = output.get("rate")
        if output.get("to") == "file" and output.get("file") and self.file is None:
            most, keep = output.get("max", 100 << 20), output.get("keep", 5)
            self.file = RotatedFile(output["file"], most=most, keep=keep, owner=label.get("uid"))

    def state(self) -> Slot:
        """What the journal should know."""
        lost = self.lost, self.lost_bytes, self.lost_since
        return Slot(self.info, self.pending, self.part, *lost, self.tail, self.at_end)

    def allowed(self, now: float) -> int:
        """Lines the rate allows now."""
        if not self.rate:
            return _NO_LIMIT
        self.tokens = min(max(self.rate, 1.0), self.tokens + (now - self.refilled_at) * self.rate)
        self.refilled_at = now
        return int(self.tokens)

    def lose(self, count: int, size: int) -> None:
        """Count what cannot be kept."""
        self.lost_since = self.lost_since or time.time_ns() // 1_000_000
        self.lost += count
        self.lost_bytes += size

    def grow(self) -> None:
        """Give a flooding worker more pipe, so that it and we switch less often."""
        if not self.grown:
            self.grown = True
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.fd, _F_SETPIPE_SZ, 1 << 18)

    def close(self) -> None:
        """Let go of the descriptors."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        if self.file is not None:
            self.file.close()


class Intake:
    """Makes committed lines of what the sources bring."""

    def __init__(self, journal: Journal, instance: str) -> None:
        self.journal = journal
        self.instance = instance
        self.reserve = journal.ring_size // 8  # of the ring, for events and for what we have to say
        self.disk_full = False  # for chaos
        self.awaited: str | None = None  # the spawn whose last words are to be read before its ending is told
        self._words: tuple[str | None, list[str]] = (None, [])  # the one for whom that is done, and they

    def may_read(self, source: Source, now: float) -> bool:
        """Whether there is room for what the source may bring."""
        if source.file is not None or source.drops:
            return True
        return self.journal.room(self.reserve) >= ENOUGH and source.allowed(now) >= 1

    def pull(self, source: Source, now: float) -> bool | None:
        """One turn of one source. True: it brought something; False: nothing there; None: its end was reached."""
        if source.full:
            self.work(source, b"", now)
            if source.full:
                return True
        data = self.journal.receive(source.slot, source.fd, TURN)
        if data is None:
            return False
        if not data:
            return self._end(source, now)
        if len(data) == TURN:
            source.grow()
        self.work(source, data, now)
        return True

    def _end(self, source: Source, now: float) -> bool | None:
        self.work(source, b"", now, final=True)
        if source.full:
            return True
        if source.lost:
            self.say_lost(source, now)
        return None

    def work(self, source: Source, data: bytes, now: float, *, final: bool = False, late: bool = False) -> None:
        """Turn `data`, which is all that the inbox holds, into lines and commit."""
        journal = self.journal
        if data and not source.is_events:
            source.tail = (source.tail + data)[-notices.TAIL :]
        if source.file is not None:
            if data and (missing := len(data) if self.disk_full else source.file.append(journal, data)):
                source.lose(max(data[-missing:].count(b"\n"), 1), missing)
        else:
            batch = self._convert(source, source.pending + data, now, final=final, late=late)
            journal.append(batch.out)
            journal.seq += batch.made
            source.pending, source.part, source.full = batch.rest, batch.part, batch.full
            source.tokens -= batch.made
            if batch.full and source.drops:
                self._drop(source)
            source.due = now + LATE_S if source.pending and not source.full else 0.0
        if data:
            journal.consumed += 1
        journal.commit(source.slot, source.state())
        if data:
            journal.clear_inbox()

    def tell(self, events: Source, last_words: list[str], now: float) -> None:
        """Go on with the event that waited for the last words of its worker, and with those behind it."""
        assert self.awaited is not None
        self._words, self.awaited = (self.awaited, last_words), None
        self.work(events, b"", now)

    def work_again(self, source: Source, data: bytes, now: float) -> None:
        """`work` with what a dead pump left in the inbox: if it was that which killed it, it must not kill us all."""
        try:
            self.work(source, data, now)
        except Exception:  # noqa: BLE001  (whatever it is, log.dropped will tell, and the pump lives)
            source.lose(max(data.count(b"\n"), 1), len(data))
            source.pending, source.part = b"", 0
            self.journal.consumed += 1
            self.journal.commit(source.slot, source.state())
            self.journal.clear_inbox()

    def end(self, source: Source, now: float) -> None:
        """Nothing more will come: what it was is committed as lines, what it lost is said, and its tail is kept."""
        if source.pending:
            self.work(source, b"", now, final=True)
        if source.pending:  # no room for it, nor anybody to wait for room
            source.lose(max(source.pending.count(b"\n"), 1), len(source.pending))
        if source.lost:
            self.say_lost(source, now)
        source.at_end, source.pending, source.part, source.due = True, b"", 0, 0.0
        self.journal.commit(source.slot, source.state())

    def bequeath(self, source: Source) -> None:
        """Free the slot; what it lost and there was no room to say is said with the next that is lost at the sink."""
        journal = self.journal
        if source.lost:
            journal.lost += source.lost
            journal.lost_bytes += source.lost_bytes
            journal.lost_since = journal.lost_since or source.lost_since
        journal.commit(source.slot, None)

    def _drop(self, source: Source) -> None:
        end = source.pending.rfind(b"\n") + 1
        if end == 0 and len(source.pending) >= LONGEST:
            end = len(source.pending)
        if end:
            source.lose(max(source.pending.count(b"\n", 0, end), 1), end)
        source.pending, source.part, source.full = source.pending[end:], 0, False

    def _convert(self, source: Source, data: bytes, now: float, *, final: bool, late: bool) -> Batch:
        journal = self.journal
        if source.is_events:
            return self._events(source, data)
        room = journal.room(self.reserve)
        reader = Reader(source.envelope, timestamp(), journal.seq, room, source.allowed(now))
        return reader.lines(data, source.part, final=final, late=late)

    def _events(self, source: Source, data: bytes) -> Batch:
        journal, at, size = self.journal, 0, 0
        out: list[bytes] = []
        room, seq = journal.room(), journal.seq
        while (end := data.find(b"\n", at)) >= 0:
            raw = data[at:end]
            ended = notices.ended(raw)
            if ended is not None and ended != self._words[0]:
                self.awaited = ended
                return Batch(b"".join(out), seq - journal.seq, data[at:], 0, full=False)
            line = notices.finished(raw, seq, self.instance, self._words[1] if ended else ())
            if line is None:  # nobody who keeps the contract writes such a line
                source.lose(1, end + 1 - at)
            elif size + LIMIT > room:
                break
            else:
                out.append(line)
                size += len(line)
                seq += 1
            at = end + 1
        if end < 0 and len(data) - at > TURN // 4:  # no event is that long: its end will be lost as a line of its own
            at = len(data)
        return Batch(b"".join(out), seq - journal.seq, data[at:], 0, end >= 0)

    def say_lost(self, source: Source, now: float) -> None:
        """One line for all a source has lost since the last such line; later, if there is no room now."""
        if self.journal.room(self.reserve // 2) < LIMIT:
            return
        reason = "the ring of lines is full" if source.file is None else f"cannot write to {source.file.path}"
        if source.rate and source.file is None and self.journal.room(self.reserve) >= ENOUGH:
            reason = f"over its rate of {source.rate:g} lines a second"
        line = notices.dropped(
            timestamp(), self.journal.seq, self.instance, count=source.lost, reason=reason,
            since_ms=source.lost_since, size=source.lost_bytes, worker=source.label.get("worker"),
        )  # fmt: skip
        source.lost = source.lost_bytes = source.lost_since = 0
        source.said_at = now
        self._say(line)
        self.journal.commit(source.slot, source.state())

    def say_sink_lost(self) -> None:
        """One line for all that could not be written."""
        journal = self.journal
        reason = "the ring of lines is full"
        if journal.lost_errno:
            reason = f"cannot write to stdout: {os.strerror(journal.lost_errno)}"
        line = notices.dropped(
            timestamp(), journal.seq, self.instance, count=journal.lost, size=journal.lost_bytes,
            reason=reason, since_ms=journal.lost_since,
        )  # fmt: skip
        journal.told, journal.told_at = journal.lost, journal.head
        journal.lost = journal.lost_bytes = journal.lost_since = 0
        self._say(line)
        journal.commit()

    def _say(self, line: bytes) -> None:
        self.journal.append(line)
        self.journal.seq += 1


def timestamp() -> str:
    """Now, in RFC 3339 with microseconds, UTC."""
    micros = time.time_ns() // 1000
    now = time.gmtime(micros // 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', now)}.{micros % 1_000_000:06d}Z"
