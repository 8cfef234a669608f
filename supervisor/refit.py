"""From the roster there is to the one another config wants, with as little as possible touched.

What is the same goes on, what follows its spec live is handed the new one, and only what was fixed at its start is started
anew. Nobody waits for a slow stop but who wants the same name again: two lives of one name never overlap.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from supervisor.group import Group, everyone
from supervisor.order import names
from supervisor.spec import ChildSpec, Config, GroupSpec, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from supervisor.keeper import Keeper
    from supervisor.roster import Roster

Tasks = list[asyncio.Task[None]]
"""What is still to be waited for until it is so."""


class Refit:
    """Changes a roster. What it returns may be waited for, and happens all the same if nobody does."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._leaving: dict[str, asyncio.Task[None]] = {}  # names on the way out
        self._tasks: set[asyncio.Task[None]] = set()

    async def done(self) -> None:
        """Return when nobody is on the way out or waits to come."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- scale ----------------------------------------------------------------------------------------------------------

    def scale(self, name: str, count: int) -> Tasks:
        """Have so many replicas; siblings are not touched. The home must not be a living rest_for_one group."""
        roster = self._roster
        spec = roster.config.workers[name]
        here = self._here(name)
        if not here:  # all are on the way out, and come again as many as this
            roster.counts[name] = count
            return []
        home = roster.home_of(here[0])
        at = home.members.index(here[-1]) + 1
        roster.counts[name] = count
        after = names(spec, count)
        tasks = [self._remove(keeper) for keeper in reversed(here) if keeper.name not in after]
        for replica, worker in enumerate(after):
            if worker not in {keeper.name for keeper in here}:
                place = at + replica - len(here)
                tasks += self._when_gone([worker], partial(self._add, spec.name, worker, replica, home, place))
        return tasks

    def _add(self, name: str, worker: str, replica: int, home: Group, at: int) -> None:
        roster = self._roster
        spec = roster.config.workers.get(name)
        if spec is not None and worker in names(spec, roster.counts[name]) and worker not in roster.keepers:
            home.grow(roster.make_worker(spec, worker, replica), min(at, len(home.members)))

    # -- follow ---------------------------------------------------------------------------------------------------------

    def follow(self, new: Config) -> Tasks:
        """Become what the new config says."""
        roster = self._roster
        old, roster.config = roster.config, new
        self._count(old, new)
        entries = roster.entries(new)
        stays = {name for name in roster.entries(old) if name in entries and _same_shape(name, old, new)}
        grown = dict(_groups_that_go_on(stays, old, new))
        tasks = [task for name in roster.entries(old) if name not in stays for task in self._leave(name)]
        for name in grown:
            gone = set(old.groups[name].members) - set(new.groups[name].members)
            tasks += [task for member in gone for task in self._leave(member)]
        for name in [name for name in roster.shelves if name not in new.workers]:
            roster.shelves.pop(name).close()
        for name, spec in new.workers.items():
            if name in old.workers:
                tasks += self._follow_spec(name, spec)
        for name, group in grown.items():
            tasks += self._follow_members(name, group)
        for name in entries:
            if name not in stays:
                tasks += self._when_gone(self._below(name), partial(self._come, name))
        return tasks

    def _count(self, old: Config, new: Config) -> None:
        """A number that `scale` has set stays, until the config says another one than before."""
        counts = self._roster.counts
        for name, spec in new.workers.items():
            before = old.workers.get(name)
            if before is None or before.replicas != spec.replicas or name not in counts:
                counts[name] = spec.replicas or 1
        for name in [name for name in counts if name not in new.workers]:
            del counts[name]

    def _come(self, name: str) -> None:
        roster = self._roster
        if name in roster.entries(roster.config) and name not in roster.groups and not roster.homes(name):
            for keeper in roster.make(name):
                roster.top.grow(keeper)

    def _follow_members(self, name: str, spec: GroupSpec) -> Tasks:
        """A one_for_one group goes on with other members; the others notice nothing."""
        keeper = self._roster.groups.get(name)
        if keeper is None or not isinstance(keeper.child, Group):
            return []  # it is still on the way, and comes as the newest config says
        was, keeper.child.spec = keeper.child.spec, spec
        tasks: Tasks = []
        for member in [member for member in spec.members if member not in was.members]:
            tasks += self._when_gone(self._below(member), partial(self._join, name, member))
        return tasks

    def _join(self, name: str, member: str) -> None:
        roster = self._roster
        keeper, spec = roster.groups.get(name), roster.config.groups.get(name)
        if keeper is None or spec is None or member not in spec.members or roster.homes(member):
            return
        assert isinstance(keeper.child, Group)
        at = self._index_behind(keeper.child, spec, member)
        for offset, each in enumerate(roster.make(member)):
            keeper.child.grow(each, at + offset)

    def _index_behind(self, group: Group, spec: GroupSpec, member: str) -> int:
        before = spec.members[: spec.members.index(member)]
        found = [at for at, keeper in enumerate(group.members) if keeper.child.spec.name in before]
        return found[-1] + 1 if found else 0

    def _follow_spec(self, name: str, spec: ChildSpec) -> Tasks:
        """The new spec, to all its replicas; a new life only where something fixed at the start has changed."""
        roster = self._roster
        here = self._here(name)
        shelf = roster.shelves.get(name)
        if shelf is None:
            return []  # it is still on the way, and comes as the newest config says
        if shelf.spec != spec and roster.fingerprint(shelf.spec, 0) != roster.fingerprint(spec, 0):
            shelf = roster.renew_shelf(name)
        shelf.spec = spec
        for keeper in here:
            worker = roster.worker(keeper.name)
            assert worker is not None
            before, worker.fingerprint = worker.fingerprint, roster.fingerprint(spec, worker.replica)
            worker.spec, worker.shelf = spec, shelf
            if worker.fingerprint != before:
                keeper.replace(worker)
        shelf.fill()
        return self.scale(name, roster.counts[name]) if here and roster.counts[name] != len(here) else []

    # -- coming and going -------------------------------------------------------------------------------------------------

    def _here(self, name: str) -> list[Keeper]:
        """The replicas of a worker that are not on their way out, in order."""
        found = [
            keeper
            for keeper in self._roster.keepers.values()
            if keeper.child.spec.name == name and keeper.name not in self._leaving
        ]
        return sorted(found, key=lambda keeper: self._replica(keeper.name))

    def _replica(self, worker: str) -> int:
        found = self._roster.worker(worker)
        return found.replica if found is not None else 0

    def _leave(self, name: str) -> Tasks:
        groups = self._roster.groups
        keepers = [groups[name]] if name in groups and name not in self._leaving else self._here(name)
        return [self._remove(keeper) for keeper in reversed(keepers)]

    def _remove(self, keeper: Keeper) -> asyncio.Task[None]:
        """Put down and forgotten, with all that is below it."""
        task = self._begin(self._removed(keeper))
        for each in everyone([keeper]):
            self._leaving[each.name] = task
        return task

    async def _removed(self, keeper: Keeper) -> None:
        below = list(everyone([keeper]))
        await self._roster.home_of(keeper).shrink(keeper)
        for each in below:
            # Not if its group has followed it on the way out: the name is free only when both have gone.
            if self._leaving.get(each.name) is asyncio.current_task():
                del self._leaving[each.name]
            self._roster.forget(each)

    def _when_gone(self, wanted: Iterable[str], make: Callable[[], None]) -> Tasks:
        """Now, or when everybody of these names who is on the way out has gone."""
        waits = {self._leaving[name] for name in wanted if name in self._leaving}
        if not waits:
            make()
            return []

        async def later() -> None:
            await asyncio.wait(waits)
            make()

        return [self._begin(later())]

    def _below(self, name: str) -> Iterator[str]:
        """Every name an entry of the config will take."""
        config = self._roster.config
        yield name
        if name in config.workers:
            yield from names(config.workers[name], self._roster.counts[name])
        else:
            for member in config.groups[name].members:
                yield from self._below(member)

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _groups_that_go_on(stays: Iterable[str], old: Config, new: Config) -> Iterator[tuple[str, GroupSpec]]:
    """The groups among these entries, and those within them, with their new specs."""
    for name in stays:
        if name in old.groups:
            yield name, new.groups[name]
            kept = [member for member in old.groups[name].members if member in new.groups[name].members]
            yield from _groups_that_go_on(kept, old, new)


def _same_shape(name: str, old: Config, new: Config) -> bool:
    """Whether an entry can go on: a worker of the same naming, a group of the same structure."""
    if name in old.workers:
        before, after = old.workers[name], new.workers.get(name)
        return after is not None and (before.replicas is None) == (after.replicas is None)
    was, is_ = old.groups[name], new.groups.get(name)
    if is_ is None or was.strategy is not is_.strategy:
        return False
    if was.members != is_.members and not _only_workers_differ(was, is_, old, new):
        return False
    kept = [member for member in was.members if member in is_.members]
    rigid = was.strategy is Strategy.REST_FOR_ONE
    counts_same = not rigid or all(
        member not in old.workers or old.workers[member].replicas == new.workers[member].replicas for member in kept
    )
    return counts_same and all(_same_shape(member, old, new) for member in kept)


def _only_workers_differ(was: GroupSpec, is_: GroupSpec, old: Config, new: Config) -> bool:
    """A one_for_one group takes workers in and lets them go while it lives; their order must stay."""
    if was.strategy is not Strategy.ONE_FOR_ONE:
        return False
    gone, come = set(was.members) - set(is_.members), set(is_.members) - set(was.members)
    kept_before = [member for member in was.members if member in is_.members]
    kept_after = [member for member in is_.members if member in was.members]
    return kept_before == kept_after and gone <= set(old.workers) and come <= set(new.workers)
