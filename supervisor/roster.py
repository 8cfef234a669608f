"""Who there is: the workers, groups and shelves of a config, and their keepers, by name.

It builds them from a config (and from what an earlier supervisor remembered), and changes them to another config with as
little as possible: what is the same is not touched, what follows its spec live is handed the new one, and only what was
fixed at its start is started anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.group import Group
from supervisor.keeper import Keeper
from supervisor.order import names
from supervisor.plan import fingerprint
from supervisor.spec import ChildSpec, Config, GroupSpec, Strategy
from supervisor.standby import Shelf
from supervisor.worker import Worker
from supervisor.world import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.host import Host
    from supervisor.world import World


class Roster:
    """See the head of this file. `remembered(kind, name)` gives an earlier supervisor's memory, if there is one."""

    def __init__(self, host: Host, config: Config, remembered: Callable[[str, str], Any]) -> None:
        self._host, self.config = host, config
        self._remembered = remembered
        self._world: World | None = None
        self.keepers: dict[str, Keeper] = {}  # of workers
        self.groups: dict[str, Keeper] = {}
        self.shelves: dict[str, Shelf] = {}
        self.counts: dict[str, int] = {}  # replicas as they are now, which `scale` may have changed
        self.top = Group(GroupSpec(name="the service", members=()), (), parallel=True)

    # -- building -------------------------------------------------------------------------------------------------------

    def build(self, world: World, counts: dict[str, int]) -> None:
        """Everything the config names."""
        self._world = world
        for name, spec in self.config.workers.items():
            self.counts[name] = counts.get(name, spec.replicas or 1)
        for entry in self._entries(self.config):
            for keeper in self._make(entry):
                self.top.grow(keeper)

    def _entries(self, config: Config) -> list[str]:
        """Workers and groups that are members of no group, in the order of the file."""
        inside = {member for group in config.groups.values() for member in group.members}
        return [name for name in (*config.workers, *config.groups) if name not in inside]

    def _make(self, name: str) -> list[Keeper]:
        """The keepers of a worker's replicas, or of a group with all that is in it."""
        spec = self.config.workers.get(name)
        if spec is not None:
            self.shelves.setdefault(name, Shelf(self._host, spec))
            return [
                self._make_worker(spec, worker, replica)
                for replica, worker in enumerate(names(spec, self.counts[name]))
            ]
        group_spec = self.config.groups[name]
        group = Group(group_spec, ())
        keeper = self._keeper(group)
        group.keeper = keeper
        self.groups[name] = keeper
        for member in group_spec.members:
            for each in self._make(member):
                group.grow(each)
        return [keeper]

    def _make_worker(self, spec: ChildSpec, name: str, replica: int) -> Keeper:
        worker = Worker(self._host, spec, name, replica, self.shelves[spec.name], self.fingerprint(spec, replica))
        keeper = self.keepers[name] = self._keeper(worker)
        return keeper

    def _keeper(self, child: Worker | Group) -> Keeper:
        assert self._world is not None
        memory = self._remembered(child.kind, child.name)
        return Keeper(child, self._world, remembered=msgspec.convert(memory, Memory) if memory else None)

    def fingerprint(self, spec: ChildSpec, replica: int) -> str:
        """Of one replica of this spec, in this config; another replica's CPUs are none of its business."""
        if not isinstance(spec.cpus, str):
            spec = msgspec.structs.replace(spec, cpus=spec.cpus[replica % len(spec.cpus)])
        return fingerprint(spec, self.config.path)

    # -- looking up -----------------------------------------------------------------------------------------------------

    def worker(self, name: str) -> Worker | None:
        """The worker of this name."""
        keeper = self.keepers.get(name)
        return keeper.child if keeper is not None and isinstance(keeper.child, Worker) else None

    def workers(self) -> list[Worker]:
        """All of them."""
        return [keeper.child for keeper in self.keepers.values() if isinstance(keeper.child, Worker)]

    def homes(self, name: str) -> list[Keeper]:
        """The keepers that a need, or an operator, means by the name of a spec or group."""
        if name in self.groups:
            return [self.groups[name]]
        spec = self.config.workers.get(name)
        if spec is None:
            return []
        return [self.keepers[worker] for worker in names(spec, self.counts[name]) if worker in self.keepers]

    def home_of(self, keeper: Keeper) -> Group:
        """The group it is a member of; the top if none."""
        above = keeper.above
        return above.child if above is not None and isinstance(above.child, Group) else self.top

    # -- changing -------------------------------------------------------------------------------------------------------

    async def scale(self, name: str, count: int) -> None:
        """Have so many replicas; siblings are not touched. The home must not be a living rest_for_one group."""
        spec = self.config.workers[name]
        before = names(spec, self.counts[name])
        after = names(spec, count)
        home = self.home_of(self.keepers[before[0]])
        at = home.members.index(self.keepers[before[-1]]) + 1
        self.counts[name] = count
        for replica, worker in enumerate(after):
            if worker not in self.keepers:
                home.grow(self._make_worker(spec, worker, replica), at)
                at += 1
        for worker in reversed(before):
            if worker not in after:
                await self.remove(self.keepers[worker])

    async def remove(self, keeper: Keeper) -> None:
        """Put down and forgotten, with all that is below it."""
        await self.home_of(keeper).shrink(keeper)
        self._forget(keeper)

    def _forget(self, keeper: Keeper) -> None:
        for member in keeper.child.members:
            self._forget(member)
        home = self.keepers if keeper.kind == "worker" else self.groups
        home.pop(keeper.name, None)
        self._host.ledger.drop(f"{keeper.kind}/{keeper.name}")
        if isinstance(keeper.child, Worker):
            keeper.child.close()

    async def follow(self, new: Config) -> None:
        """Become what the new config says."""
        old, self.config = self.config, new
        for name, spec in new.workers.items():
            before = old.workers.get(name)
            if before is None or before.replicas != spec.replicas or name not in self.counts:
                self.counts[name] = spec.replicas or 1
        stays = [name for name in self._entries(old) if name in self._entries(new) and self._same_shape(name, old, new)]
        goes = [name for name in self._entries(old) if name not in stays]
        comes = [name for name in self._entries(new) if name in goes or name not in self._entries(old)]
        await asyncio.gather(*(self._leave(name) for name in goes))
        for name in [name for name in self.shelves if name not in new.workers]:
            self.shelves.pop(name).close()
        for name in comes:
            for keeper in self._make(name):
                self.top.grow(keeper)
        await self._follow_specs(old, new, set(comes))
        for name in [name for name in self.counts if name not in new.workers]:
            del self.counts[name]

    async def _leave(self, name: str) -> None:
        keepers = (
            [self.groups[name]]
            if name in self.groups
            else [self.keepers[worker] for worker in list(self.keepers) if self._spec_name(worker) == name]
        )
        for keeper in reversed(keepers):
            await self.remove(keeper)

    def _spec_name(self, worker: str) -> str | None:
        found = self.worker(worker)
        return found.spec.name if found is not None else None

    def _same_shape(self, name: str, old: Config, new: Config) -> bool:
        """Whether an entry can go on: a worker of the same naming, a group of the same structure."""
        if name in old.workers:
            before, after = old.workers[name], new.workers.get(name)
            return after is not None and (before.replicas is None) == (after.replicas is None)
        was, is_ = old.groups[name], new.groups.get(name)
        if is_ is None or was.strategy is not is_.strategy:
            return False
        if was.members != is_.members and not self._only_workers_differ(was, is_, old, new):
            return False
        kept = [member for member in was.members if member in is_.members]
        rigid = was.strategy is Strategy.REST_FOR_ONE
        counts_same = not rigid or all(
            member not in old.workers or old.workers[member].replicas == new.workers[member].replicas for member in kept
        )
        return counts_same and all(self._same_shape(member, old, new) for member in kept)

    @staticmethod
    def _only_workers_differ(was: GroupSpec, is_: GroupSpec, old: Config, new: Config) -> bool:
        """A one_for_one group takes workers in and lets them go while it lives; their order must stay."""
        if was.strategy is not Strategy.ONE_FOR_ONE:
            return False
        gone, come = set(was.members) - set(is_.members), set(is_.members) - set(was.members)
        kept_before = [member for member in was.members if member in is_.members]
        kept_after = [member for member in is_.members if member in was.members]
        return kept_before == kept_after and gone <= set(old.workers) and come <= set(new.workers)

    async def _follow_specs(self, old: Config, new: Config, made: set[str]) -> None:
        for name, group_spec in new.groups.items():
            keeper = self.groups.get(name)
            if keeper is None or not isinstance(keeper.child, Group) or name in made:
                continue
            was, keeper.child.spec = keeper.child.spec, group_spec
            for member in [member for member in was.members if member not in group_spec.members]:
                await self._leave(member)
            for member in [member for member in group_spec.members if member not in was.members]:
                at = self._index_behind(keeper.child, group_spec, member)
                for each in self._make(member):
                    keeper.child.grow(each, at)
                    at += 1
        for name, spec in new.workers.items():
            if name in old.workers and self.homes(name):
                await self._follow_spec(name, spec)

    def _index_behind(self, group: Group, spec: GroupSpec, member: str) -> int:
        before = spec.members[: spec.members.index(member)]
        found = [
            at
            for at, keeper in enumerate(group.members)
            if keeper.name in before or self._spec_name(keeper.name) in before
        ]
        return found[-1] + 1 if found else 0

    async def _follow_spec(self, name: str, spec: ChildSpec) -> None:
        """The new spec, to all its replicas; a new life only where something fixed at the start has changed."""
        existing = [worker for worker in self.workers() if worker.spec.name == name]
        changed = {worker.name for worker in existing if worker.fingerprint != self.fingerprint(spec, worker.replica)}
        shelf = self.shelves[name]
        if changed:
            self.renew_shelf(name)
            shelf = self.shelves[name]
        shelf.spec = spec
        for worker in existing:
            worker.spec, worker.shelf, worker.fingerprint = spec, shelf, self.fingerprint(spec, worker.replica)
            if worker.name in changed:
                self.keepers[worker.name].replace(worker)
        shelf.fill()
        count, self.counts[name] = self.counts[name], len(existing)
        if count != len(existing):
            await self.scale(name, count)

    def renew_shelf(self, name: str) -> None:
        """Standbys made from what is now old are replaced."""
        self.shelves[name].close()
        shelf = self.shelves[name] = Shelf(self._host, self.config.workers[name])
        for worker in self.workers():
            if worker.spec.name == name:
                worker.shelf = shelf
        shelf.fill()

    def everyone(self) -> Iterable[Keeper]:
        """Workers and groups alike."""
        return (*self.keepers.values(), *self.groups.values())
