"""Every process of a worker: the only module that asks for spawns, signals and sweeps.

A spawn is written down at the anchor before it is asked for. A process is (pid, start time), said by itself in its
`hello`; nothing is ever sent to a bare pid. What a life leaves behind is found among the anchor's children by its brand.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor import kernel
from workers.wire import Decoder, Message, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.ledger import Ledger
    from supervisor.nursery import Nursery
    from supervisor.outlet import Outlet

RESERVED = 1000  # spawn numbers written down at a time, so that no number is ever used twice


class Exit(NamedTuple):
    """What the anchor reaped; `at` is CLOCK_MONOTONIC, `rusage` in seconds and bytes. id None: it never existed."""

    id: int | None
    status: int | None
    rusage: dict[str, float]
    at: float


class Orphan(NamedTuple):
    """A process that outlived its worker, and was killed for it."""

    pid: int
    command: str


class Process:
    """One spawn, from the asking to the reaping."""

    def __init__(
        self, spawn_id: str, number: int, beat_fd: int, stack_fd: int, go_fd: int | None, note: dict[str, Any]
    ) -> None:
        self.spawn_id, self.number = spawn_id, number
        self.beat_fd, self.stack_fd, self.go_fd = beat_fd, stack_fd, go_fd
        self.note = note  # what the anchor keeps of it: worker, spawned_at, ready_at, pid, start …
        self.decoder = Decoder()
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._heard: Callable[[Message | Violation], None] | None = None
        self._unheard: list[Message | Violation] = []  # said before anybody listened
        self.refused = False
        self.at_end = False
        self.handled = 0  # bytes at the front of its pipe that were told already, and are still there
        self.listening = False

    def __repr__(self) -> str:
        return f"<Process {self.spawn_id} pid={self.pid}>"

    @property
    def pid(self) -> int | None:
        """Known after `hello`."""
        return self.note.get("pid")

    @property
    def start(self) -> int | None:
        """Start time in ticks since boot, known after `hello`."""
        return self.note.get("start")

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens to what it says."""
        return self._heard is not None

    @property
    def heard(self) -> Callable[[Message | Violation], None]:
        """Who is told what it says."""
        return self._heard or self._unheard.append

    @heard.setter
    def heard(self, listener: Callable[[Message | Violation], None]) -> None:
        self._heard = listener
        unheard, self._unheard = self._unheard, []
        for message in unheard:
            listener(message)

    def close(self) -> None:
        """Close our descriptors; the anchor closes its own when the note is dropped."""
        for fd in (self.beat_fd, self.stack_fd, self.go_fd):
            if fd is not None and fd >= 0:
                os.close(fd)
        self.beat_fd = self.stack_fd = -1
        self.go_fd = None


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
        self._scan: asyncio.Future[dict[int, list[kernel.Stat]]] | None = None

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
        process = Process(spawn_id, note["number"], fds[0], fds[1], fds[2] if len(fds) > 2 else None, note)
        if process.pid is None:
            self.unborn.add(process)
        else:
            self.by_pid[process.pid] = process
        self.listen(process)
        return process

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

    def exited(self, packet: dict[str, Any]) -> bool:
        """The anchor has reaped a process; False if it is nobody's (an orphan's end needs no one)."""
        pid = packet["pid"]
        if pid not in self.by_pid:
            for process in list(self.unborn):  # its hello may be waiting, unread
                self.drain(process)
        process_ = self.by_pid.get(pid)
        if process_ is None or process_.start != packet["start"]:
            return False
        del self.by_pid[pid]
        self.drain(process_)  # its last words: that it got ready, or why it could not
        if not process_.exit.done():
            process_.exit.set_result(Exit(packet["id"], packet["status"], packet["rusage"], packet["at"]))
        return True

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
        return self._send(process.pid, process.start, number)

    def signal_tree(self, process: Process, number: int) -> None:
        """Send a signal to the worker and everything it has started, daemonised or not."""
        if process.pid is None:
            return
        below = [found for pid in kernel.descendants(process.pid) if (found := kernel.stat(pid))]
        self.signal(process, number)
        for found in below:
            self._send(found.pid, found.start, number)

    @staticmethod
    def _send(pid: int, start: int, number: int) -> bool:
        pidfd = kernel.open_pidfd(pid, start)
        if pidfd is None:
            return False
        try:
            return kernel.send_signal(pidfd, number)
        except PermissionError:
            return False
        finally:
            os.close(pidfd)

    async def sweep(self, process: Process) -> list[Orphan]:
        """Kill everything the ended process left behind; return when none of it is alive."""
        swept: dict[int, Orphan] = {}
        pause = 0.0
        while True:
            found = (await self._orphans()).get(process.number, [])
            if not found:
                return list(swept.values())
            # Stopped first, so that none of them forks while we go through them; then killed, children included.
            everything = found + [
                below for root in found for pid in kernel.descendants(root.pid) if (below := kernel.stat(pid))
            ]
            for each in everything:
                self._send(each.pid, each.start, signal.SIGSTOP)
            for each in everything:
                if each.state not in "ZX":
                    swept.setdefault(each.pid, Orphan(each.pid, each.command))
                self._send(each.pid, each.start, signal.SIGKILL)
            pause = min(pause * 2 + 0.001, 0.05)
            await asyncio.sleep(pause)

    def kill_embryos(self) -> None:
        """Of all templates: each makes another. What a frozen one would have taken is taken by the next."""
        for pid in kernel.children(self._anchor_pid):
            now = kernel.stat(pid) if kernel.read_brand(pid) == kernel.brand(self._nonce, 0) else None
            if now is not None and now.command.startswith("embryo "):
                self._send(pid, now.start, signal.SIGKILL)

    def _orphans(self) -> asyncio.Future[dict[int, list[kernel.Stat]]]:
        """Brand number -> children of the anchor that are nobody's; one look serves all who ask in the same turn."""
        if self._scan is None:
            self._scan = self._loop.create_future()
            self._loop.call_soon(self._look)
        return self._scan

    def _look(self) -> None:
        scan, self._scan = self._scan, None
        assert scan is not None
        ours = {os.getpid(), *self.by_pid, *self.known()}
        found: dict[int, list[kernel.Stat]] = {}
        for pid in kernel.children(self._anchor_pid):
            if pid in ours:
                continue
            value = kernel.read_brand(pid)
            now = kernel.stat(pid)
            if value is None or now is None or now.state in "ZX" or (value >> 32) & 0xFFFFFF != self._nonce:
                continue
            found.setdefault(value & 0xFFFFFFFF, []).append(now)
        scan.set_result(found)
