"""The pump's loop: one thread, one epoll, nothing that waits.

The anchor gives it fd 0 /dev/null, 1/2 the service's stdout and stderr, 3 the channel to the supervisor, 4
its beat pipe, 5 the events pipe, 6 the journal, 7 the inbox, 8/9 a private pipe. It may be killed at any
instruction: everything that matters is in the journal, and the next pump gets the same descriptors.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
from typing import Any

from supervisor.pump.followers import Followers
from supervisor.pump.journal import Journal, Slot
from supervisor.pump.outlet import Outlet
from supervisor.pump.render import choose
from supervisor.pump.sinks import open_sink
from supervisor.pump.sources import ENOUGH, EVENTS, LATE_S, SAY_S, Intake, Source

STDOUT, CHANNEL, BEAT, EVENTS_PIPE, JOURNAL, INBOX, PRIVATE_R, PRIVATE_W = 1, 3, 4, 5, 6, 7, 8, 9
BEAT_S = 1.0
UNCLAIMED_S = 30.0  # after which a source of the last pump that nobody added again is closed
FLUSH_S = 2.0
_PACKET = 1 << 18


class Pump:
    """Everything the loop holds; all times are CLOCK_MONOTONIC."""

    def __init__(self, instance: str, recent: int, fmt: str) -> None:
        self.instance = instance
        self.epoll = select.epoll()
        self.journal = Journal(JOURNAL, INBOX, recent)
        self.intake = Intake(self.journal, instance)
        private = (PRIVATE_R, PRIVATE_W)
        sink = open_sink(self.journal, STDOUT, choose(fmt, STDOUT), private, now_ms=time.time_ns() // 1_000_000)
        self.outlet = Outlet(self.journal, sink, self.intake, self.epoll)
        self.channel = socket.socket(fileno=CHANNEL)
        self.sources: dict[int, Source] = {}  # by fd
        self.names: dict[str, Source] = {}
        self.unplaced: list[tuple[dict[str, Any], int]] = []  # no slot for them yet: their workers wait
        self.blocked: set[Source] = set()  # not polled until there is room
        self.waiting: set[Source] = set()  # with an unfinished line, or something lost to say
        self.followers = Followers(self.journal, self.epoll)
        self.answers: list[bytes] = []
        self.unclaimed_at = time.monotonic() + UNCLAIMED_S
        self.beat_at = 0.0
        self.stopping = self.orphaned = False
        self._recover()
        self.epoll.register(CHANNEL, select.EPOLLIN)

    def _recover(self) -> None:
        now, slots = time.monotonic(), self.journal.slots()
        for number, state in slots.items():
            source = Source(number, state, self.instance)
            self.names[source.name] = source
            self._watch_time(source, now)
        if "" not in self.names:
            self.journal.commit(0, Slot(EVENTS))
            self.names[""] = Source(0, Slot(EVENTS), self.instance)
        left = self.journal.left_over()
        if left is not None:
            source = next(source for source in self.names.values() if source.slot == left[0])
            self.intake.work_again(source, left[1], now)
            self._watch_time(source, now)
        events = self.names[""]
        events.fd = EVENTS_PIPE
        self.sources[EVENTS_PIPE] = events
        self.epoll.register(EVENTS_PIPE, select.EPOLLIN)

    # -- the loop

    def turn(self) -> None:
        """Wait for something, then give everyone one turn, events first."""
        ready = [fd for fd, _ in self._poll()]
        now = time.monotonic()
        if EVENTS_PIPE in ready:
            self._pull(self.names[""], now)
        for fd in ready:
            source = self.sources.get(fd)
            if source is not None and fd != EVENTS_PIPE:
                self._pull(source, now)
                self.outlet.push(now)
            elif fd == CHANNEL:
                self._hear(now)
        self.outlet.push(now)
        if self.blocked:
            self._unblock(now)
        if self.waiting:
            self._late(now)
        self.followers.serve(ready)
        if now >= self.beat_at:
            self._beat(now)

    def _poll(self) -> list[tuple[int, int]]:
        now = time.monotonic()
        until = self.beat_at
        if self.waiting:
            until = min(until, now + LATE_S / 4)
        if self.outlet.sink.broken and self.journal.unsent:
            until = min(until, max(self.outlet.sink.broken_until, now))
        if any(source.rate or source.full for source in self.blocked) and self.outlet.sink.waits_for is None:
            until = min(until, now + 0.02)
        if self.followers.busy:
            until = now
        try:
            return self.epoll.poll(max(until - now, 0.0), 256)
        except InterruptedError:
            return []

    def _pull(self, source: Source, now: float) -> None:
        if not self.intake.may_read(source, now):
            self._block(source)
            return
        more = self.intake.pull(source, now)
        if more is None:
            self._ended(source)
            return
        self._watch_time(source, now)
        if source.full:
            self._block(source)

    def _block(self, source: Source) -> None:
        # Not modified to no events but unregistered: a hang-up is reported whatever one asks for.
        self.epoll.unregister(source.fd)
        self.blocked.add(source)

    def _unblock(self, now: float) -> None:
        for source in [source for source in self.blocked if self.intake.may_read(source, now)]:
            if source.full:
                self.intake.work(source, b"", now)
                self._watch_time(source, now)
            if not source.full:
                self.blocked.discard(source)
                self.epoll.register(source.fd, select.EPOLLIN)

    def _watch_time(self, source: Source, now: float) -> None:
        if source.lost and now - source.said_at >= SAY_S:
            self.intake.say_lost(source, now)
        if source.lost or source.due:
            self.waiting.add(source)
        else:
            self.waiting.discard(source)

    def _late(self, now: float) -> None:
        for source in list(self.waiting):
            # Room first: what is late must not be taken for full.
            if source.due and now >= source.due and self.journal.room(self.intake.reserve) >= ENOUGH:
                self.intake.work(source, b"", now, late=True)
                source.due = 0.0
            self._watch_time(source, now)

    def _beat(self, now: float) -> None:
        self.beat_at = now + BEAT_S
        with contextlib.suppress(OSError):  # a supervisor that does not read is not our problem
            os.write(BEAT, b'{"kind":"beat","at":%.6f}\n' % now)
        self._answer()
        if self.unclaimed_at and now >= self.unclaimed_at:
            self.unclaimed_at = 0.0
            for source in [source for source in self.names.values() if source.fd < 0]:
                self._ended(source)

    # -- the channel

    def _hear(self, now: float) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(self.channel, _PACKET, 4, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            packet, fds = b"", []
        if not packet:
            # The anchor keeps the other end as well: it is dead, and so is the supervisor.
            self.orphaned = True
            self.epoll.unregister(CHANNEL)
            return
        try:
            self._obey(json.loads(packet), fds, now)
        except (ValueError, LookupError, TypeError, OSError) as error:
            with contextlib.suppress(OSError):
                os.write(2, f"pump: cannot do {packet[:200]!r}: {error!r}\n".encode())

    def _obey(self, message: dict[str, Any], fds: list[int], now: float) -> None:
        kind = message["kind"]
        if kind == "add":
            self._add({key: value for key, value in message.items() if key != "kind"}, fds[0], now)
        elif kind == "label":
            source = self.names.get(message["source"])
            if source is not None:
                source.describe({**source.label, **message}, self.instance)
                self.journal.commit(source.slot, source.state())
        elif kind == "follow":
            client = socket.socket(fileno=fds[0])
            self.followers.add(client, message.get("filter") or {}, follow=bool(message.get("follow")))
        elif kind == "stop":
            self.stopping = True

    def _add(self, label: dict[str, Any], fd: int, now: float) -> None:
        source = self.names.get(label["source"])
        if source is None:
            slot = self.journal.free_slot()
            if slot is None:
                self.unplaced.append((label, fd))
                return
            source = Source(slot, Slot(json.dumps(label).encode()), self.instance)
            self.names[source.name] = source
        elif source.fd >= 0:  # a supervisor that resumed adds what we have: the newer descriptor is as good
            self._forget_fd(source)
        source.describe(label, self.instance)
        self.journal.commit(source.slot, source.state())
        source.fd = fd
        self.sources[fd] = source
        self.epoll.register(fd, select.EPOLLIN)
        if source.full:
            self._block(source)
        self._watch_time(source, now)

    def _forget_fd(self, source: Source) -> None:
        if source in self.blocked:
            self.blocked.discard(source)
        else:
            self.epoll.unregister(source.fd)
        del self.sources[source.fd]
        os.close(source.fd)
        source.fd = -1

    def _ended(self, source: Source) -> None:
        """Everything it wrote is committed: forget it and say so."""
        if source.is_events:  # the anchor holds the other end; only tests and a dying anchor close it
            self.epoll.unregister(source.fd)
            return
        now = time.monotonic()
        if source.fd >= 0:
            self._forget_fd(source)
        elif source.pending:
            self.intake.work(source, b"", now, final=True)
        if source.lost:
            self.intake.say_lost(source, now)
        self.waiting.discard(source)
        self.intake.bequeath(source)
        source.close()
        del self.names[source.name]
        self.answers.append(json.dumps({"kind": "eof", "source": source.name}).encode())
        self._answer()
        if self.unplaced:
            self._add(*self.unplaced.pop(0), now)

    def _answer(self) -> None:
        with contextlib.suppress(OSError):  # the supervisor is slow or gone: said again with the next beat
            while self.answers:
                self.channel.send(self.answers[0], socket.MSG_DONTWAIT)
                del self.answers[0]

    # -- the end

    def finish(self) -> None:
        """Read what is there, write what can be written within FLUSH_S."""
        deadline = time.monotonic() + FLUSH_S
        while self._drain(now := time.monotonic()) and now < deadline:
            pass
        for source in self.names.values():
            if source.pending:
                self.intake.work(source, b"", time.monotonic(), late=True)
            if source.lost:
                self.intake.say_lost(source, time.monotonic())
        self.outlet.push(time.monotonic())
        while self.journal.unsent and not self.outlet.sink.broken and (now := time.monotonic()) < deadline:
            select.select([], [STDOUT], [], 0.05)
            self.outlet.push(now)

    def _drain(self, now: float) -> bool:
        """One turn for every source; whether there may be more."""
        moved = held = False
        for source in list(self.sources.values()):
            if not self.intake.may_read(source, now):
                held = True
                continue
            more = self.intake.pull(source, now)
            moved, held = moved or more is True, held or source.full
            if more is None:
                del self.sources[source.fd]
        self.outlet.push(now)
        if held and not moved:  # until the reader of stdout, or the rate, lets us go on
            select.select([], [], [], 0.01)
        return moved or held
