"""The end of one life: put down if need be, reaped, swept, and put into an Ending.

Nothing here decides whether it shall end. TERM and its grace for who is asked, stacks and KILL for who is at fault; always the
whole tree, and never a word to a process that was not born yet. What is begun is written down, so that a next supervisor goes
on from here.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor import forensics
from supervisor.phase import Phase
from supervisor.spec import Ending, Result

if TYPE_CHECKING:
    from supervisor.life import Life
    from supervisor.orphans import Orphan
    from supervisor.process import Exit, Process

BORN_WITHIN = 5.0  # seconds a template may take over a spawn that is to be put down again


class Fault(NamedTuple):
    """Why we end a life that has not ended by itself."""

    result: Result
    why: str
    late_s: float = 0.0
    state: str = ""


class Death:
    """Of this process, which ended by itself unless it is `asked` to or at `fault`."""

    def __init__(self, life: Life, process: Process, *, asked: bool, fault: Fault | None) -> None:
        self._life, self._process, self._asked, self.fault = life, process, asked, fault
        self._orphans: list[Orphan] = []

    def has_come(self) -> bool:
        """Reaped, and nothing left behind."""
        return self._process.exit.done() and not self._life.host.processes.orphans.of(self._process.number)

    async def come(self) -> Exit:
        """Put it down if it does not end by itself; dead, reaped and swept when this returns."""
        process = self._process
        if not process.exit.done():
            if self.fault is not None:
                await self._kill_faulty(process, self.fault)
            elif self._asked:
                await self._terminate(process)
        seen = await process.exit
        self._orphans = await self._life.host.processes.sweep(process)
        return seen

    async def _kill_faulty(self, process: Process, fault: Fault) -> None:
        """A worker that hangs will not listen to TERM: its stacks are taken, then it is killed."""
        known = "put_down" in process.note
        stack = None if known or fault.state == "stopped" else await forensics.take_stacks(self._life.host.processes, process)
        watch = self._life.watch
        if fault.result is Result.WATCHDOG and not known:
            self._life.say(
                "worker.hung",
                why=fault.why,
                late_s=round(fault.late_s, 4),
                state=fault.state,
                stack=stack,
                silent_s=round(time.monotonic() - watch.last, 3) if watch else None,
                progress=watch.progress if watch else None,
                status=watch.status if watch else None,
                chaos_id=process.note.get("chaos"),
            )
        self._stopping(process, fault.why, fault)
        await self._kill(process)

    async def _terminate(self, process: Process) -> None:
        """TERM to all of it, its grace, KILL to all of it."""
        begun = process.note.get("put_down", {}).get("at", time.monotonic())
        self._stopping(process, self._life.asked_why, None)
        left = max(0.0, begun + self._life.spec.grace - time.monotonic())
        await self._born(process)
        self._life.host.processes.signal_tree(process, signal.SIGTERM)
        self._life.host.processes.signal_tree(process, signal.SIGCONT)  # a stopped process hears TERM only when continued
        either: list[asyncio.Future[Any]] = [process.exit, self._life.worker.impatience()]
        await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not process.exit.done():
            self._life.say("worker.killed", grace_s=self._life.spec.grace)
            await self._kill(process)

    def _stopping(self, process: Process, reason: str, fault: Fault | None) -> None:
        """Say and write down that we are at it, so that a next supervisor goes on from here."""
        if "put_down" in process.note:
            return
        process.note["put_down"] = {"asked": fault is None, "fault": fault, "at": time.monotonic()}
        self._life.observed(Phase.STOPPING)
        self._life.say("worker.stopping", reason=reason)
        self._life.write_down()

    async def _kill(self, process: Process) -> None:
        """KILL, until it is reaped."""
        await self._born(process)
        while not process.exit.done():
            self._life.host.processes.signal_tree(process, signal.SIGKILL)
            await asyncio.wait([process.exit], timeout=0.1)

    async def _born(self, process: Process) -> None:
        """Asked for and not born yet: wait for its hello. A template that does not get round to it is hung, and killed."""
        deadline = time.monotonic() + BORN_WITHIN
        while process.pid is None and not process.exit.done():
            if time.monotonic() > deadline:
                self._life.host.processes.nursery.kill(self._life.spec.template)
                self._life.host.processes.orphans.kill_embryos()  # a frozen one would keep the request to itself for ever
                deadline += BORN_WITHIN
            await asyncio.wait([process.exit], timeout=0.005)

    def ending(self, seen: Exit) -> Ending:
        """What came of it, for the keeper to judge."""
        process, asked, fault = self._process, self._asked, self.fault
        for orphan in self._orphans:
            self._life.say("worker.orphan_swept", orphan_pid=orphan.pid, command=orphan.command)
        note = process.note
        ready_at = note.get("ready_at")
        told = forensics.decode(seen.status) if seen.status is not None else None
        failed = note.get("failed")
        if fault is not None:
            result = fault.result
        elif told is None or (failed is not None and not failed.startswith("import")):
            result = Result.SUCCESS if asked and told is None else Result.RESOURCES
        else:
            result = told.result
        return Ending(
            worker=self._life.worker.name,
            spawn_id=process.spawn_id,
            pid=process.pid,
            result=result,
            exit_kind=told.kind if told else None,
            exit_code=told.code if told else None,
            signal=told.signal if told else None,
            asked=asked,
            was_ready=ready_at is not None,
            uptime_s=round(seen.at - note["began_at"], 6),
            ready_s=round(seen.at - ready_at, 6) if ready_at is not None else 0.0,
            ended_at=seen.at,
            detect_s=round(fault.late_s if fault else time.monotonic() - seen.at, 6),
            rusage=seen.rusage,
            why=fault.why if fault else failed,
            stack=forensics.stack(process),
            exit_id=seen.id,
            chaos_id=note.get("chaos"),
        )


def stillborn(worker: str, why: str) -> Ending:
    """The ending of a life that never had a process."""
    return Ending(worker=worker, spawn_id=f"{worker}#0", result=Result.RESOURCES, ended_at=time.monotonic(), why=why)
