"""The pipes in the loop: added, read in turn, left alone while there is no room, read to their ends, forgotten.

The rule: an ending is told behind the last words of whom it is about. So events wait, when a pump starts, until
every pipe of the last one is there again, and an ending waits until the pipes of that spawn are read out.
"""

from __future__ import annotations

import json
import os
import select
import time
from typing import TYPE_CHECKING, Any

from supervisor.pump import notices
from supervisor.pump.journal import Journal, Slot
from supervisor.pump.sources import ENOUGH, EVENTS, LATE_S, SAY_S, Intake, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pump.outlet import Outlet

EVENTS_PIPE = 5
CLAIMED_S = 1.0  # events wait so long for the sources of the last pump to be added again
FORGOTTEN_S = 30.0  # after which a source without a pipe is forgotten
MOST_TURNS = 8  # more than the largest pipe holds


class Pipes:
    """Every source, by descriptor and by name; all times are CLOCK_MONOTONIC."""

    def __init__(
        self, journal: Journal, intake: Intake, outlet: Outlet, epoll: select.epoll, instance: str,
        hear: Callable[[], None], keep_up: Callable[[], None],
    ) -> None:  # fmt: skip
        self.hear = hear  # does what the supervisor has asked for so far
        self.keep_up = keep_up  # lets those who read the ring go on before it is overwritten
        self.journal = journal
        self.intake = intake
        self.outlet = outlet
        self.epoll = epoll
        self.instance = instance
        self.by_fd: dict[int, Source] = {}
        self.names: dict[str, Source] = {}
        self.unplaced: list[tuple[dict[str, Any], int]] = []  # no slot for them yet: their workers wait
        self.blocked: set[Source] = set()  # not polled until there is room
        self.waiting: set[Source] = set()  # with an unfinished line, or something lost to say
        self.pipeless: dict[Source, float] = {}  # not added again yet, or read to the end: until when they are kept
        self.deaf_until = 0.0  # until then, or until all sources are added again, events wait in their pipe
        self.answers: list[bytes] = []  # for the supervisor
        self._recover()

    def turn(self, ready: list[int], now: float) -> None:
        """Give everyone who has something one turn, events first."""
        if self.deaf_until:
            self._listen(now)
        elif EVENTS_PIPE in ready:
            self._pull(self.names[""], now)
            self._tell(now)
        for fd in ready:
            source = self.by_fd.get(fd)
            if source is not None and fd != EVENTS_PIPE and source not in self.blocked:
                self._pull(source, now)
                self.outlet.push(now)
        self.outlet.push(now)
        if self.blocked:
            self._unblock(now)
        if self.waiting:
            self._late(now)

    def _recover(self) -> None:
        now, slots = time.monotonic(), self.journal.slots()
        for number, state in slots.items():
            source = Source(number, state, self.instance)
            self.names[source.name] = source
            self.pipeless[source] = now + FORGOTTEN_S
            source.due = now + LATE_S if source.pending else 0.0
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
        self.pipeless.pop(events, None)
        events.fd, events.due = EVENTS_PIPE, 0.0
        self._watch_time(events, now)
        self.deaf_until = now + CLAIMED_S  # not to be listened to here: who hears of new pipes would have no Pipes yet

    def _listen(self, now: float) -> None:
        """Read events, once every source is there: an ending is told behind the last words of whom it is about."""
        if all(source.at_end for source in self.pipeless) or now >= self.deaf_until:
            self.deaf_until = 0.0
            self.by_fd[EVENTS_PIPE] = self.names[""]
            self.epoll.register(EVENTS_PIPE, select.EPOLLIN)
            self.intake.work(self.names[""], b"", now)  # what the last pump had still to tell
            self._tell(now)

    def _pull(self, source: Source, now: float) -> bool:
        """One turn of a source; whether there may be more."""
        if not self.intake.may_read(source, now):
            self._block(source)
            return False
        more = self.intake.pull(source, now)
        self.keep_up()
        if more is None:
            self._ended(source)
            return False
        self._watch_time(source, now)
        if source.full:
            self._block(source)
        return more and not source.full

    def _tell(self, now: float) -> None:
        """Read out the pipes of those whose ending is to be told next; they are dead, so there is an end to it."""
        while (spawn_id := self.intake.awaited) is not None:
            self.hear()  # of its pipes, if it lived so short a time
            tails = []
            for name in (f"{spawn_id}/err", f"{spawn_id}/out"):
                source = self.names.get(name)
                if source is not None:
                    self._read_out(source, now)
                    tails.append(source.tail)
            lines = next((lines for tail in tails if (lines := notices.last_lines(tail))), [])
            self.intake.tell(self.names[""], lines, now)
            for name in (f"{spawn_id}/err", f"{spawn_id}/out"):
                source = self.names.get(name)
                if source is None:
                    continue
                source.told = True
                if source.at_end:  # if not, somebody else has its pipe still: a fork that happened beside it
                    self._forget(source)

    def _read_out(self, source: Source, now: float) -> None:
        turns = 0
        while source.fd >= 0 and source not in self.blocked and turns < MOST_TURNS and self._pull(source, now):
            self.outlet.push(now)
            turns += 1  # not for ever: somebody it gave its pipe to may write on
        if source.pending and source.fd >= 0 and source not in self.blocked:
            self.intake.work(source, b"", now, final=True)
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
                self.keep_up()
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

    def add(self, label: dict[str, Any], fd: int, now: float) -> None:
        """Read this pipe from now on; again or anew."""
        source = self.names.get(label["source"])
        if source is None:
            slot = self.journal.free_slot()
            if slot is None:
                self.unplaced.append((label, fd))
                return
            source = Source(slot, Slot(json.dumps(label).encode()), self.instance)
            self.names[source.name] = source
        else:
            source.describe(label, self.instance)
        if source.fd >= 0:  # a supervisor that resumed adds what we have: the newer descriptor is as good
            self._forget_fd(source)
        self.pipeless.pop(source, None)
        source.at_end = False
        self.journal.commit(source.slot, source.state())
        source.fd = fd
        self.by_fd[fd] = source
        self.epoll.register(fd, select.EPOLLIN)
        if source.full:
            self._block(source)
        self._watch_time(source, now)

    def label(self, message: dict[str, Any]) -> None:
        """What this source brings belongs to another name from now on."""
        source = self.names.get(message["source"])
        if source is not None:
            said = {key: value for key, value in message.items() if key not in ("kind", "sources")}
            source.describe({**source.label, **said}, self.instance)
            self.journal.commit(source.slot, source.state())

    def expire(self, now: float) -> None:
        """Forget what nobody added again, and those whose ending nobody told."""
        for source in [source for source, until in self.pipeless.items() if now >= until]:
            source.told = True
            self._ended(source)

    def drain(self, now: float) -> bool:
        """One turn for every source; whether there may be more."""
        if self.deaf_until:
            self.deaf_until = now
            self._listen(now)
        moved = held = False
        for source in list(self.by_fd.values()):
            if source.fd < 0:  # read to its end with the events
                continue
            if not self.intake.may_read(source, now):
                held = True
                continue
            more = self.intake.pull(source, now)
            moved, held = moved or more is True, held or source.full
            if more is None:
                self._ended(source)
            if source.is_events:
                self._tell(now)
        self.outlet.push(now)
        if held and not moved:  # until the reader of stdout, or the rate, lets us go on
            select.select([], [], [], 0.01)
        return moved or held

    def flush(self, now: float) -> None:
        """Show unfinished lines, and say what was lost."""
        for source in self.names.values():
            if source.pending:
                self.intake.work(source, b"", now, late=True)
            if source.lost:
                self.intake.say_lost(source, now)

    def _forget_fd(self, source: Source) -> None:
        if source in self.blocked:
            self.blocked.discard(source)
        else:
            self.epoll.unregister(source.fd)
        del self.by_fd[source.fd]
        os.close(source.fd)
        source.fd = -1

    def _ended(self, source: Source) -> None:
        """Everything it wrote is committed: say so, and keep no more of it than its tail, until its ending is told."""
        if source.is_events:  # the anchor holds the other end; only tests and a dying anchor close it
            self.epoll.unregister(source.fd)
            del self.by_fd[source.fd]
            return
        if not source.at_end:
            self._close(source)
        if source.told:
            self._forget(source)

    def _close(self, source: Source) -> None:
        now = time.monotonic()
        if source.fd >= 0:
            self._forget_fd(source)
        self.intake.end(source, now)
        self.waiting.discard(source)
        self.pipeless[source] = now + FORGOTTEN_S
        source.close()
        self.answers.append(json.dumps({"kind": "eof", "source": source.name}).encode())

    def _forget(self, source: Source) -> None:
        """Its ending is told, or will not be."""
        self.intake.bequeath(source)
        self.waiting.discard(source)
        del self.names[source.name], self.pipeless[source]
        if self.unplaced:
            self.add(*self.unplaced.pop(0), time.monotonic())
