"""The sink in the loop: when it is pushed, polled and given up on, and saying what it lost."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from typing import TYPE_CHECKING

from supervisor.pump.lines import LIMIT
from supervisor.pump.sources import ENOUGH

if TYPE_CHECKING:
    from supervisor.pump.journal import Journal
    from supervisor.pump.sinks import Sink
    from supervisor.pump.sources import Intake


class Outlet:
    """The sink, polled for writing only while it is full."""

    def __init__(self, journal: Journal, sink: Sink, intake: Intake, epoll: select.epoll) -> None:
        self.journal = journal
        self.sink = sink
        self.intake = intake
        self.epoll = epoll
        self.polled_sink = -1
        self.hindered_until = 0.0  # for chaos; 0: not

    def hinder(self, how: str | None, until: float) -> None:
        """`stall`: nobody reads stdout. `full`: the disk is, for stdout and for the workers' files. None: no more."""
        sink = self.sink
        sink.hindrance = None
        if how == "stall":
            sink.hindrance = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        elif how == "full":
            sink.hindrance = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.intake.disk_full = how == "full"
        self.hindered_until = until if how is not None else 0.0
        sink.broken_until = 0.0

    def push(self, now: float) -> None:
        """Write what the sink takes now."""
        sink, journal = self.sink, self.journal
        if self.hindered_until and now >= self.hindered_until:
            self.hinder(None, 0.0)
        sink.now_ms = time.time_ns() // 1_000_000
        unread = journal.told and journal.told_at >= journal.sent  # what was said last is not even out
        if journal.lost and not unread and not (sink.broken and journal.unsent) and journal.room() >= LIMIT:
            self.intake.say_sink_lost()
        if journal.unsent or journal.torn or journal.phase:
            sink.push(now)
        if sink.broken and journal.room(self.intake.reserve) < ENOUGH:
            sink.discard()
        # Polled while it is hindered, it would say that it has room, again and again.
        wanted = -1 if sink.waits_for is None or self.hindered_until else sink.waits_for
        if wanted != self.polled_sink:
            self._poll_sink(wanted)

    def _poll_sink(self, wanted: int) -> None:
        if self.polled_sink >= 0:
            self.epoll.unregister(self.polled_sink)
        self.polled_sink = -1
        if wanted >= 0:
            with contextlib.suppress(PermissionError):  # what epoll refuses is tried again with the next turn
                self.epoll.register(wanted, select.EPOLLOUT)
                self.polled_sink = wanted
