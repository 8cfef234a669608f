"""The workers of a pool: how many there are to be, who is one, who stands by, who replaces whom.

A member is given tasks; a standby has done everything but that. When a member is lost a standby takes its place at once and
another one is started behind it. Starts that fail are spaced, and after FAILURES in a row the pool is broken if it
has no member left. Those who die before their first task are spaced as well, and after VAIN in a row that somebody waited
for it is broken if no member has begun anything.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from supervisor.pool import frames
from supervisor.pool.parcel import pack
from supervisor.pool.remote import Remote
from supervisor.pool.share import shared_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.ending import Ending
    from supervisor.pool.engine import Engine
    from supervisor.pool.mainmodule import MainModule
    from supervisor.pool.share import Shared

FAILURES = 5  # starts that fail one after the other before the pool gives up
FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0  # seconds between them
REFILL = 0.01  # seconds until a standby that was needed is replaced
YOUNG = 1.0  # seconds; FAILURES who die younger, each before its first task, are spaced as starts that fail are
VAIN = 15  # times that happens to those started after the last of them: after ten seconds, with the pauses, or more


class Welcome(NamedTuple):
    """What every worker is told first, and the handles in it, which live as long as the pool."""

    message: tuple[Any, ...]
    shared: tuple[Shared[Any], ...] = ()

    @classmethod
    def of(
        cls, main: MainModule | None, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> Welcome:
        """Raises what pickling raises."""
        if initializer is None:
            return cls((frames.WELCOME, main, None, ()))
        parcel = pack((initializer, initargs))
        # Copied for each worker, as with any initializer: what is too large for that can be shared.
        buffers = [bytes(raw) if raw.readonly else bytearray(raw) for raw in (b.raw() for b in parcel.buffers)]
        return cls((frames.WELCOME, main, parcel.data, buffers), tuple(shared_in(parcel)))


class Boss(Protocol):
    """What a crew asks of the dispatcher."""

    @property
    def engine(self) -> Engine:
        """Where workers come from."""

    def at(self, when: float, then: Callable[[], None]) -> None:
        """Call at this time of the monotonic clock."""

    def hired(self, remote: Remote) -> None:
        """It may be given tasks."""

    def stands_by(self, remote: Remote) -> None:
        """It may get ready for them."""

    def buried(self, remote: Remote, ending: Ending | str | None) -> None:
        """It is dead; None: nobody knows how."""

    def is_awaited(self) -> bool:
        """Whether there is anything to do."""

    def broken(self, why: str, error: bytes | None) -> None:
        """No worker can be had."""

    def listen(self, remote: Remote) -> None:
        """Hear what it says."""

    def ignore(self, remote: Remote) -> None:
        """Hear it no more."""


class Crew:
    """Called under the pool's lock only."""

    def __init__(self, boss: Boss, *, most: int, least: int, standby: int, welcome: Welcome) -> None:
        self._boss = boss
        self.most, self.least, self._standby = most, least, standby
        self._welcome = welcome
        self.remotes: dict[int, Remote] = {}
        self.members: list[Remote] = []
        self.standbys: deque[Remote] = deque()
        self.wanted = least  # members there are to be
        self._numbers = 0
        self._failures = self._idle_deaths = self._in_vain = 0  # in a row
        self._vain_until = 0  # the last number that was started before the last of those
        self._starting = 0
        self._ever_up = False
        self._start_at = 0.0
        self._is_closing = False

    def is_short(self, backlog: int) -> bool:
        """Whether `grow` would start anybody for so many tasks: those on their way will take some."""
        return self._for(backlog) > self.wanted

    def _for(self, backlog: int) -> int:
        return min(self.most, len(self.members) + backlog)

    def grow(self, backlog: int) -> None:
        """So many tasks wait and nobody is free: more members, up to `most`."""
        if self.is_short(backlog):
            self.wanted = self._for(backlog)
            while self.standbys and len(self.members) < self.wanted:
                self._promote()
            self.fill()

    def shrink(self, idle_after: float) -> None:
        """Let members go who have had nothing to do for so long."""
        before = time.monotonic() - idle_after
        for remote in list(self.members):
            if len(self.members) > self.least and remote.is_idle and remote.idle_since < before:
                self.wanted = max(self.least, self.wanted - 1)
                self.retire(remote)

    def fill(self) -> None:
        """Start who is missing."""
        if self._is_closing or time.monotonic() < self._start_at:
            return
        # The first standby is started when a worker is up: until then everybody waits for that one.
        wanted = self.wanted + (self._standby if self._ever_up and self.wanted else 0)
        while len(self.members) + len(self.standbys) + self._starting < wanted:
            try:
                remote = Remote(self._numbers + 1)
                try:
                    remote.greet(self._welcome.message, self._welcome.shared)
                except OSError:
                    remote.close()
                    raise
            except OSError as error:
                self._failed(f"no worker could be started: {error}", None)
                return
            self._numbers += 1
            self._starting += 1
            self.remotes[remote.number] = remote
            self._boss.listen(remote)
            self._boss.engine.spawn(remote.number, remote.theirs)

    def retire(self, remote: Remote) -> None:
        """It has done its work; it may end in its own time."""
        self._leave(remote)
        remote.doom = remote.doom or "retired"
        try:
            remote.say((frames.QUIT,))
        except OSError:
            self._boss.engine.kill(remote.number)
        self.fill()

    def put_down(self, remote: Remote, why: str) -> None:
        """Kill it; what it was at is somebody else's business from now on."""
        remote.doom = remote.doom or why
        self._leave(remote)
        self._boss.engine.kill(remote.number)

    def close(self) -> None:
        """Everybody may leave."""
        self._is_closing = True
        for remote in list(self.remotes.values()):
            if not remote.doom:
                self.retire(remote)

    def dissolve(self) -> None:
        """Nothing more is expected of anybody."""
        self._is_closing = True
        for remote in self.remotes.values():
            remote.close()
        self.remotes.clear()
        self._welcome = Welcome(())  # what was shared with them may go

    # -- what happens ------------------------------------------------------------------------------------------------

    def up(self, remote: Remote) -> None:
        """It has done everything that comes before its first task."""
        if remote.is_up or remote.doom:
            return
        if not remote.pid:  # its ring was read first
            self._boss.engine.look(remote.number)
        remote.is_up = self._ever_up = True
        remote.idle_since = time.monotonic()
        self._starting -= 1
        self._failures = 0
        self._start_at = 0.0
        if remote.is_deaf or remote.number not in self.remotes:
            return  # it has died since
        if len(self.members) < self.wanted:
            self._hire(remote)
        else:
            self.standbys.append(remote)
            self._boss.stands_by(remote)
        self.fill()

    def deaf(self, remote: Remote) -> Remote | None:
        """Its end of the socket is closed: it dies, or it closed what it should not have. Who took its place."""
        return self._leave(remote)

    def ended(self, number: int, ending: Ending | str | None) -> None:
        """It is dead, or, for the reason given, never lived."""
        remote = self.remotes.pop(number, None)
        if remote is None:
            return
        self._leave(remote)
        self._boss.ignore(remote)
        self._boss.buried(remote, ending)  # what it said last counts: that it was up, what it had begun
        was_up, has_begun = remote.is_up, remote.has_begun
        self._boss.engine.forget(number)
        remote.close()
        if not was_up:
            self._starting -= 1
            if ending is not None and not self._is_closing and not remote.doom:  # else `lost` counts
                error = remote.initializer_error
                self._failed("the initializer failed" if error else f"a worker did not start: {ending}", error)
        elif has_begun:  # what it died of is a task's affair, and bounded by its retries
            self._idle_deaths = self._in_vain = 0
        elif not remote.doom and not self._is_closing:
            self._died_idle(remote, ending)
        if len(self.members) < self.wanted:
            self.fill()
        else:  # a standby has taken over: let it have the machine before another one is born
            self._boss.at(time.monotonic() + REFILL, self.fill)

    def lost(self) -> None:
        """The root is dead, and everybody with it: however many were being started, one start has failed."""
        everybody = list(self.remotes.values())
        for remote in everybody:
            self.ended(remote.number, None)
        if not self._is_closing and any(not remote.is_up and not remote.doom for remote in everybody):
            self._failed("a worker did not start: the root of the pool was killed", None)

    def _died_idle(self, remote: Remote, ending: Ending | str | None) -> None:
        if time.monotonic() - remote.idle_since >= YOUNG:
            self._idle_deaths = self._in_vain = 0
            return
        self._idle_deaths += 1
        if not self._boss.is_awaited():
            self._in_vain = 0
        elif remote.number > self._vain_until:  # of many who die at once one counts
            self._in_vain += 1
            self._vain_until = self._numbers
        if self._in_vain >= VAIN and not any(other.has_begun for other in self.members):
            last = ending or "killed together with the root of the pool"
            self._is_closing = True
            self._boss.broken(
                f"workers died {self._in_vain} times in a row before they began anything; the last one: {last}", None
            )
        elif self._idle_deaths > FAILURES:
            self._space_out()

    def _leave(self, remote: Remote) -> Remote | None:
        """A member no more; a standby takes over, if there is one."""
        if remote in self.members:
            self.members.remove(remote)
            remote.is_member = False
            if len(self.members) < self.wanted and self.standbys:
                return self._promote()
        elif remote in self.standbys:
            self.standbys.remove(remote)
        return None

    def _promote(self) -> Remote:
        remote = self.standbys.popleft()
        self._hire(remote)
        return remote

    def _hire(self, remote: Remote) -> None:
        self.members.append(remote)
        remote.is_member = True
        self._boss.hired(remote)

    def _failed(self, why: str, error: bytes | None) -> None:
        self._failures += 1
        if self._failures >= FAILURES and not self.members:
            self._is_closing = True
            self._boss.broken(f"{why} ({self._failures} times in a row)", error)
        else:
            self._space_out()

    def _space_out(self) -> None:
        times = max(self._failures, self._idle_deaths - FAILURES)
        pause = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** max(0, min(times, 10) - 1))
        self._start_at = time.monotonic() + pause
        self._boss.at(self._start_at, self.fill)
