"""Lives together: a group is a life made of its members' lives, so groups nest.

    one_for_one(ms)         = together(keep(m) for m in ms)
    rest_for_one(m, *rest)  = keep(m, together(m, rest_for_one(*rest)))
    one_for_all(ms)         = keep(ms, together(ms))

The strategies are OTP's; there is no code for "who else restarts" but these three lines. A member that escalates
ends the group's life, and the group's own keeper, a keeper like any other, decides what follows.
"""

from __future__ import annotations

import asyncio
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, assert_never

from supervisor.keeper import Keep, Keeper
from supervisor.phase import Phase
from supervisor.spec import Ending, GroupSpec, Result, Strategy
from supervisor.world import GivenUp, finish, now, put_down

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from supervisor.world import Life, Memory, Settled, World


class Group:
    """A Child whose life is that of its members. `parallel`: the service itself, where only needs put in order."""

    kind = "group"

    def __init__(self, spec: GroupSpec, members: Iterable[Keeper], *, parallel: bool = False) -> None:
        self.spec = spec
        self.name, self.policy, self.needs = spec.name, spec.policy, spec.needs
        self.keeper: Keeper | None = None  # the top has none
        self._members: list[Keeper] = []
        self._parallel = parallel
        self._side: Together | None = None  # the members' lives, while they live
        for member in members:
            self._enter(member, len(self._members))

    @property
    def members(self) -> Sequence[Keeper]:
        """In start order."""
        return self._members

    async def live(self, observed: Callable[[Phase], None]) -> Ending:
        """See Child. It ends when a member escalates or when it is cancelled, never by itself."""
        began = now()
        ready_at: float | None = None
        asked = False

        def settled() -> None:
            nonlocal ready_at
            if not asked:
                ready_at = now() if ready_at is None else ready_at
                observed(Phase.READY)

        observed(Phase.STARTING)
        resumed = any(member.adopting for member in self._members)
        for member in self._members:
            if not resumed:  # else an escalation may still be on its way up
                member.renew()
            member.hold()
        life = asyncio.create_task(self._compose().run(settled), name=self.name)
        try:
            await asyncio.wait([life])
        except asyncio.CancelledError as cancelled:
            asked = True
            observed(Phase.STOPPING)
            await put_down(life, str(cancelled))
        finally:
            self._side = None
            for member in self._members:
                member.lower()
        return self._ending(life, began, ready_at, asked=asked)

    def grow(self, member: Keeper, at: int | None = None) -> bool:
        """One more member, at the end or at an index, begun at once if the group lives; siblings notice nothing.

        False: a living rest_for_one group cannot take one in; it has it from its next life on (restart it).
        """
        at = len(self._members) if at is None else at
        self._enter(member, at)
        if self.keeper is not None:
            self.keeper.revive()
        if self._side is None:
            return True
        if self.spec.strategy is Strategy.REST_FOR_ONE:
            return False
        member.hold()
        self._side.grow(self._life_of(member), at)
        return True

    async def shrink(self, member: Keeper) -> None:
        """One member less: put down, then forgotten; its siblings notice nothing."""
        if self._side is None or self.spec.strategy is Strategy.REST_FOR_ONE:
            member.stop()  # in a living chain the link stays, stopped by wish, until the group's next life
            await member.until(lambda it: it.is_down)
        else:
            await self._side.shrink(member)
        self._members.remove(member)
        member.lower()
        member.above = None

    def _enter(self, member: Keeper, at: int) -> None:
        member.above = self.keeper
        self._members.insert(at, member)

    def _compose(self) -> Life:
        match self.spec.strategy:
            case Strategy.ONE_FOR_ONE:
                side = Abreast if self._parallel else Together
                self._side = side(map(self._life_of, self._members), self._members)
                return self._side
            case Strategy.ONE_FOR_ALL:
                self._side = Together(self._members, self._members)
                return Keep(self._side, self._members)
            case Strategy.REST_FOR_ONE:
                self._side = chain(self._members)
                return self._side
            case _:
                assert_never(self.spec.strategy)

    def _life_of(self, member: Keeper) -> Life:
        return Keep(member, [member]) if self.spec.strategy is Strategy.ONE_FOR_ONE else member

    def _ending(
        self, life: asyncio.Task[None], began: float, ready_at: float | None, *, asked: bool
    ) -> Ending:
        why, stable_until = None, now()
        if not asked:
            error = life.exception()
            if not isinstance(error, GivenUp):
                life.result()  # a bug: let it be seen
            else:
                # A group is not well any more from the first failure of the streak that ended it: else a member that
                # takes longer than stable_after to give up would have the group forgiven every time.
                why, stable_until = str(error), error.culprit.failing_since or now()
        return Ending(
            worker=self.name,
            spawn_id="",
            result=Result.SUCCESS if asked else Result.EXIT_CODE,
            asked=asked,
            was_ready=ready_at is not None,
            uptime_s=now() - began,
            ready_s=0.0 if ready_at is None else max(0.0, stable_until - ready_at),
            ended_at=now(),
            why=why,
        )


