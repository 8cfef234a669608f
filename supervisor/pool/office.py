"""Whom the crew and the engine tell, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.pool.parcel import unpack_error
from supervisor.pool.report import PoolBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.ending import Ending
    from supervisor.pool.engine import Engine
    from supervisor.pool.remote import Remote

SUCCESSION = 0.001  # seconds in which a successor does its first task before it is asked what its predecessor died of


class Office:
    """Called under the pool's lock: crew.Boss and trunk.Listener."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._ends = -1  # the channel on which ends are told

    @property
    def engine(self) -> Engine:
        """Where workers come from."""
        return self._dispatcher.running_engine

    def stands_by(self, remote: Remote) -> None:
        """It may get ready for tasks."""
        self._dispatcher.post.stands_by(remote)

    def hired(self, remote: Remote) -> None:
        """It may be given tasks."""
        self._dispatcher.feeding.feed(remote)

    def buried(self, remote: Remote, ending: Ending | str | None) -> None:
        """It is dead: its last results count, then somebody is to blame, or nobody."""
        self._dispatcher.feeding.free.pop(remote, None)
        self._dispatcher.results.last(remote)
        self._dispatcher.lending.bury(remote.number)
        self._dispatcher.aftermath.of(remote, ending)

    def deaf(self, remote: Remote) -> None:
        """Its end of the socket is closed. Whatever it dies of, others do at once what it had not begun."""
        self._dispatcher.feeding.give_back(remote.take_back())
        successor = self._dispatcher.crew.deaf(remote)
        self._dispatcher.feeding.feed_all()
        if successor is not None and successor.held:
            # How it ended is being told: to read that, and to bury it, would keep the thread from the successor's result.
            self._dispatcher.loop.defer(self._ends, SUCCESSION)
        self.ignore(remote)

    def is_awaited(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._dispatcher.open())

    def broken(self, why: str, error: bytes | None) -> None:
        """No worker can be had: everybody who waits is told."""
        broken = PoolBroken(why)
        if error is not None:
            broken.__cause__ = unpack_error(error)
        self._dispatcher.error = broken
        self._dispatcher.closing.is_closing = True
        self._dispatcher.closing.refuse_all()
        self._dispatcher.closing.is_broken = True
        self._dispatcher.closing.refuse_rest()

    def listen(self, remote: Remote) -> None:
        """Hear what it says."""
        self._dispatcher.loop.watch(remote.sock.fileno(), lambda: self._dispatcher.results.hear(remote))
        if remote.is_behind:  # it was greeted with more than its socket takes
            self._dispatcher.loop.watch_both_ways(remote.sock.fileno(), both=True)

    def ignore(self, remote: Remote) -> None:
        """Hear it no more."""
        self._dispatcher.loop.unwatch(remote.sock.fileno())

    def at(self, when: float, then: Callable[[], None]) -> None:
        """Call at this time of the monotonic clock."""
        self._dispatcher.loop.at(when, then)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call whenever there is something to read."""
        self._dispatcher.loop.watch(fd, ready)

    def watch_ends(self, fd: int, ready: Callable[[], None]) -> None:
        """The same of the channel on which ends are told."""
        self._ends = fd
        self.watch(fd, ready)

    def unwatch(self, fd: int) -> None:
        """The contrary."""
        self._dispatcher.loop.unwatch(fd)

    def born(self, number: int, pid: int) -> None:
        """A worker's process is there."""
        remote = self._dispatcher.crew.remotes.get(number)
        if remote is not None:
            remote.pid = pid

    def unborn(self, number: int, why: str) -> None:
        """A worker never lived."""
        self._dispatcher.crew.ended(number, why)

    def ended(self, number: int, ending: Ending) -> None:
        """A worker was reaped."""
        self._dispatcher.crew.ended(number, ending)

    def stopped(self, number: int, pid: int) -> None:
        """A worker was stopped by a signal, perhaps on its way here."""
        remote = self._dispatcher.crew.remotes.get(number)
        if remote is not None:
            remote.pid = pid
            self._dispatcher.watch_over.stopped(remote)

    def lost(self) -> None:
        """The root is dead, and with it every worker."""
        self._dispatcher.crew.lost()
