"""The service: everything a supervisor decides, put together, and what its clients may ask of it.

The daemon makes one, from a config or from what an earlier supervisor left at the anchor; from then on it runs until it is
told to stop, to leave for a newer version, or until something significant is given up.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor import config as configs
from supervisor import report
from supervisor.book import Book
from supervisor.config import BadConfig
from supervisor.gate import Gate
from supervisor.notify import ready, reloading, stopping
from supervisor.nursery import BARE
from supervisor.phase import Phase
from supervisor.plan import difference
from supervisor.requests import Failed, Refused, Usage, suggestion
from supervisor.roster import Roster
from supervisor.spec import Strategy, TemplateSpec, Verdict
from supervisor.world import World

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from supervisor.account import Account
    from supervisor.host import Host
    from supervisor.keeper import Keeper
    from supervisor.log import Log
    from supervisor.spec import Config

MOST_REPLICAS = 10_000


class Service:
    """Implements control.Service. `facts` are those of the anchor's hello."""

    def __init__(
        self, host: Host, log: Log, config: Config, facts: dict[str, Any], remembered: Callable[[str, str], Any]
    ) -> None:
        self.host, self.log, self.facts = host, log, facts
        self.started_at = time.monotonic()
        self.roster = Roster(host, config, remembered)
        self.gate = Gate(self.roster.homes, config.starting_at_once)
        book = Book(host.ledger, log, self.roster.worker, self._changed)
        self.world = World(book, self.gate, self._finished)
        self.herald = report.Herald(self.roster, self._tell_systemd, self._all_settled)
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
        self.ensure_templates(self.config)

    def begin(self) -> None:
        """Let the keepers keep; what runs already is adopted in the first turn."""
        self._top = asyncio.create_task(self.roster.top.live(lambda _phase: None), name="the service")
        self._top.add_done_callback(self._top_ended)
        for shelf in self.roster.shelves.values():
            shelf.fill(0.1)
        self.herald.changed()

    def ensure_templates(self, config: Config) -> None:
        """Those that a worker of the config uses, and the bare one."""
        for name in used_templates(config):
            self.host.processes.nursery.ensure(template_spec(config, name))

    def _top_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None and not self.over.done():
            self.over.set_exception(task.exception() or RuntimeError("the top ended"))

    async def stop_all(self) -> None:
        """Every worker down, in reverse order of need; then the standbys."""
        self.herald.close()
        self._tell_systemd(stopping("stopping"))
        if self._top is not None:
            self._top.cancel()
            await asyncio.wait([self._top])
        await asyncio.gather(*(shelf.closed() for shelf in self.roster.shelves.values()))

    def finish(self, reason: str, code: int) -> None:
        """Begin to stop; the first reason counts."""
        if not self.over.done():
            self.host.ledger.put("stopping", {"reason": reason, "code": code})
            self.host.announce("supervisor.stopping", reason=reason)
            self.over.set_result(code)

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

    # -- who is meant -------------------------------------------------------------------------------------------------

    def _meant(self, patterns: list[str]) -> list[Keeper]:
        """Keepers by name or glob: of a worker, of all replicas of a spec, or of a group."""
        if not patterns:
            raise Usage("which workers? name at least one, or '*' for all")
        known = {**{name: [keeper] for name, keeper in self.roster.keepers.items()}}
        for name in (*self.config.workers, *self.config.groups):
            known.setdefault(name, self.roster.homes(name))
        found: dict[str, Keeper] = {}
        for pattern in patterns:
            matching = known.get(pattern) or [
                keeper for name, keeper in self.roster.keepers.items() if fnmatch.fnmatchcase(name, pattern)
            ]
            if not matching:
                raise Refused(f"no worker or group is called {pattern!r}{suggestion(pattern, known)}")
            found.update((keeper.name, keeper) for keeper in matching)
        return list(found.values())

    # -- control.Service ----------------------------------------------------------------------------------------------

    def status(self, worker: str | None) -> dict[str, Any]:
        """Everything `status --json` shows."""
        facts, roster = self.facts, self.roster
        meant = {keeper.name for keeper in self._meant([worker])} if worker else None
        rows = [
            report.show_worker(keeper, roster_worker.show())
            for name, keeper in roster.keepers.items()
            if (meant is None or name in meant) and (roster_worker := roster.worker(name)) is not None
        ]
        groups = [
            report.show_group(keeper, str(self.config.groups[name].strategy))
            for name, keeper in roster.groups.items()
            if name in self.config.groups and (meant is None or name in meant)
        ]
        return {
            "supervisor": {
                "name": self.config.name,
                "pid": os.getpid(),
                "anchor_pid": facts["anchor_pid"],
                "instance_id": facts["instance_id"],
                "uptime_s": round(time.monotonic() - facts["since"], 3),
                "resumes": facts["resumes"],
            },
            "workers": rows,
            "groups": groups,
            "status": report.sentence(roster.keepers.values()),
        }

    async def start(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them up."""
        meant = self._meant(workers)
        for keeper in meant:
            keeper.start()
        if wait:
            await asyncio.gather(*(keeper.until(lambda it: it.settled) for keeper in meant))
        return self._told("started", meant)

    async def stop(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them down."""
        meant = self._meant(workers)
        for keeper in meant:
            keeper.stop()
        if wait:
            await asyncio.gather(*(keeper.until(lambda it: it.is_down) for keeper in meant))
        return self._told("stopped", meant)

    async def restart(self, workers: list[str], *, rolling: bool, wait: bool) -> dict[str, Any]:
        """A new life for each; rolling: the next when the one before is ready again."""
        meant = self._meant(workers)
        await self._refresh_templates({self._template_of(keeper) for keeper in meant})
        if rolling:
            for at, keeper in enumerate(meant):
                await self._restart_one(keeper)
                if keeper.phase is not Phase.READY and keeper.verdict is None:
                    left = ", ".join(other.name for other in meant[at + 1 :]) or "none"
                    raise Failed(f"{keeper.name} is {keeper.phase} after its restart: halted (not restarted: {left})")
        else:
            waits = [self._restart_one(keeper) for keeper in meant]
            if wait:
                await asyncio.gather(*waits)
            else:
                for each in waits:
                    self.background(each)
        return self._told("restarted", meant)

    async def _restart_one(self, keeper: Keeper) -> None:
        before = keeper.restarts
        keeper.restart()
        await keeper.until(
            lambda it: ((it.restarts > before or it.kind == "group") and it.settled) or it.phase is Phase.QUARANTINED
        )

    def _template_of(self, keeper: Keeper) -> str:
        worker = self.roster.worker(keeper.name)
        return worker.spec.template if worker is not None else BARE

    async def release(self, workers: list[str]) -> dict[str, Any]:
        """Out of quarantine."""
        meant = self._meant(workers)
        released = [keeper for keeper in meant if keeper.phase is Phase.QUARANTINED]
        for keeper in meant:
            keeper.release()
        return self._told("released", released)

    async def scale(self, worker: str, replicas: int) -> dict[str, Any]:
        """Have so many replicas."""
        if worker not in self.config.workers:
            raise Refused(f"no worker is called {worker!r}{suggestion(worker, self.config.workers)}")
        if not 1 <= replicas <= MOST_REPLICAS:
            raise Refused(f"replicas: {replicas} is not between 1 and {MOST_REPLICAS}; use `stop` for none")
        async with self._reloading:
            home = self.roster.home_of(self.roster.homes(worker)[0])
            if home.spec.strategy is Strategy.REST_FOR_ONE:
                raise Refused(
                    f"{worker} is a member of {home.name}, which is rest_for_one: change `replicas` and reload"
                )
            before = self.roster.counts[worker]
            await self.roster.scale(worker, replicas)
            self.host.ledger.put("counts", self.roster.counts)
        return {"worker": worker, "before": before, "replicas": replicas}

    async def reload(self, *, diff: bool) -> dict[str, Any]:
        """Follow the config file, or only say what that would do."""
        began = time.monotonic()
        async with self._reloading:
            try:
                new = configs.load(self.config.source)
            except BadConfig as error:
                problems = [str(problem) for problem in error.problems]
                if not diff:
                    self.host.announce("config.rejected", source=self.config.source, errors="; ".join(problems)[:2000])
                raise Failed("\n".join(["the config is bad, the old one stays:", *problems])) from error
            plan = difference(self.config, new)
            stale = await self._stale_templates()
            changes = "\n".join(
                [str(plan), *(f"~ template {name}: {path} has changed" for name, path in stale.items())]
            )
            if diff:
                return {"changes": changes}
            self._tell_systemd(reloading(time.monotonic_ns() // 1000))
            keep = msgspec.structs.replace(new, name=self.config.name, recent=self.config.recent)
            self.note_config(keep)
            self.host.path = keep.path
            nursery = self.host.processes.nursery
            for name in {*plan.rebuilt, *stale} & set(nursery.templates):
                nursery.rebuild(template_spec(keep, name))
                self._renew_shelves(name)
            self.ensure_templates(keep)
            await self.roster.follow(keep)
            self.host.ledger.put("counts", self.roster.counts)
            self.gate.resize(keep.starting_at_once)
            for name in set(nursery.templates) - used_templates(keep):
                nursery.retire(name)
            self.adopt_access(keep)
            self.host.announce("supervisor.reloaded", changes=changes, took_s=round(time.monotonic() - began, 3))
            self._tell_systemd(ready(report.sentence(self.roster.keepers.values())))
            return {"changes": changes}

    def note_config(self, config: Config) -> None:
        """What the next supervisor goes by: the config as it was accepted, whatever the file says by then."""
        fd = os.memfd_create("config")
        os.write(fd, msgspec.json.encode(config))
        self.host.ledger.put("config", {"source": config.source}, [fd])

    async def _stale_templates(self) -> dict[str, str]:
        templates = self.host.processes.nursery.templates
        found = await asyncio.gather(*(template.stale() for template in templates.values()))
        return {name: path for name, path in zip(templates, found, strict=True) if path is not None}

    async def _refresh_templates(self, names: set[str]) -> None:
        for name in set(await self._stale_templates()) & names:
            self.host.processes.nursery.rebuild(template_spec(self.config, name))
            self._renew_shelves(name)

    def _renew_shelves(self, template: str) -> None:
        for name, shelf in self.roster.shelves.items():
            if shelf.spec.template == template:
                self.roster.renew_shelf(name)

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

    @staticmethod
    def _told(what: str, meant: list[Keeper]) -> dict[str, Any]:
        return {what: [keeper.name for keeper in meant], "phases": {keeper.name: str(keeper.phase) for keeper in meant}}


def used_templates(config: Config) -> set[str]:
    """The templates that workers of the config are forked from, and the bare one."""
    return {spec.template for spec in config.workers.values()} | {BARE}


def template_spec(config: Config, name: str) -> TemplateSpec:
    """The spec of a template; the bare one need not be in the config."""
    return config.templates.get(name) or TemplateSpec(name=name)
