"""Faults on purpose, in the service: each checked, written down, announced, done, and undone whatever becomes of the client.

The rules kept here:
- All that is asked for is checked before any of it is done, and nothing is done before it is noted and announced.
- One injection is one fault on one worker (or on a part of the service), and has a chaos_id of its own.
- What goes on after that is `ongoing`'s.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.chaos import catalogue, inside, leash
from supervisor.chaos.fault import INSIDE, PART, Impossible, read_parameters
from supervisor.chaos.ongoing import Injected, Ongoing
from supervisor.chaos.standing import standings
from supervisor.requests import Refused, Usage, suggestion

if TYPE_CHECKING:
    from supervisor.chaos.fault import Fault, Scene
    from supervisor.requests import Inject
    from supervisor.service import Service
    from supervisor.spec import ChaosRules
    from supervisor.worker import Worker

SECONDS = 10.0  # a lasting fault goes on, if nobody says how long
LONGEST = 3600.0
DESCRIBED_FOR = 10.0  # seconds: what a machine can do changes rarely, and looking takes 10 ms
LOOKED_AT = 0.05  # seconds between a change and the look whether enough are ready
REFUSALS_TOLD_EVERY = 0.1


class Saboteur:
    """Implements control.Chaos for a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self.ongoing = Ongoing(service)
        self._about_to_hit: list[str] = []  # workers of requests that are being carried out
        self._just_hit: dict[str, tuple[str, float]] = {}  # worker -> the spawn that was hit, and when
        self._look: asyncio.TimerHandle | None = None
        self._aborted = False
        self._described: list[dict[str, Any]] = []
        self._described_until = 0.0
        self._told_at = 0.0

    @property
    def _rules(self) -> ChaosRules:
        return self._service.config.chaos

    # -- control.Chaos ----------------------------------------------------------------------------------------------------

    async def describe(self) -> dict[str, Any]:
        """What may be done here, to whom, and what is being done."""
        if self._loop.time() > self._described_until:
            described = []
            for kind in catalogue.kinds():
                described.append(catalogue.describe(kind))
                await asyncio.sleep(0)  # the first time, each is imported
            self._described, self._described_until = described, self._loop.time() + DESCRIBED_FOR
        hittable = leash.may_hit(self._rules, self._standings())
        return {
            "enabled": self._rules.enabled,
            "settings": {key: it for key, it in msgspec.to_builtins(self._rules).items() if key != "enabled"},
            "may_hit": [one.name for one in hittable],
            "ready": [one.name for one in hittable if one.ready and not one.hit],
            "kinds": self._described,
            "active": [one.told() for one in self.ongoing.faults.values()],
        }

    async def inject(self, request: Inject) -> dict[str, Any]:
        """Do it to each of the workers, or to a part of the service; all of them are checked before any is done."""
        try:
            fault, parameters, workers = self._checked(request)
        except (Refused, Usage) as error:
            self._tell_refused(request, str(error))
            raise
        if request.dry_run:
            would = [Injected("", fault.kind, 0.0, worker.name if worker else None) for worker in workers]
            return {"faults": [each.told() for each in would], "failed": [], "dry_run": True}
        names = [worker.name for worker in workers if worker is not None]
        self._about_to_hit += names
        try:
            return await self._inject_each(request, fault, parameters, workers)
        finally:
            for name in names:
                self._about_to_hit.remove(name)

    async def hold(self, lease: str) -> dict[str, Any]:
        """Wait until the lease is let go; who stops waiting does not hold it any more."""
        return await self.ongoing.hold(lease)

    async def halt(self, lease: str | None, chaos_ids: list[str] | None) -> dict[str, Any]:
        """Undo these faults, those of a lease, or all; what is over already is no news."""
        going_on = [*self.ongoing.faults.values(), *(one for one, _ in self.ongoing.undoing.values())]
        meant = [
            one.chaos_id
            for one in going_on
            if (lease is None or one.lease == lease) and (chaos_ids is None or one.chaos_id in chaos_ids)
        ]
        await self.ongoing.undo(meant, "asked")
        if chaos_ids is None:
            self.ongoing.let_go(lease)
        return {"undone": meant}

    # -- what the service tells us ----------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Some worker got into another phase: soon look whether enough of them are ready."""
        if self._rules.enabled and self._look is None and (self.ongoing.faults or self._just_hit or self._aborted):
            self._look = self._loop.call_later(LOOKED_AT, self._look_whether_enough)

    def reloaded(self) -> None:
        """The config is another: what it allows no more is undone."""
        allowed = {one.name for one in leash.may_hit(self._rules, self._standings())} if self._rules.enabled else set()
        parts = self._rules.enabled and self._rules.parts
        over = [
            one.chaos_id
            for one in self.ongoing.faults.values()
            if not (one.worker in allowed if one.worker is not None else parts)
        ]
        if over:
            self._service.background(self.ongoing.undo(over, "not allowed any more"))
        self.changed()

    def _look_whether_enough(self) -> None:
        self._look = None
        standing = self._standings()
        why, before = leash.floor(self._rules, standing), self._aborted
        self._aborted = why is not None
        if why is not None and not before:
            ready, wanted = leash.available(standing)
            self._service.host.announce(
                "chaos.aborted", ready=ready, wanted=wanted, abort_below=self._rules.abort_below
            )
            self._service.background(self.ongoing.undo(list(self.ongoing.faults), why))

    # -- checking ---------------------------------------------------------------------------------------------------------

    def _checked(self, request: Inject) -> tuple[Fault, dict[str, Any], list[Worker | None]]:
        if not self._rules.enabled:
            raise Refused(leash.DISABLED)
        if self._service.over.done():
            raise Refused("the service is stopping")
        try:
            fault = catalogue.fault(request.kind)
            parameters = read_parameters(fault, request.parameters)
        except KeyError as error:
            raise Usage(str(error.args[0])) from error
        except ValueError as error:
            raise Usage(str(error)) from error
        if request.seconds is not None and not 0 < request.seconds <= LONGEST:
            raise Usage(f"seconds: {request.seconds:g} is not between 0 and {LONGEST:g}")
        why = catalogue.why_not_here(fault.kind)
        if why is not None:
            raise Refused(f"{fault.kind} is impossible here: {why}")
        if (fault.place == PART or fault.of_part) and not self._rules.parts:
            raise Refused("the service's own processes may not be hit: set parts = true under [chaos]")
        if fault.place == PART:
            if request.workers:
                raise Usage(f"{fault.kind} is done to the service itself: name no workers")
            self._check_the_floor(self._standings())
            return fault, parameters, [None]
        return fault, parameters, list(self._targets(fault, list(dict.fromkeys(request.workers))))

    def _targets(self, fault: Fault, names: list[str]) -> list[Worker]:
        if not names:
            raise Usage(f"{fault.kind} is done to workers: name at least one")
        keepers = self._service.roster.keepers
        for name in names:
            if name not in keepers:
                raise Refused(f"no worker is called {name!r}{suggestion(name, keepers)}")
        standing = self._standings()
        self._check_the_floor(standing)
        why = leash.why_not(self._rules, standing, names)
        if why is not None:
            raise Refused(why)
        workers = [worker for name in names if (worker := self._service.roster.worker(name)) is not None]
        for worker in workers:
            process = worker.process
            if not fault.idle and (process is None or process.pid is None or process.exit.done()):
                raise Refused(f"{worker.name} has no process at the moment")
        return workers

    def _check_the_floor(self, standing: list[leash.Standing]) -> None:
        why = leash.floor(self._rules, standing)
        if why is not None:
            raise Refused(why)

    def _standings(self) -> list[leash.Standing]:
        now = time.monotonic()
        for name, (spawn_id, at) in list(self._just_hit.items()):
            worker = self._service.roster.worker(name)
            process = worker.process if worker is not None else None
            if process is None or process.spawn_id != spawn_id or now - at > leash.HIT_FOR:
                del self._just_hit[name]
        on = {one.worker for one in self.ongoing.faults.values()}
        on |= {one.worker for one, _ in self.ongoing.undoing.values()}
        return standings(self._service.roster, {*on, *self._just_hit, *self._about_to_hit})

    def _tell_refused(self, request: Inject, why: str) -> None:
        now = self._loop.time()
        if now - self._told_at >= REFUSALS_TOLD_EVERY:
            self._told_at = now
            self._service.host.announce(
                "chaos.refused", kind=request.kind[:40], workers=request.workers[:20], why=why[:1000]
            )

    # -- doing ------------------------------------------------------------------------------------------------------------

    async def _inject_each(
        self, request: Inject, fault: Fault, parameters: dict[str, Any], workers: list[Worker | None]
    ) -> dict[str, Any]:
        """One after another; what was true of the last ones when they were checked need not be any more."""
        seconds = (request.seconds or SECONDS) if fault.lasting else None
        done: list[Injected] = []
        failed: list[dict[str, Any]] = []
        for worker in workers:
            try:
                self._check_again(fault, worker)
                done.append(await self._inject_one(fault, worker, parameters, seconds, request.lease))
            except (Impossible, Refused) as why:
                failed.append({"worker": worker.name if worker else None, "why": str(why)})
                sentence = f"{fault.kind}{f' of {worker.name}' if worker else ''}: {why}"
                self._tell_refused(request, sentence)
        if failed and not done:
            raise Refused(sentence)
        return {"faults": [each.told() for each in done], "failed": failed}

    def _check_again(self, fault: Fault, worker: Worker | None) -> None:
        if not self._rules.enabled:
            raise Refused(leash.DISABLED)
        self._check_the_floor(self._standings())
        if worker is not None and not fault.idle and (worker.process is None or worker.process.exit.done()):
            raise Impossible(f"{worker.name} has no process at the moment")

    async def _inject_one(
        self, fault: Fault, worker: Worker | None, parameters: dict[str, Any], seconds: float | None, lease: str | None
    ) -> Injected:
        process = worker.process if worker is not None and not fault.of_part else None
        one = Injected(
            chaos_id=secrets.token_hex(4),
            kind=fault.kind,
            at=time.monotonic(),
            worker=worker.name if worker is not None else None,
            spawn_id=process.spawn_id if process is not None else None,
            pid=process.pid if process is not None else None,
            lease=lease,
            parameters=parameters,
        )
        module, scene = catalogue.module(fault.kind), self.ongoing.scene(one)
        if fault.place == INSIDE and process is not None:
            inside.look_for_hook(process)
        elif hasattr(module, "look"):
            one.kept = module.look(scene)
        before = process.note.get("chaos") if process is not None else None
        if process is not None and worker is not None and worker.life is not None:
            worker.life.hurt_by(one.chaos_id)
            self._just_hit[worker.name] = (process.spawn_id, one.at)
        one.at = time.monotonic()
        if seconds is not None:
            one.until = one.at + seconds
            scene = self.ongoing.scene(one)  # which says for how long
            self.ongoing.note(one)
            self.ongoing.keep(one)
        self.ongoing.announce(one)
        self._service.host.ledger.flush()
        try:
            await self._do(fault, one, scene)
        except (Impossible, OSError) as error:
            self.ongoing.forget(one, "failed", str(error))
            self._service.host.ledger.flush()  # as it was told that it is done: whoever asked may hear of it before we die
            self._just_hit.pop(one.on, None)
            if worker is not None and worker.life is not None and worker.process is process:
                worker.life.hurt_by(before)
            raise Impossible(str(error)) from error
        return one

    async def _do(self, fault: Fault, one: Injected, scene: Scene) -> None:
        module, process = catalogue.module(fault.kind), scene.process
        if fault.place == INSIDE:
            assert process is not None
            await inside.order(self._service.host.processes, process, one.chaos_id, fault.kind, one.parameters)
            if hasattr(module, "seen") and not process.exit.done():
                module.seen(scene)
        elif asyncio.iscoroutine(work := module.inject(scene, one.kept)):
            await work
