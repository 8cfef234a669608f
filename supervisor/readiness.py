"""How a worker shows that it is ready, and what follows if it does not in time.

One small table of ways; whichever the spec names calls `life.ready()` once. A way that also proves life (sd_notify's
WATCHDOG=1, a probe) goes on as beats where the spec wants beats.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from supervisor import notify, probe
from supervisor.death import Fault
from supervisor.spec import Probe, Ready, Result

if TYPE_CHECKING:
    from supervisor.life import Life
    from workers.wire import Message


class Readiness:
    """Of one life."""

    def __init__(self, life: Life) -> None:
        self._life, self._spec = life, life.spec
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        self._probing: asyncio.Task[None] | None = None
        self.status: str | None = None
        if life.worker.notify_socket is not None:
            self._loop.add_reader(life.worker.notify_socket, self._notified)

    def expect(self) -> None:
        """From now on it has `ready_within` seconds."""
        self._deadline = self._loop.call_later(self._spec.ready_within, self._late)
        if isinstance(self._spec.ready, Probe):
            self._probing = self._loop.create_task(self._probe(self._spec.ready))

    def close(self) -> None:
        """The life is over."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._probing is not None:
            self._probing.cancel()
        if self._life.worker.notify_socket is not None:
            self._loop.remove_reader(self._life.worker.notify_socket)

    def heard(self, message: Message) -> None:
        """Whether a line on the beat pipe is the one we wait for."""
        way, is_program = self._spec.ready, self._spec.command is not None
        self.status = message.fields.get("status", self.status)
        started = way is Ready.STARTED or (way is Ready.AUTO and is_program)
        ways = {"started": started, "ready": way in (Ready.AUTO, Ready.BEAT, Ready.STARTED), "beat": way is Ready.BEAT}
        if ways.get(message.kind, False):
            self._ready()

    def newline(self) -> bool:
        """Whether text that is no message means `ready`, as s6's notification descriptor has it."""
        if self._spec.ready is Ready.NEWLINE:
            self._ready()
            return True
        return False

    def _ready(self) -> None:
        if not self._life.is_born():
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._life.ready()

    def _late(self) -> None:
        self._life.end(Fault(Result.TIMEOUT, f"not ready within {self._spec.ready_within:g} s"))

    def _extend(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = self._loop.call_later(seconds, self._late)
        elif self._life.watch is not None:
            self._life.watch.busy_until = max(self._life.watch.busy_until, time.monotonic() + seconds)

    def _notified(self) -> None:
        sock = self._life.worker.notify_socket
        assert sock is not None
        for said in notify.receive(sock):
            self.status = said.status or self.status
            watch = self._life.watch
            if watch is not None and said.status is not None:
                watch.status = said.status
            if said.ready and self._spec.ready is Ready.NOTIFY:
                self._ready()
            if said.extend_s is not None:
                self._extend(said.extend_s)
            if watch is not None and said.watchdog:
                watch.beat()
            if watch is not None and said.hung:
                watch.end("said so itself (WATCHDOG=trigger)", 0.0, "running")

    async def _probe(self, question: Probe) -> None:
        """Ask until it says yes; go on asking where beats are wanted."""
        while True:
            no = await probe.ask(question, run=self._life.worker.run_probe)
            if no is None and not self._life.is_born():
                no = "somebody answers, but the worker is not born yet"
            if no is None:
                self._ready()
                if self._life.watch is None:
                    return
                self._life.watch.beat()
            self.status = no
            await asyncio.sleep(question.every)
