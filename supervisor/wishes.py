"""What an operator may wish of workers and groups, by name: start, stop, restart, release.

A wish takes effect at once for everybody who is meant; only the answer waits until it is so. Nobody's slow stop holds up
another request, and a client that leaves takes nothing back.
"""

from __future__ import annotations

import asyncio
import fnmatch
from typing import TYPE_CHECKING, Any

from supervisor.group import everyone
from supervisor.phase import RUNNING, Phase, Want
from supervisor.requests import Failed, Refused, Usage, suggestion
from supervisor.spec import Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from supervisor.account import Account
    from supervisor.keeper import Keeper
    from supervisor.roster import Roster

PARDONED = (Verdict.DONE, Verdict.FAILED)  # it ended for good, as its restart type says: that is no failed start


class Wishes:
    """`renew(keepers)` sees to it that the next lives of these are made from the code as it is now."""

    def __init__(self, roster: Roster, renew: Callable[[Iterable[Keeper]], Awaitable[None]]) -> None:
        self._roster, self._renew = roster, renew
        self._tasks: set[asyncio.Task[None]] = set()

    def meant(self, patterns: list[str]) -> list[Keeper]:
        """Keepers by name or glob: of a worker, of all replicas of a spec, or of a group."""
        if not patterns:
            raise Usage("which workers? name at least one, or '*' for all")
        roster = self._roster
        known = {name: [keeper] for name, keeper in roster.keepers.items()}
        for name in (*roster.config.workers, *roster.config.groups):
            known.setdefault(name, roster.homes(name))
        found: dict[str, Keeper] = {}
        for pattern in patterns:
            matching = known.get(pattern) or [
                keeper for name, keeper in roster.keepers.items() if fnmatch.fnmatchcase(name, pattern)
            ]
            if not matching and pattern in known:
                raise Refused(f"{pattern} is still on its way after a reload")
            if not matching:
                raise Refused(f"no worker or group is called {pattern!r}{suggestion(pattern, known)}")
            found.update((keeper.name, keeper) for keeper in matching)
        return list(found.values())

    async def start(self, patterns: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them up; Failed if one does not get ready."""
        meant = self.meant(patterns)
        refuse_below_stopped(meant)
        for keeper in meant:
            keeper.start()
        if wait:
            await _settled(meant)
            _all_up(meant)
        return _told("started", meant)

    async def stop(self, patterns: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them down."""
        meant = self.meant(patterns)
        for keeper in meant:
            keeper.stop()
        if wait:
            await asyncio.gather(*(keeper.until(lambda it: it.is_down) for keeper in meant))
        return _told("stopped", meant)

    async def restart(self, patterns: list[str], *, rolling: bool, wait: bool) -> dict[str, Any]:
        """A new life for each; rolling: the next when the one before is ready again. Failed if one is not."""
        meant = self.meant(patterns)
        refuse_below_stopped(meant)
        await self._renew(meant)
        if rolling:
            work = asyncio.create_task(_one_by_one(meant))
            self._tasks.add(work)
            work.add_done_callback(self._over)
            if wait:
                await asyncio.shield(work)
        else:
            lives = [_restart(keeper) for keeper in meant]
            if wait:
                await asyncio.gather(*(keeper.until(again) for keeper, again in zip(meant, lives, strict=True)))
                await _settled(meant)
                _all_up(meant)
        return _told("restarted", meant)

    def _over(self, work: asyncio.Task[None]) -> None:
        self._tasks.discard(work)
        if not work.cancelled():
            work.exception()  # looked at: the client that waited for it may have gone

    def release(self, patterns: list[str]) -> dict[str, Any]:
        """Out of quarantine, with all that is below them."""
        below = {keeper.name: keeper for keeper in everyone(self.meant(patterns))}.values()
        released = [keeper for keeper in below if keeper.phase is Phase.QUARANTINED]
        for keeper in below:
            keeper.release()
        return _told("released", released)


async def _settled(meant: list[Keeper]) -> None:
    """All of them at one moment: one that is restarted while the others are waited for is waited for again."""
    while not all(keeper.settled for keeper in meant):
        await asyncio.gather(*(keeper.until(lambda it: it.settled) for keeper in meant))


def _restart(keeper: Keeper) -> Callable[[Account], bool]:
    """Begin a new life; the condition that holds once the new one is settled."""
    before = keeper.life if keeper.phase in RUNNING else None
    keeper.restart()
    return lambda it: it.settled and (before is None or it.life is not before)


async def _one_by_one(meant: list[Keeper]) -> None:
    for at, keeper in enumerate(meant):
        again = _restart(keeper)
        # A failure is enough: the rest still runs, and shall not be risked for what may never come back.
        await keeper.until(lambda it, again=again: again(it) or it.phase is Phase.BACKING_OFF)  # type: ignore[misc]
        if not _is_up(keeper):
            left = ", ".join(other.name for other in meant[at + 1 :]) or "none"
            raise Failed(f"{_state(keeper)} after its restart: halted (not restarted: {left})")


def refuse_below_stopped(meant: list[Keeper]) -> None:
    """Members of a stopped group wait for the group, so a start of them would wait with them."""
    for keeper in meant:
        above = keeper.above
        while above is not None:
            if above.want is Want.DOWN and above not in meant:
                raise Refused(f"{keeper.name} is a member of {above.name}, which is stopped: start {above.name}")
            above = above.above


def _all_up(meant: list[Keeper]) -> None:
    if wrong := [_state(keeper) for keeper in meant if not _is_up(keeper)]:
        raise Failed("; ".join(wrong))


def _is_up(keeper: Keeper) -> bool:
    return keeper.phase is Phase.READY or keeper.verdict in PARDONED


def _state(keeper: Keeper) -> str:
    ending = keeper.last_ending
    why = f" ({ending.why or ending.result})" if ending is not None else ""
    return f"{keeper.name} is {keeper.phase.replace('_', ' ')}{why}"


def _told(what: str, meant: Iterable[Keeper]) -> dict[str, Any]:
    return {what: [keeper.name for keeper in meant], "phases": {keeper.name: str(keeper.phase) for keeper in meant}}
