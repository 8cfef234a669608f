"""Standbys: workers that have done everything but start their main function, waiting for a `go`.

One shelf per spec, shared by its replicas. A standby is taken at once and replaced later, off the critical path; one that
dies waiting is replaced more and more slowly, because nobody is waiting for it.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from supervisor import forensics
from supervisor.order import order
from workers.wire import Message, Violation

if TYPE_CHECKING:
    from supervisor.host import Host
    from supervisor.process import Process
    from supervisor.spec import ChildSpec

REFILL_AFTER = 0.02  # seconds: the worker that took the last one comes first
SLOWEST = 30.0


class Shelf:
    """The standbys of one spec."""

    def __init__(self, host: Host, spec: ChildSpec, fingerprint: str) -> None:
        self._host, self.spec, self._fingerprint = host, spec, fingerprint
        self._loop = asyncio.get_running_loop()
        self._standbys: dict[Process, bool] = {}  # -> has it said `prepared`?
        self._dismissed: set[Process] = set()  # not wanted any more, and not dead yet
        self._failures = 0
        self._refill: asyncio.TimerHandle | None = None
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def prepared(self) -> int:
        """How many could take over now."""
        return sum(ready for process, ready in self._standbys.items() if process not in self._dismissed)

    def standbys(self) -> list[Process]:
        """Those that wait or prepare, and are wanted still."""
        return [process for process in self._standbys if process not in self._dismissed]

    def fill(self, after: float = REFILL_AFTER) -> None:
        """Have as many as the spec says, soon; no more than that, now."""
        for process in list(self._standbys)[self.spec.standby :]:
            self._dismiss(process)
        if self._refill is None and not self._closed and len(self._standbys) < self.spec.standby:
            self._refill = self._loop.call_later(after, self._spawn_one)

    def _spawn_one(self) -> None:
        self._refill = None
        if self._closed or len(self._standbys) >= self.spec.standby:
            return
        host, spec = self._host, self.spec
        request = order(
            spec,
            name=spec.name,
            replica=0,
            standby=True,
            env=host.environment,
            path=host.path,
            notify=None,
            chaos=host.chaos,
        )
        label = {"worker": spec.name, "output": output_of(spec)}
        try:
            note = {"standby": spec.name, "stacks": spec.target is not None, "fingerprint": self._fingerprint}
            process = host.processes.spawn(spec.name, request, spec.template, label, note)
        except OSError:
            self._later()
            return
        self.keep(process)
        self.fill(0.0)

    def keep(self, process: Process) -> None:
        """Watch over one that was spawned, by us or by an earlier supervisor."""
        self._standbys[process] = bool(process.note.get("prepared"))
        self._loop.call_later(self.spec.ready_within, self._late, process)
        process.heard = lambda message: self._heard(process, message)
        process.exit.add_done_callback(lambda _: self._ended(process))
        if process.note.get("fingerprint", self._fingerprint) != self._fingerprint:
            self._dismiss(process)  # a reload was cut short: it was made from what is now old

    def take(self) -> Process | None:
        """One that is ready to go, which is no longer a standby; None if there is none."""
        for process, prepared in self._standbys.items():
            if prepared and process not in self._dismissed and not process.exit.done():
                del self._standbys[process]
                return process
        return None

    def lose(self, spawn_id: str, why: str) -> None:
        """One that cannot be kept is put down; another takes its place."""
        for process in self._standbys:
            if process.spawn_id == spawn_id:
                self._standbys[process] = False
                process.note["failed"] = why
                self._put_down(process)

    def close(self) -> None:
        """Put all of them down; they have nothing to lose."""
        self._closed = True
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        for process in self._standbys:
            self._dismiss(process)

    def _dismiss(self, process: Process) -> None:
        self._dismissed.add(process)
        self._put_down(process)

    def _put_down(self, process: Process) -> None:
        """One that is not born yet hears it with its hello."""
        self._host.processes.signal_tree(process, signal.SIGKILL)

    async def closed(self) -> None:
        """Wait until none of them is left."""
        self.close()
        while self._standbys or self._tasks:
            waiting: list[asyncio.Future[Any]] = [process.exit for process in self._standbys]
            await asyncio.wait([*waiting, *self._tasks])
            await asyncio.sleep(0)

    def _heard(self, process: Process, message: Message | Violation) -> None:
        if isinstance(message, Violation) or process not in self._standbys:
            return
        if message.kind == "hello":
            process.note["heart"] = message.fields["heart"]
            if process in self._dismissed or "failed" in process.note:
                self._host.processes.signal_tree(process, signal.SIGKILL)
        elif message.kind == "failed":
            process.note["failed"] = f"{message.fields['what']}: {message.fields['error']}"
        elif message.kind == "prepared" and not self._standbys[process]:
            self._standbys[process] = True
            self._failures = 0
            process.note["prepared"] = True
            self._host.processes.unlisten(process)
            self._host.ledger.put(f"spawn/{process.spawn_id}", process.note)
            self._host.announce("standby.ready", worker=self.spec.name, spawn_id=process.spawn_id, pid=process.pid)

    def _late(self, process: Process) -> None:
        """It had as long to prepare as a worker has to get ready."""
        if self._standbys.get(process) is False:
            process.note["failed"] = f"not prepared within {self.spec.ready_within:g} s"
            self._host.processes.signal_tree(process, signal.SIGKILL)

    def _ended(self, process: Process) -> None:
        if process not in self._standbys:
            return  # it was taken: its life tells of its end
        task = self._loop.create_task(self._bury(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury(self, process: Process) -> None:
        del self._standbys[process]
        seen = process.exit.result()
        await self._host.processes.sweep(process)
        if seen.status is not None and process not in self._dismissed:
            self._host.announce(
                "standby.ended",
                worker=self.spec.name,
                spawn_id=process.spawn_id,
                pid=process.pid,
                **forensics.fields(seen.status),
                result=str(forensics.decode(seen.status).result),
                why=process.note.get("failed"),
                stack=forensics.stack(process),
            )
        if process.refused:
            self._host.processes.nursery.refuse(self.spec.template)
        self._host.processes.bury(process)
        if process in self._dismissed:
            self._dismissed.discard(process)
            self.fill()  # it may have been one too many when it was dismissed, and missing now
        else:
            self._later()

    def _later(self) -> None:
        self._failures += 1
        self.fill(0.0 if self._failures == 1 else min(0.1 * 2.0**self._failures, SLOWEST))


def output_of(spec: ChildSpec) -> dict[str, object]:
    """The Output noun as the pump is told it."""
    output = spec.output
    return {name: getattr(output, name) for name in output.__struct_fields__}
