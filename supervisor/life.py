"""One life of a worker: spawned (or adopted, or taken from the shelf), ready, beating, ended, reaped, swept.

`live` returns only when the process is dead and nothing it started is left, however it was cancelled. It decides nothing
about what comes next: it gives an Ending, and the keeper judges.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

from supervisor.death import Death, Fault, stillborn
from supervisor.notify import receive
from supervisor.order import identity, order
from supervisor.phase import Phase
from supervisor.readiness import Readiness
from supervisor.spec import Ending, Result
from supervisor.standby import output_of
from supervisor.vigil import Watch
from workers import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.process import Exit, Process
    from supervisor.worker import Worker

SPAWN_TRIES = 3  # times a spawn that never happened (its template died) is asked for again
VIOLATIONS_TOLD = 3  # a worker that talks nonsense is told of so often …
VIOLATIONS_BORNE = 100  # … and put down after so many lines of it


class Life:
    """The life that a Worker has at the moment."""

    def __init__(self, worker: Worker, observed: Callable[[Phase], None]) -> None:
        self.worker, self.host, self.spec = worker, worker.host, worker.spec
        self.observed = observed
        self.process: Process | None = None
        self.watch: Watch | None = None
        self.readiness: Readiness | None = None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Fault | None] = self._loop.create_future()
        self._violations = 0
        self.asked_why = "asked"  # or that another member of its group failed

    # -- the whole of it ----------------------------------------------------------------------------------------------

    async def run(self, adopted: Process | None) -> Ending:
        """From the first moment to the last."""
        fault: Fault | None = None
        asked = False
        for attempt in range(SPAWN_TRIES):
            try:
                self._begin(adopted)
            except OSError as error:
                return stillborn(self.worker.name, f"cannot be spawned: {error}")
            assert self.process is not None
            asked, fault = await self._until_over(self.process)
            death = Death(self, self.process, asked=asked, fault=fault)
            seen = await self._wind_up(death)
            adopted = None
            if seen.status is not None or asked or fault is not None:
                return death.ending(seen)
            if self.process.refused:
                self.host.processes.nursery.refuse(self.spec.template)
            if attempt < SPAWN_TRIES - 1:
                self.host.processes.forget(self.process)
                self._over = self._loop.create_future()
        assert self.process is not None
        death.fault = Fault(Result.RESOURCES, "its template died before it was born")
        return death.ending(seen)

    def _begin(self, adopted: Process | None) -> None:
        if adopted is None or "put_down" not in adopted.note:
            self.observed(Phase.STARTING)
        self.worker.notify_path()  # raises, if at all, while there is nothing to lose
        if adopted is None and self.worker.notify_socket is not None:
            receive(self.worker.notify_socket)  # what an earlier life has left there
        taken = adopted or self.worker.take_standby()
        self.process = process = taken or self._spawn()
        self.worker.life = self
        self.readiness = Readiness(self)
        was_ready = process.note.get("ready_at") is not None
        process.heard = self._heard  # at once, for what was said before anybody listened: it may be `ready`
        process.exit.add_done_callback(lambda _: self._has_ended(process))
        if adopted is None and taken is not None:
            self._announce_spawned("standby")
        if taken is not None and process.go_fd is not None:
            self._go(process)
        if "put_down" in process.note:
            return
        if was_ready:
            self.host.processes.unlisten(process)
            self.observed(Phase.READY)
            self._watch(adopted=True)
        if process.note.get("ready_at") is not None:
            return
        self.host.processes.listen(process)
        if not process.exit.done():
            self.readiness.expect()

    def _spawn(self) -> Process:
        worker, spec = self.worker, self.spec
        request = order(
            spec,
            name=worker.name,
            replica=worker.replica,
            standby=False,
            env=self.host.environment,
            path=self.host.path,
            notify=worker.notify_path(),
            chaos=self.host.chaos,
        )
        label = {"worker": worker.name, "output": output_of(spec)}
        note = {
            "life": worker.name,
            "stacks": spec.target is not None,
            "began_at": time.monotonic(),
            "fingerprint": worker.fingerprint,
        }
        return self.host.processes.spawn(worker.name, request, spec.template, label, note)

    def _go(self, process: Process) -> None:
        """Tell a standby who it is. Said again by a supervisor that does not know whether an earlier one did."""
        assert process.go_fd is not None
        worker = self.worker
        env = identity(self.spec, name=worker.name, replica=worker.replica, notify=worker.notify_path())
        line = wire.encode_go(wire.Go(worker.name, worker.replica, worker.cpus(), env))
        self.host.ledger.flush()  # the note that it is ours comes before it runs
        with contextlib.suppress(OSError):  # it died waiting: its exit tells
            os.write(process.go_fd, line)
        os.close(process.go_fd)
        process.go_fd = None

    def _has_ended(self, process: Process) -> None:
        # The news of one that was never born may arrive when the next try has already begun: it is not about that one.
        if process is self.process:
            self.end(None)

    def end(self, fault: Fault | None) -> None:
        """It is over: the process has ended (None), or shall."""
        if not self._over.done():
            self._over.set_result(fault)

    async def _until_over(self, process: Process) -> tuple[bool, Fault | None]:
        begun = process.note.get("put_down")
        if begun is not None:  # an earlier supervisor was at it
            return begun["asked"], Fault(Result(begun["fault"][0]), *begun["fault"][1:]) if begun["fault"] else None
        if process.exit.done():
            self.end(None)
        try:
            return False, await self._over
        except asyncio.CancelledError as cancelled:
            self.asked_why = str(cancelled) or "asked"
            self.end(None)  # on the way down nothing makes it ready any more
            return True, None

    async def _wind_up(self, death: Death) -> Exit:
        """Dead, reaped and swept when this returns; a cancellation waits until then."""
        if self.readiness is not None:
            self.readiness.close()
        if self.watch is not None:
            self.watch.active = False
        if death.has_come():
            return await death.come()  # no wait in it, so nothing that a cancellation could cut short
        work = self._loop.create_task(death.come())
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(work)
        return work.result()

    # -- what it says -------------------------------------------------------------------------------------------------

    def _heard(self, message: wire.Message | wire.Violation) -> None:
        assert self.readiness is not None
        if isinstance(message, wire.Violation):
            if not self.readiness.newline():
                self._violated(message)
            return
        process = self.process
        assert process is not None
        if message.kind == "hello":
            if "heart" not in process.note:
                process.note["heart"] = False
                self._announce_spawned(
                    "exec" if self.spec.template in self.host.processes.nursery.refusing else self.spec.template
                )
                self.write_down()
            process.note["heart"] = message.fields["heart"]
        elif message.kind == "failed":
            process.note["failed"] = f"{message.fields['what']}: {message.fields['error']}"
            self.write_down()
        elif message.kind == "busy":
            process.note["busy_until"] = message.fields["at"] + message.fields["for"]
            self.write_down()
        if self.watch is not None:
            self.watch.heard(message)
            if message.kind == "beat" and process.note.pop("silent_since", None) is not None:
                self.write_down()
        self.readiness.heard(message)

    def _violated(self, violation: wire.Violation) -> None:
        self._violations += 1
        if self._violations <= VIOLATIONS_TOLD:
            self.say(
                "worker.protocol_violated",
                why=violation.why,
                sample=violation.sample.decode("utf-8", "backslashreplace"),
                count=self._violations,
            )
        if self._violations == VIOLATIONS_BORNE:
            self.end(
                Fault(Result.PROTOCOL, f"{self._violations} lines of nonsense on its pipe, the last: {violation.why}")
            )

    def is_born(self) -> bool:
        """Whether its hello was heard: until then whoever says that it is ready means somebody else."""
        if self.process is not None and self.process.pid is None:
            self.host.processes.drain(self.process)  # said long ago, perhaps, and waiting
        return self.process is not None and self.process.pid is not None

    def ready(self) -> None:
        """It has shown that it is ready, the way its spec says."""
        process = self.process
        if process is None or process.note.get("ready_at") is not None or self._over.done():
            return
        if "put_down" in process.note:  # said before it heard that it shall end
            return
        now = time.monotonic()
        process.note["ready_at"] = now
        self.host.processes.unlisten(process)
        status = self.readiness.status if self.readiness else None
        self.say("worker.ready", ready_s=round(now - process.note["began_at"], 6), status=status)
        self.host.ledger.put(f"spawn/{process.spawn_id}", process.note, process.kept_from_now_on())
        self.observed(Phase.READY)
        self._watch()
        self.worker.refill()

    def _watch(self, *, adopted: bool = False) -> None:
        if self.spec.beat_within is None or self.process is None:
            return
        self.watch = Watch(self.process, self.spec.beat_within, self._hung, self._starved)
        self.watch.status = self.readiness.status if self.readiness is not None else None
        self.watch.busy_until = self.process.note.get("busy_until", 0.0)
        if adopted:
            self.watch.go_on(self.process.note.get("silent_since"), self._unheard)
        self.host.vigil.keep(self.watch)

    def _unheard(self) -> None:
        """Adopted, and silent since: should we be killed before it is hung, the next supervisor counts on from there."""
        assert self.process is not None
        assert self.watch is not None
        self.process.note["silent_since"] = self.watch.last
        self.write_down()

    def _starved(self, silent: float, waited: float) -> None:
        self.say("worker.starved", silent_s=round(silent, 3), waited_s=round(waited, 3))

    def _hung(self, why: str, late: float, state: str) -> None:
        self.end(Fault(Result.WATCHDOG, why, late, state))

    # -- telling ------------------------------------------------------------------------------------------------------

    def _announce_spawned(self, source: str) -> None:
        self.say("worker.spawned", **{"from": source})

    def say(self, event: str, **fields: object) -> None:
        """An event of this life."""
        process = self.process
        assert process is not None
        self.host.announce(event, worker=self.worker.name, spawn_id=process.spawn_id, pid=process.pid, **fields)

    def hurt_by(self, chaos_id: str | None) -> None:
        """Have its ending say which fault was injected last; None: no fault."""
        if self.process is not None:
            self.process.note["chaos"] = chaos_id
            self.write_down()

    def write_down(self) -> None:
        """What the next supervisor must know of its process."""
        assert self.process is not None
        self.host.ledger.put(f"spawn/{self.process.spawn_id}", self.process.note)