class Together:
    """Lives side by side: begun in order, each when the one before is settled; put down in reverse, one by one."""

    def __init__(self, lives: Iterable[Life], members: Sequence[Keeper]) -> None:
        self.lives = list(lives)
        self.members = members
        self._running: dict[Life, asyncio.Task[None]] = {}
        self._settled: dict[Life, asyncio.Event] = {}
        self._over = asyncio.Event()
        self._error: BaseException | None = None
        self._open = False  # takes new ones in

    async def run(self, settled: Settled) -> None:
        """See Life; the first failure of one puts down all."""
        self._over.clear()
        self._error, self._open = None, True
        for life in self.lives:  # what runs already must not wait for its turn to be adopted
            if any(member.adopting for member in life.members):
                self._begin(life)
        starter = asyncio.create_task(self._start(settled))
        why = ""
        try:
            await self._over.wait()
            why = str(self._error)  # whose failure it is: those who are put down for it say so
        except asyncio.CancelledError as cancelled:
            why = str(cancelled)
            raise
        finally:
            self._open = False
            end = asyncio.create_task(self._end(starter, why))
            await finish(end)
            end.result()
        assert self._error is not None
        raise self._error

    def grow(self, life: Life, at: int) -> None:
        """One more, begun at once, if we are not on our way down."""
        self.lives.insert(at, life)
        if self._open:
            self._begin(life)

    async def shrink(self, member: Keeper) -> None:
        """Put down and forget the life of this one member."""
        life = next(life for life in self.lives if list(life.members) == [member])
        self.lives.remove(life)
        if life in self._running:
            self._settled[life].set()
            await put_down(self._running[life])
            self._running.pop(life, None)

    def _begin(self, life: Life) -> None:
        settled = self._settled[life] = asyncio.Event()
        task = self._running[life] = asyncio.create_task(life.run(settled.set))
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and self._error is None:
            self._error = task.exception()
            self._over.set()

    async def _start(self, settled: Settled) -> None:
        for life in tuple(self.lives):
            if life in self.lives:  # it may have been taken away while we waited
                if life not in self._running:
                    self._begin(life)
                await self._settled[life].wait()
        settled()

    async def _end(self, starter: asyncio.Task[None], why: str) -> None:
        await put_down(starter)
        for life in tuple(reversed(self.lives)):
            if life in self._running:
                await put_down(self._running[life], why)
        self._running.clear()


class Abreast(Together):
    """Lives side by side, all begun at once; put down at once too, but for those that others still need."""

    async def _start(self, settled: Settled) -> None:
        everyone_here = tuple(self.lives)
        for life in everyone_here:
            if life not in self._running:
                self._begin(life)
        for life in everyone_here:
            await self._settled[life].wait()
        settled()

    async def _end(self, starter: asyncio.Task[None], why: str) -> None:
        await put_down(starter)
        needed_by = self._needed_by()
        try:
            order = list(TopologicalSorter(needed_by).static_order())
        except CycleError:  # between members of groups that need members of each other's group
            order = list(reversed(self.lives))
        ends: dict[Life, asyncio.Task[None]] = {}
        for life in order:
            first = [ends[other] for other in needed_by[life] if other in ends]
            ends[life] = asyncio.create_task(self._end_one(life, first, why))
        await asyncio.gather(*ends.values())
        self._running.clear()

    async def _end_one(self, life: Life, first: Iterable[asyncio.Task[None]], why: str) -> None:
        for other in first:
            await asyncio.wait([other])
        if life in self._running:
            await put_down(self._running[life], why)

    def _needed_by(self) -> dict[Life, list[Life]]:
        homes: dict[str, set[Life]] = {}
        for life in self.lives:
            for each in everyone(life.members):
                for name in (each.name, each.child.spec.name):
                    homes.setdefault(name, set()).add(life)
        needed_by: dict[Life, list[Life]] = {life: [] for life in self.lives}
        for life in self.lives:
            needs = {need.name for each in everyone(life.members) for need in each.child.needs}
            for needed in set().union(*(homes.get(name, ()) for name in needs)) - {life}:
                needed_by[needed].append(life)
        return needed_by


def kept(group: Group, world: World, *, remembered: Memory | None = None) -> Keeper:
    """The keeper of a group; its members know it from now on."""
    group.keeper = keeper = Keeper(group, world, remembered=remembered)
    for member in group.members:
        member.above = keeper
    return keeper


def chain(members: Sequence[Keeper]) -> Together:
    """rest_for_one: whoever fails takes those behind it along, and is waited for by them."""
    behind = Together([], [])
    for index in reversed(range(len(members))):
        both = Together([members[index], behind], members[index:])
        behind = Together([Keep(both, members[index : index + 1])], members[index:])
    return behind


def everyone(members: Iterable[Keeper]) -> Iterator[Keeper]:
    """These keepers and all below them."""
    for member in members:
        yield member
        yield from everyone(member.child.members)
