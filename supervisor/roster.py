"""Who there is: the workers, groups and shelves of a config, and their keepers, by name.

It builds them from a config, and from what an earlier supervisor remembered; how one roster becomes another is refit.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.death import Fault
from supervisor.group import Group
from supervisor.keeper import Keeper
from supervisor.order import names
from supervisor.plan import fingerprint
from supervisor.spec import ChildSpec, Config, GroupSpec, Result
from supervisor.standby import Shelf
from supervisor.worker import Worker
from supervisor.world import Memory

if TYPE_CHECKING:
    from collections.abc import Callable

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
        for entry in self.entries(self.config):
            for keeper in self.make(entry):
                self.top.grow(keeper)

    def entries(self, config: Config) -> list[str]:
        """Workers and groups that are members of no group, in the order of the file."""
        inside = {member for group in config.groups.values() for member in group.members}
        return [name for name in (*config.workers, *config.groups) if name not in inside]

    def make(self, name: str) -> list[Keeper]:
        """The keepers of a worker's replicas, or of a group with all that is in it."""
        spec = self.config.workers.get(name)
        if spec is not None:
            self.shelves.setdefault(name, self._shelf(spec))
            return [
                self.make_worker(spec, worker, replica)
                for replica, worker in enumerate(names(spec, self.counts[name]))
            ]
        group_spec = self.config.groups[name]
        group = Group(group_spec, ())
        keeper = self._keeper(group)
        group.keeper = keeper
        self.groups[name] = keeper
        for member in group_spec.members:
            for each in self.make(member):
                group.grow(each)
        return [keeper]

    def make_worker(self, spec: ChildSpec, name: str, replica: int) -> Keeper:
        """The keeper of one replica."""
        worker = Worker(self._host, spec, name, replica, self.shelves[spec.name], self.fingerprint(spec, replica))
        keeper = self.keepers[name] = self._keeper(worker)
        return keeper

    def _keeper(self, child: Worker | Group) -> Keeper:
        assert self._world is not None
        memory = self._remembered(child.kind, child.name)
        return Keeper(child, self._world, remembered=msgspec.convert(memory, Memory) if memory else None)

    def _shelf(self, spec: ChildSpec) -> Shelf:
        """For all replicas: which CPUs a standby runs on it learns with its go."""
        return Shelf(self._host, spec, fingerprint(msgspec.structs.replace(spec, cpus="symmetric"), self.config.path))

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

    def lose(self, spawn_id: str, why: str) -> None:
        """A spawn that cannot be kept: its life ends, or its standby, and the next is begun as after any failure."""
        for worker in self.workers():
            if worker.life is not None and worker.life.process is not None and worker.life.process.spawn_id == spawn_id:
                worker.life.end(Fault(Result.RESOURCES, why))
        for shelf in self.shelves.values():
            shelf.lose(spawn_id, why)

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

    # -- what changes it (see refit.py) -----------------------------------------------------------------------------------

    def forget(self, keeper: Keeper) -> None:
        """It is gone for good."""
        home = self.keepers if keeper.kind == "worker" else self.groups
        if home.get(keeper.name) is keeper:
            del home[keeper.name]
            self._host.ledger.drop(f"{keeper.kind}/{keeper.name}")
        if isinstance(keeper.child, Worker):
            keeper.child.close()

    def renew_shelf(self, name: str) -> Shelf:
        """Standbys made from what is now old are replaced."""
        self.shelves[name].close()
        shelf = self.shelves[name] = self._shelf(self.config.workers[name])
        for worker in self.workers():
            if worker.spec.name == name:
                worker.shelf = shelf
        shelf.fill()
        return shelf
