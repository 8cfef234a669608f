"""Faults that go on: kept at the anchor, undone at their time or before it, whatever becomes of client and supervisor.

The rules kept here:
- A lasting fault ends when it is asked to, at its time, when nobody has held its lease for a while, when too few workers
  are ready, with the service, or with what it was done to (a life, a part of the service); whichever comes first.
- What undoing it takes stands at the anchor until it is undone: the next supervisor undoes what this one did.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.chaos import catalogue, inside
from supervisor.chaos.fault import INSIDE, Impossible, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervisor.process import Process
    from supervisor.service import Service

UNHELD = 5.0  # seconds a lease may be held by nobody: a client that lost us comes back sooner
GONE = "the life it was done to has ended"
PART_GONE = "the part of the service it was done to has ended"
MEMORY_GONE = "the supervisor in whose memory it was has ended"


class Injected(msgspec.Struct):
    """A fault that was injected; what stands here of a lasting one is kept at the anchor. Stamps: CLOCK_MONOTONIC."""

    chaos_id: str
    kind: str
    at: float
    worker: str | None = None
    spawn_id: str | None = None
    pid: int | None = None
    until: float | None = None
    lease: str | None = None
    parameters: dict[str, Any] = {}
    kept: dict[str, Any] = {}

    @property
    def part(self) -> int | None:
        """The pid of the part of the service it was done to, where it ends with that."""
        return self.kept.get("part")

    @property
    def on(self) -> str:
        """What it was done to, in words."""
        return self.worker or "the service"

    def told(self) -> dict[str, Any]:
        """What a client sees of it."""
        return {
            name: getattr(self, name)
            for name in ("chaos_id", "kind", "worker", "spawn_id", "pid", "at", "until", "lease")
        }


class Ongoing:
    """The faults that go on in a service, and who holds them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self.faults: dict[str, Injected] = {}
        self.undoing: dict[str, tuple[Injected, asyncio.Future[None]]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._holders: dict[str, int] = {}
        self._let_go: dict[str, asyncio.Future[None]] = {}
        self._unheld: dict[str, asyncio.TimerHandle] = {}

    def adopt(self, notes: Iterable[dict[str, Any]]) -> None:
        """Go on with the faults an earlier supervisor injected."""
        for note in notes:
            one = msgspec.convert(note, Injected)
            try:
                fault = catalogue.fault(one.kind)
            except KeyError as error:  # of another version
                self.forget(one, "resumed", f"could not be undone: {error.args[0]}")
                continue
            if fault.fleeting:
                self.forget(one, "resumed", MEMORY_GONE)
            elif one.part is not None and one.part not in self._parts():
                self.forget(one, "ended", PART_GONE)
            elif one.worker is not None and self.process(one) is None and not fault.idle and not fault.outlives:
                self.forget(one, "ended", GONE)
            else:
                self.keep(one)
                process = self.process(one)
                if fault.outlives and (process is None or "put_down" in process.note):
                    self._begin_to_undo([one.chaos_id], "ended")

    def keep(self, one: Injected) -> None:
        """It goes on until its time: see to its end."""
        assert one.until is not None
        self.faults[one.chaos_id] = one
        left = max(0.0, one.until - time.monotonic())
        self._timers[one.chaos_id] = self._loop.call_later(left, self._begin_to_undo, [one.chaos_id], "over")
        process = self.process(one)
        if process is not None and not catalogue.fault(one.kind).idle:
            process.exit.add_done_callback(lambda _: self._life_ended(one))
        if one.lease is not None:
            self._nobody_holds(one.lease)

    def announce(self, one: Injected) -> None:
        """Say that it is injected now."""
        self._service.host.announce(
            "chaos.injected",
            worker=one.worker,
            spawn_id=one.spawn_id,
            pid=one.pid,
            on=one.on,
            chaos_id=one.chaos_id,
            kind=one.kind,
            parameters=one.parameters or None,
            for_s=None if one.until is None else round(one.until - one.at, 6),
        )

    def note(self, one: Injected) -> None:
        """Write it down at the anchor."""
        self._service.host.ledger.put(f"chaos/{one.chaos_id}", one)

    def scene(self, one: Injected) -> Scene:
        """What its file gets to see."""
        worker = self._service.roster.worker(one.worker) if one.worker is not None else None
        seconds = one.until - one.at if one.until is not None else None
        return Scene(self._service, worker, self.process(one), one.chaos_id, seconds, one.parameters)

    def process(self, one: Injected) -> Process | None:
        """The process it was done to, while that lives."""
        worker = self._service.roster.worker(one.worker) if one.worker is not None else None
        process = (worker.process or worker.adopted) if worker is not None else None
        return process if process is not None and process.spawn_id == one.spawn_id else None

    # -- leases -----------------------------------------------------------------------------------------------------------

    async def hold(self, lease: str) -> dict[str, Any]:
        """Wait until the lease is let go (by `halt`); who stops waiting does not hold it any more."""
        self._holders[lease] = self._holders.get(lease, 0) + 1
        timer = self._unheld.pop(lease, None)
        if timer is not None:
            timer.cancel()
        over = self._let_go.setdefault(lease, self._loop.create_future())
        try:
            await asyncio.shield(over)
        finally:
            self._holders[lease] -= 1
            if not self._holders[lease]:
                del self._holders[lease]
                self._let_go.pop(lease, None)
                self._nobody_holds(lease)
        return {"lease": lease}

    def let_go(self, lease: str | None) -> None:
        """Tell who holds this lease, or any, that it is over."""
        for name, over in list(self._let_go.items()):
            if lease in {None, name} and not over.done():
                over.set_result(None)

    # -- undoing ----------------------------------------------------------------------------------------------------------

    def _life_ended(self, one: Injected) -> None:
        if one.chaos_id not in self.faults:
            return
        if catalogue.fault(one.kind).outlives:
            self._begin_to_undo([one.chaos_id], "ended")
        else:
            self.forget(one, "ended", GONE)

    def stopping(self, worker: str) -> None:
        """A worker is being put down: nothing of ours may keep it from that."""
        of_it = [one for one in self.faults.values() if one.worker == worker]
        held = [one.chaos_id for one in of_it if catalogue.fault(one.kind).outlives]
        if held:
            self._begin_to_undo(held, "ended")

    def part_ended(self, pid: int | None) -> None:
        """A part of the service has ended, and with it what was done to it."""
        for one in [one for one in self.faults.values() if one.part == pid and pid is not None]:
            self.forget(one, "ended", PART_GONE)

    def _parts(self) -> set[int | None]:
        processes = self._service.host.processes
        return {processes.outlet.pid, *(each.pid for each in processes.nursery.templates.values())}

    def _nobody_holds(self, lease: str) -> None:
        if lease in self._holders or lease in self._unheld or not self._of(lease):
            return
        self._unheld[lease] = self._loop.call_later(UNHELD, self._give_up, lease)

    def _give_up(self, lease: str) -> None:
        del self._unheld[lease]
        self._begin_to_undo(self._of(lease), "client gone")

    def _of(self, lease: str) -> list[str]:
        return [one.chaos_id for one in self.faults.values() if one.lease == lease]

    def _begin_to_undo(self, chaos_ids: list[str], reason: str) -> None:
        self._service.background(self.undo(chaos_ids, reason))

    async def undo(self, chaos_ids: list[str], reason: str) -> None:
        """Put them right, all at once, and return when that is done, by us or another; what is over already is no news."""
        await asyncio.gather(*(self._undo(chaos_id, reason) for chaos_id in chaos_ids))

    async def _undo(self, chaos_id: str, reason: str) -> None:
        one = self.faults.pop(chaos_id, None)
        if one is None:
            if chaos_id in self.undoing:
                await asyncio.shield(self.undoing[chaos_id][1])
            return
        self.undoing[chaos_id] = (one, self._loop.create_future())
        try:
            how = await self._put_right(one)
        except Impossible as why:
            how = str(why)
        except Exception as error:  # noqa: BLE001 - a fault's own mistake: told, and the others are undone all the same
            traceback.print_exc()
            how = f"could not be undone: {error}"
        finally:
            self.undoing.pop(chaos_id)[1].set_result(None)
        self.forget(one, reason, how)

    async def _put_right(self, one: Injected) -> str:
        fault, scene = catalogue.fault(one.kind), self.scene(one)
        if fault.place != INSIDE:
            told = catalogue.module(one.kind).undo(scene, one.kept)
            return str(await told if asyncio.iscoroutine(told) else told)
        if scene.process is None:
            return GONE
        why = await inside.undo(self._service.host.processes, scene.process, one.chaos_id)
        if why is None:
            return fault.undone
        if scene.process.exit.done():
            return GONE
        self._service.host.processes.signal_tree(scene.process, 9)
        return f"killed, for {why}"

    def forget(self, one: Injected, reason: str, how: str) -> None:
        """It is over: `reason` says for what cause, `how` what was done about it."""
        self.faults.pop(one.chaos_id, None)
        timer = self._timers.pop(one.chaos_id, None)
        if timer is not None:
            timer.cancel()
        self._service.host.ledger.drop(f"chaos/{one.chaos_id}")
        self._service.host.announce(
            "chaos.undone",
            worker=one.worker,
            on=one.on,
            chaos_id=one.chaos_id,
            kind=one.kind,
            reason=reason,
            how=how,
            lasted_s=round(time.monotonic() - one.at, 6),
        )
