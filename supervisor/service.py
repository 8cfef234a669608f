"""The service: everything a supervisor decides, put together, and what its clients may ask of it.

The daemon makes one, from a config or from what an earlier supervisor left at the anchor; from then on it runs until it is
told to stop, to leave for a newer version, or until something significant is given up.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor import config as configs
from supervisor import report
from supervisor.book import Book
from supervisor.chaos.saboteur import Saboteur
from supervisor.config import BadConfig
from supervisor.gate import Gate
from supervisor.group import everyone
from supervisor.phase import Phase
from supervisor.plan import difference
from supervisor.refit import Refit, Tasks
from supervisor.renewal import Renewal
from supervisor.requests import Failed, Refused, suggestion
from supervisor.roster import Roster
from supervisor.spec import Strategy, Verdict
from supervisor.wishes import Wishes
from supervisor.world import World

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from supervisor.account import Account
    from supervisor.host import Host
    from supervisor.log import Log
    from supervisor.spec import Config

UNDONE_WITHIN = 1.0  # seconds a stop waits for faults to be undone; what takes longer is undone beside it
MOST_REPLICAS = 10_000


class Service:
    """Implements control.Service. `facts` are those of the anchor's hello."""

    def __init__(
        self, host: Host, log: Log, config: Config, facts: dict[str, Any], remembered: Callable[[str, str], Any]
    ) -> None:
        self.host, self.log, self.facts = host, log, facts
        self.started_at = time.monotonic()
        self.roster = Roster(host, config, remembered)
        self.refit = Refit(self.roster)
        self.renewal = Renewal(host.processes.nursery, self.roster)
        self.wishes = Wishes(self.roster, self.renewal.renew)
        self.gate = Gate(self.roster.homes, config.starting_at_once)
        book = Book(host.ledger, log, self.roster.worker, self._changed)
        self.world = World(book, self.gate, self._finished)
        self.herald = report.Herald(self.roster, self._tell_systemd, self._all_settled)
        self.chaos = Saboteur(self)
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.adopt_access: Callable[[Config], None] = lambda _config: None
        self._top: asyncio.Task[Any] | None = None
        self._reloading = asyncio.Lock()
        self._upgrade: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def config(self) -> Config:
        """The config in force."""
        return self.roster.config

    # -- running ------------------------------------------------------------------------------------------------------

    def run(self, counts: dict[str, int]) -> None:
        """Start (or go on with) everything."""
        self.roster.build(self.world, counts)
        self.renewal.ensure(self.config)

    def begin(self) -> None:
        """Let the keepers keep; what runs already is adopted in the first turn."""
        self._top = asyncio.create_task(self.roster.top.live(lambda _phase: None), name="the service")
        self._top.add_done_callback(self._top_ended)
        for shelf in self.roster.shelves.values():
            shelf.fill(0.1)
        self.herald.changed()

    def _top_ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or self.over.done():
            return
        if (error := task.exception()) is not None:
            self.over.set_exception(error)  # a mistake of ours: this supervisor dies of it, the next one goes on
        else:
            self.finish("somebody escalated, and there is no group above", 10)

    async def stop_all(self) -> None:
        """Every worker down, in reverse order of need; then the standbys."""
        self.herald.leave()
        undoing = asyncio.create_task(self.chaos.ongoing.undo(list(self.chaos.ongoing.faults), "stopping"))
        await asyncio.wait([undoing], timeout=UNDONE_WITHIN)  # first: a SIGTERM that is ignored at that moment is lost
        if self._top is not None:
            self._top.cancel()
            await asyncio.wait([self._top])
            if not self._top.cancelled() and (error := self._top.exception()) is not None:
                traceback.print_exception(error)  # a mistake of ours; the anchor leaves nothing alive all the same
        await self.refit.done()
        await undoing
        await asyncio.gather(*(shelf.closed() for shelf in self.roster.shelves.values()))
        self.herald.close()

    def finish(self, reason: str, code: int) -> None:
        """Begin to stop; the first reason counts."""
        if not self.over.done():
            self.host.ledger.put("stopping", {"reason": reason, "code": code})
            self.host.announce("supervisor.stopping", reason=reason)
            self.over.set_result(code)

    def resume_stopping(self, code: int) -> None:
        """Go on with the stop that an earlier supervisor began: what runs is put down, what does not is not started."""
        self.over.set_result(code)
        self.gate.close()

    def hurry(self) -> None:
        """Stop at once: no grace any more."""
        if not self.host.hurry.done():
            self.host.hurry.set_result(None)

    def _finished(self, keeper: Account, verdict: Verdict) -> None:
        if verdict is Verdict.DONE:
            self.finish(f"{keeper.kind} {keeper.name} completed, and is significant", 0)
        else:
            self.finish(f"{keeper.kind} {keeper.name} was given up", 10)

    def _changed(self, keeper: Account) -> None:
        worker = self.roster.worker(keeper.name) if keeper.kind == "worker" else None
        self.gate.note(worker.spec.name if worker is not None else keeper.name)
        self.herald.changed()
        self.chaos.changed()
        if keeper.phase is Phase.STOPPING:
            self.chaos.ongoing.stopping(keeper.name)

    def _all_settled(self) -> None:
        if not self.facts["resumes"]:
            took = time.monotonic() - self.started_at
            self.host.announce(
                "supervisor.ready", status=report.sentence(self.roster.keepers.values()), took_s=round(took, 3)
            )

    def _tell_systemd(self, text: str) -> None:
        if self.facts["systemd"]:
            self.host.ledger.ask({"op": "notify", "text": text})

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """A task of ours that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- control.Service ----------------------------------------------------------------------------------------------

    async def status(self, worker: str | None) -> dict[str, Any]:
        """Everything `status --json` shows, or what concerns one worker or group."""
        facts, roster = self.facts, self.roster
        meant = None if worker is None else {keeper.name for keeper in everyone(self.wishes.meant([worker]))}
        return {
            "supervisor": {
                "name": self.config.name,
                "pid": os.getpid(),
                "anchor_pid": facts["anchor_pid"],
                "instance_id": facts["instance_id"],
                "uptime_s": round(time.monotonic() - facts["since"], 3),
                "resumes": facts["resumes"],
            },
            "workers": await report.worker_rows(roster, meant),
            "groups": report.group_rows(roster, meant),
            "status": report.sentence(roster.keepers.values()),
        }

    async def start(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them up."""
        return await self.wishes.start(workers, wait=wait)

    async def stop(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them down."""
        return await self.wishes.stop(workers, wait=wait)

    async def restart(self, workers: list[str], *, rolling: bool, wait: bool) -> dict[str, Any]:
        """A new life for each."""
        return await self.wishes.restart(workers, rolling=rolling, wait=wait)

    async def release(self, workers: list[str]) -> dict[str, Any]:
        """Out of quarantine."""
        return self.wishes.release(workers)

    async def scale(self, worker: str, replicas: int) -> dict[str, Any]:
        """Have so many replicas."""
        if worker not in self.config.workers:
            raise Refused(f"no worker is called {worker!r}{suggestion(worker, self.config.workers)}")
        if not 1 <= replicas <= MOST_REPLICAS:
            raise Refused(f"replicas: {replicas} is not between 1 and {MOST_REPLICAS}; use `stop` for none")
        async with self._reloading:
            homes = self.roster.homes(worker)
            if not homes:
                raise Refused(f"{worker} is still on its way after a reload")
            home = self.roster.home_of(homes[0])
            if home.spec.strategy is Strategy.REST_FOR_ONE:
                raise Refused(
                    f"{worker} is a member of {home.name}, which is rest_for_one: change `replicas` and reload"
                )
            before = self.roster.counts[worker]
            tasks = self.refit.scale(worker, replicas)
            self.host.ledger.put("counts", self.roster.counts)
        await asyncio.gather(*tasks)  # a slow stop, which holds up nobody else
        return {"worker": worker, "before": before, "replicas": replicas}

    async def reload(self, *, diff: bool, source: str | None = None) -> dict[str, Any]:
        """Follow the config file (or `source` in its place), or only say what that would do."""
        began, source = time.monotonic(), source or self.config.source
        async with self._reloading:
            try:
                new = configs.load(source)
            except BadConfig as error:
                problems = [str(problem) for problem in error.problems]
                if not diff:
                    self.host.announce("config.rejected", source=source, errors="; ".join(problems)[:2000])
                raise Failed("\n".join(["the config is bad, the old one stays:", *problems])) from error
            new = msgspec.structs.replace(new, name=self.config.name)  # `--name` outranks the file's
            plan = difference(self.config, new)
            stale = await self.renewal.stale()
            changes = "\n".join([str(plan), *(f"~ template {name} is rebuilt: {why}" for name, why in stale.items())])
            if diff:
                return {"changes": changes}
            self.herald.reloading()
            try:
                tasks = self._follow(new, rebuilt={*plan.rebuilt, *stale})
            finally:
                self.herald.reloaded()
            self.host.announce("supervisor.reloaded", changes=changes, took_s=round(time.monotonic() - began, 3))
        await asyncio.gather(*tasks)
        return {"changes": changes}

    def _follow(self, new: Config, *, rebuilt: set[str]) -> Tasks:
        """Become what the new config says; the log keeps the memory it was given."""
        keep = msgspec.structs.replace(new, recent=self.config.recent)
        self.note_config(keep)
        self.host.path, self.host.chaos = keep.path, keep.chaos.enabled
        if keep.path != self.config.path:
            rebuilt |= set(keep.templates)  # they import from there
        self.renewal.rebuild(rebuilt, keep)
        self.renewal.ensure(keep)
        tasks = self.refit.follow(keep)
        self.host.ledger.put("counts", self.roster.counts)
        self.gate.resize(keep.starting_at_once)
        self.renewal.retire_unused(keep)
        self.adopt_access(keep)
        self.chaos.reloaded()
        return tasks

    def note_config(self, config: Config) -> None:
        """What the next supervisor goes by: the config as it was accepted, whatever the file says by then."""
        fd = os.memfd_create("config")
        os.write(fd, msgspec.json.encode(config))
        self.host.ledger.put("config", {"source": config.source}, [fd])

    async def upgrade(self) -> dict[str, Any]:
        """New code takes over; we answer before we leave."""
        if self._upgrade is not None:
            raise Refused("an upgrade is under way")
        self._upgrade = asyncio.get_running_loop().create_future()
        self.host.ledger.ask({"op": "upgrade"})
        try:
            await self._upgrade
        finally:
            self._upgrade = None
        return {"upgraded": True}

    def upgrade_over(self, why: str | None) -> None:
        """The anchor's answer: None when the new code is able to take over."""
        if self._upgrade is None or self._upgrade.done():
            return
        if why is None:
            self._upgrade.set_result(None)
        else:
            self.host.announce("supervisor.upgrade_failed", why=why)
            self._upgrade.set_exception(Failed(f"the new code cannot start, the old one stays: {why}"))

    async def shutdown(self) -> None:
        """Begin to stop."""
        self.finish("asked by a client", 0)

    async def follow(self, sock: socket.socket, wanted: dict[str, Any], *, follow: bool) -> None:
        """Give a client to the pump."""
        self.host.processes.outlet.follow(sock, wanted, follow=follow)
