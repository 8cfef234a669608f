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
from supervisor.pump.journal import Journal
from supervisor.pump.outlet import Outlet
from supervisor.pump.pipes import Pipes
from supervisor.pump.render import choose
from supervisor.pump.sinks import open_sink
from supervisor.pump.sources import LATE_S, Intake

STDOUT, CHANNEL, BEAT, JOURNAL, INBOX, PRIVATE_R, PRIVATE_W = 1, 3, 4, 6, 7, 8, 9
BEAT_S = 1.0
FLUSH_S = 2.0
IDLE_S = 0.02  # asleep for so long, it lets go first whoever was woken by the same news: a worker's death, say,
COURTESY_S = 0.004  # of which the anchor and the supervisor must hear, and the standby that takes over
_PACKET = 1 << 18


class Pump:
    """Everything the loop holds; all times are CLOCK_MONOTONIC."""

    def __init__(self, instance: str, recent: int, fmt: str) -> None:
        self.epoll = select.epoll()
        self.journal = Journal(JOURNAL, INBOX, recent)
        self.intake = Intake(self.journal, instance)
        private = (PRIVATE_R, PRIVATE_W)
        sink = open_sink(self.journal, STDOUT, choose(fmt, STDOUT), private, now_ms=time.time_ns() // 1_000_000)
        self.outlet = Outlet(self.journal, sink, self.intake, self.epoll)
        self.channel = socket.socket(fileno=CHANNEL)
        self.channel.setblocking(False)  # recv_fds takes flags, and forgets them (Python 3.11)
        self.epoll.register(CHANNEL, select.EPOLLIN)
        self.stopping = self.leaving = self.orphaned = False
        self.followers = Followers(self.journal, self.epoll, instance)
        self.pipes = Pipes(
            self.journal, self.intake, self.outlet, self.epoll, instance, self.hear, self.followers.keep_up
        )
        self.beat_at = 0.0

    # -- the loop

    def turn(self) -> None:
        """Wait for something, then give everyone one turn, events first."""
        ready = [fd for fd, _ in self._poll()]
        now = time.monotonic()
        if CHANNEL in ready:
            self.hear()  # before any output: it may say whose that is
        self.pipes.turn(ready, now)
        self.followers.serve(ready)
        if now >= self.beat_at:
            self._beat(now)
        if self.pipes.answers:
            self._answer()

    def _poll(self) -> list[tuple[int, int]]:
        now = time.monotonic()
        until = self.beat_at
        if self.pipes.waiting or self.pipes.deaf_until:
            until = min(until, now + LATE_S / 4)
        if self.outlet.hindered_until:
            until = min(until, max(self.outlet.hindered_until, now))
        if self.outlet.sink.broken and self.journal.unsent:
            until = min(until, max(self.outlet.sink.broken_until, now))
        if any(source.rate or source.full for source in self.pipes.blocked) and self.outlet.sink.waits_for is None:
            until = min(until, now + 0.02)
        if self.followers.busy:
            until = now
        try:
            ready = self.epoll.poll(max(until - now, 0.0), 256)
            if ready and time.monotonic() - now > IDLE_S:
                time.sleep(COURTESY_S)
                ready = self.epoll.poll(0.0, 256)  # with what has come meanwhile: dealt with in one go
        except InterruptedError:
            return []
        return ready

    def _beat(self, now: float) -> None:
        self.beat_at = now + BEAT_S
        with contextlib.suppress(OSError):  # a supervisor that does not read is not our problem
            os.write(BEAT, b'{"kind":"beat","at":%.6f}\n' % now)
        self.pipes.expire(now)

    # -- the channel

    def hear(self) -> None:
        """Do everything the supervisor has asked for so far."""
        while not self.orphaned:
            try:
                packet, fds, _, _ = socket.recv_fds(self.channel, _PACKET, 4)
            except BlockingIOError:
                return
            except ConnectionError:
                packet, fds = b"", []
            if packet:
                self._try(packet, fds)
            else:  # the anchor keeps the other end as well: it is dead, and so is the supervisor
                self.orphaned = True
                self.epoll.unregister(CHANNEL)

    def _try(self, packet: bytes, fds: list[int]) -> None:
        try:
            self._obey(json.loads(packet), fds, time.monotonic())
        except (ValueError, LookupError, TypeError, OSError) as error:
            complain(f"cannot do {packet[:200]!r}: {error!r}")

    def _obey(self, message: dict[str, Any], fds: list[int], now: float) -> None:
        kind = message["kind"]
        if kind == "add":
            label = {key: value for key, value in message.items() if key not in ("kind", "sources")}
            for (source, stream), fd in zip(message["sources"], fds, strict=True):
                self.pipes.add({**label, "source": source, "stream": stream}, fd, now)
        elif kind == "label":
            for source, _ in message["sources"]:
                self.pipes.label({**message, "source": source})
        elif kind == "follow":
            client = socket.socket(fileno=fds[0])
            self.followers.add(client, message.get("filter") or {}, follow=bool(message.get("follow")))
        elif kind == "hinder":
            self.outlet.hinder(message["how"], float(message["until"]))
        elif kind in ("stop", "leave"):
            self.stopping, self.leaving = True, kind == "leave"

    def _answer(self) -> None:
        with contextlib.suppress(OSError):  # the supervisor is slow or gone: said again with the next beat
            while self.pipes.answers:
                self.channel.send(self.pipes.answers[0])
                del self.pipes.answers[0]

    # -- the end

    def finish(self) -> None:
        """Read what is there, write what can be written within FLUSH_S."""
        deadline = time.monotonic() + FLUSH_S
        while self.pipes.drain(now := time.monotonic()) and now < deadline:
            pass
        self.pipes.flush(time.monotonic())
        self.outlet.push(time.monotonic())
        while self.journal.unsent and not self.outlet.sink.broken and (now := time.monotonic()) < deadline:
            select.select([], [STDOUT], [], 0.05)
            self.outlet.push(now)
        left = self.journal.read(self.journal.sent, self.journal.head).count(b"\n") + self.journal.lost
        if left:
            complain(f"{left} log lines were not written: stdout took no more")


def complain(text: str) -> None:
    """Say it on stderr, unless that is the very pipe that nobody reads."""
    if select.select([], [2], [], 0)[1]:
        with contextlib.suppress(OSError):
            os.write(2, f"pump: {text}\n".encode())
