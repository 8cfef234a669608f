"""Every process of a worker: with `orphans`, the only module that asks for spawns, signals and sweeps.

A spawn is written down at the anchor before it is asked for. A process is (pid, start time); nothing is ever sent to a bare
pid. What a life leaves behind is found among the anchor's children by its brand.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from supervisor import kernel
from supervisor.orphans import Orphan, Orphans, send
from supervisor.process import Exit, Process, is_end_of
from supervisor.spec import Result
from workers.wire import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.ledger import Ledger
    from supervisor.nursery import Nursery
    from supervisor.outlet import Outlet

RESERVED = 1000  # spawn numbers written down at a time, so that no number is ever used twice
UNHEARD = "the anchor had no descriptors left for its pipes"


class Processes:
    """All of them."""

    def __init__(
        self, ledger: Ledger, nursery: Nursery, outlet: Outlet, *, nonce: int, anchor_pid: int, stdio: tuple[int, int]
    ) -> None:
        self.ledger, self.nursery, self.outlet = ledger, nursery, outlet
        self._nonce, self._anchor_pid, self._stdio = nonce, anchor_pid, stdio
        self._loop = asyncio.get_running_loop()
        self.by_pid: dict[int, Process] = {}
        self.unborn: set[Process] = set()  # asked for, no hello yet
        self.known: Callable[[], Iterable[int | None]] = lambda: ()  # pids of our aides
        self._number = self._reserved = 0
        self._scratch = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._to_consume: list[Process] = []
        self.orphans = Orphans(nonce, anchor_pid, spared=lambda: {os.getpid(), *self.by_pid, *self.known()})

    # -- spawning -----------------------------------------------------------------------------------------------------

    def resume_numbers(self, reserved: int) -> None:
        """Go on behind the numbers an earlier supervisor may have used."""
        self._number = self._reserved = reserved

    def _next_number(self) -> int:
        self._number += 1
        if self._number > self._reserved:
            self._reserved = self._number + RESERVED
            self.ledger.put("numbers", self._reserved)
        return self._number

    def spawn(
        self, worker: str, request: dict[str, Any], template: str, label: dict[str, Any], note: dict[str, Any]
    ) -> Process:
        """Note it, ask the template for it, and return at once. Raises OSError when descriptors have run out."""
        number = self._next_number()
        spawn_id = f"{worker}#{number}"
        fds: list[int] = []  # all we have opened so far, should we fail half-way
        try:
            beat_r, beat_w = self._pipe(fds, os.O_NONBLOCK)
            go_r, go_w = self._pipe(fds, 0)
            stack = self._keep(fds, os.memfd_create("stack"))
            out_w, err_w, outputs = self._outputs(fds, label)
            kept = [
                self._keep(fds, os.dup(fd)) for fd in ((beat_r, stack, go_w) if request["standby"] else (beat_r, stack))
            ]
            child_stack = self._keep(fds, os.dup(stack))
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        note = {**note, "worker": worker, "number": number, "spawned_at": time.monotonic(), "pid": None, "start": None}
        if outputs is not None:
            self.outlet.keep(spawn_id, {**label, "worker": worker, "spawn_id": spawn_id, "pid": None}, *outputs)
        self.ledger.put(f"spawn/{spawn_id}", note, kept)
        self.ledger.flush()
        if not request["standby"]:
            os.close(go_w)
        process = Process(spawn_id, number, beat_r, stack, go_w if request["standby"] else None, note)
        request = {
            **request,
            "kind": "spawn",
            "spawn": spawn_id,
            "brand": kernel.brand(self._nonce, number),
            "anchor": self._anchor_pid,
            "env": {**request["env"], "NINELIVES_SPAWN_ID": spawn_id},
        }
        self._ask(process, request, template, [out_w, err_w, beat_w, go_r, child_stack])
        return process

    def _ask(self, process: Process, request: dict[str, Any], template: str, fds: list[int]) -> None:
        self.unborn.add(process)
        self.listen(process)
        home = self.nursery.home(template)
        if template in self.nursery.refusing:
            home.spawn_once(request, fds, f"spawn/{process.spawn_id}")
        else:
            home.spawn(request, fds)

    def _keep(self, fds: list[int], fd: int) -> int:
        fds.append(fd)
        return fd

    def _pipe(self, fds: list[int], flags: int) -> tuple[int, int]:
        read, write = os.pipe2(os.O_CLOEXEC | flags)
        fds += [read, write]
        return read, write

    def _outputs(self, fds: list[int], label: dict[str, Any]) -> tuple[int, int, tuple[int, int] | None]:
        """The write ends for the worker, and the read ends for the pump unless the worker inherits our own."""
        if label["output"]["to"] == "inherit":
            return self._keep(fds, os.dup(self._stdio[0])), self._keep(fds, os.dup(self._stdio[1])), None
        out_r, out_w = self._pipe(fds, 0)
        err_r, err_w = self._pipe(fds, 0)
        return out_w, err_w, (out_r, err_r)

    def adopt(self, spawn_id: str, note: dict[str, Any], fds: list[int]) -> Process:
        """A spawn an earlier supervisor asked for: born, unborn, or ended meanwhile."""
        if not fds:
            fds = self._without(note)
        process = Process(spawn_id, note["number"], fds[0], fds[1], fds[2] if len(fds) > 2 else None, note)
        if process.pid is None:
            self.unborn.add(process)
        else:
            self.by_pid[process.pid] = process
        self.listen(process)
        return process

    @staticmethod
    def _without(note: dict[str, Any]) -> list[int]:
        """For a spawn whose descriptors the anchor had no room for: a pipe at its end, an empty stack.

        One that was not born counts as never born then, as it is: its hello finds nobody at the pipe, or the sweep finds it
        by its brand. One that was is put down.
        """
        if note["pid"] is not None:
            note.setdefault("put_down", {"asked": False, "fault": [Result.RESOURCES, UNHEARD], "at": time.monotonic()})
        beat_r, beat_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.close(beat_w)
        return [beat_r, os.memfd_create("stack")]

    # -- hearing --------------------------------------------------------------------------------------------------------

    def listen(self, process: Process) -> None:
        """Hear the beat pipe at once (until it is ready); afterwards it is drained when a deadline is due."""
        if not process.listening and not process.at_end:
            process.listening = True
            self._loop.add_reader(process.beat_fd, self.drain, process)

    def unlisten(self, process: Process) -> None:
        """Leave the pipe alone until somebody drains it."""
        if process.listening:
            process.listening = False
            self._loop.remove_reader(process.beat_fd)

    def drain(self, process: Process) -> int:
        """Tell what is new in its pipe; how many bytes that was.

        What was told stays in the pipe until what follows from it is written down at the anchor: a supervisor that is
        killed in between leaves it for the next.
        """
        if process.handled:
            self._consume()
        if process.beat_fd < 0 or process.at_end:
            return 0
        try:
            size = kernel.tee(process.beat_fd, self._scratch[1], 65536)
        except BlockingIOError:
            return 0
        if not size:
            process.at_end = True
            self.unlisten(process)
            if process.pid is None:
                self._never_born(process)
            return 0
        data = os.read(self._scratch[0], size)[process.handled :]
        if not data:
            return 0
        process.handled = size
        if not self._to_consume:
            self._loop.call_soon(self._consume)
        self._to_consume.append(process)
        for message in process.decoder.feed(data):
            if isinstance(message, Message) and message.kind in ("hello", "refused"):
                self._born_or_refused(process, message)
            process.heard(message)
        return len(data)

    def _consume(self) -> None:
        waiting, self._to_consume = self._to_consume, []
        if waiting:
            self.ledger.flush()
        for process in waiting:
            if process.beat_fd < 0 or not process.handled:
                continue
            if process.is_heard:
                os.read(process.beat_fd, process.handled)
                process.handled = 0
            elif process.listening:  # heard soon, by a life that has not begun yet
                self._to_consume.append(process)
        if self._to_consume:
            self._loop.call_later(0.001, self._consume)

    def _born_or_refused(self, process: Process, message: Message) -> None:
        if message.kind == "refused":
            process.refused = True
        elif process.pid is None:
            pid, start = message.fields["pid"], message.fields["start"]
            process.note.update(pid=pid, start=start)
            self.unborn.discard(process)
            self.by_pid[pid] = process
            self.outlet.born(process.spawn_id, pid)
            self.ledger.put(f"spawn/{process.spawn_id}", process.note)

    def _never_born(self, process: Process) -> None:
        """The end of its pipe without a hello: there never was such a process."""
        self.unborn.discard(process)
        self.outlet.unborn(process.spawn_id)
        if not process.exit.done():
            process.exit.set_result(Exit(None, None, {}, time.monotonic()))

    def find(self, pid: int) -> Process | None:
        """Whose process this is, if it has said hello by now."""
        if pid not in self.by_pid:
            for process in list(self.unborn):  # its hello may be waiting, unread
                self.drain(process)
        return self.by_pid.get(pid)

    def exited(self, packet: dict[str, Any]) -> bool:
        """The anchor has reaped a process; False if it is nobody's (an orphan's end needs no one)."""
        pid = packet["pid"]
        process = self.find(pid)
        if process is None or not is_end_of(packet, process.pid, process.start):
            return False
        del self.by_pid[pid]
        self.drain(process)  # its last words: that it got ready, or why it could not
        if not process.exit.done():
            process.exit.set_result(Exit(packet["id"], packet["status"], packet["rusage"], packet["at"]))
        return True

    def bury(self, process: Process) -> None:
        """It has ended, been swept and told of, in this turn: acknowledge that, and forget it."""
        seen = process.exit.result()
        if seen.id is not None:
            self.ledger.ack(seen.id)
        self.forget(process)

    def forget(self, process: Process) -> None:
        """Its ending is told: nothing of it is kept any more."""
        self.unlisten(process)
        self.unborn.discard(process)
        self.ledger.drop(f"spawn/{process.spawn_id}")
        process.close()

    # -- signals and sweeps -----------------------------------------------------------------------------------------

    def signal(self, process: Process, number: int) -> bool:
        """Send a signal to the worker itself; False if it is gone or was never there."""
        if process.pid is None or process.start is None or process.exit.done():
            return False
        return send(process.pid, process.start, number)

    def signal_tree(self, process: Process, number: int) -> None:
        """Send a signal to the worker and everything it has started, daemonised or not."""
        if process.pid is None:
            return
        below = [found for pid in kernel.descendants(process.pid) if (found := kernel.stat(pid))]
        self.signal(process, number)
        for found in below:
            send(found.pid, found.start, number)

    async def sweep(self, process: Process) -> list[Orphan]:
        """Kill everything the ended process left behind; return when none of it is alive."""
        return await self.orphans.sweep(process.number)
