"""A worker: one name, one spec, and the life it has at the moment. What the keepers keep.

It outlives its lives: it holds what they share (its notify socket, its shelf of standbys) and answers for it in `status`.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from supervisor import forensics, kernel, notify
from supervisor.life import Life
from supervisor.order import cpus, order
from supervisor.spec import Ending, Need, Policy, Ready

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from supervisor.host import Host
    from supervisor.keeper import Keeper
    from supervisor.phase import Phase
    from supervisor.process import Process
    from supervisor.spec import ChildSpec
    from supervisor.standby import Shelf


class Worker:
    """See the head of this file. `replica` is its number within the spec."""

    kind = "worker"

    def __init__(self, host: Host, spec: ChildSpec, name: str, replica: int, shelf: Shelf, fingerprint: str) -> None:
        self.host, self.spec, self.name, self.replica = host, spec, name, replica
        self.shelf, self.fingerprint = shelf, fingerprint
        self.life: Life | None = None
        self.adopted: Process | None = None  # what an earlier supervisor left us, until the first life takes it
        self.notify_socket: socket.socket | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.name} {self.life.process if self.life else 'without a life'}>"

    @property
    def policy(self) -> Policy:
        """How it is kept."""
        return self.spec.policy

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it waits for before it starts."""
        return self.spec.needs

    @property
    def members(self) -> Sequence[Keeper]:
        """A worker has none."""
        return ()

    async def live(self, observed: Callable[[Phase], None]) -> Ending:
        """One life, from spawn (or adoption) to reaped and swept."""
        adopted, self.adopted = self.adopted, None
        self.life = Life(self, observed)
        return await self.life.run(adopted)

    @property
    def process(self) -> Process | None:
        """The process of the life it has, until its ending is told."""
        return self.life.process if self.life else None

    def buried(self) -> None:
        """Its ending is told and acknowledged: the life is over for good."""
        if self.life is not None and self.life.process is not None:
            self.host.processes.forget(self.life.process)
        self.life = None

    # -- what a life asks of it ---------------------------------------------------------------------------------------

    def cpus(self) -> list[int] | None:
        """The CPUs of this replica."""
        return cpus(self.spec, self.replica)

    def take_standby(self) -> Process | None:
        """A standby that is from now on this worker's process, written down as such."""
        process = self.shelf.take()
        if process is None:
            return None
        process.note.pop("standby", None)
        process.note.update(worker=self.name, life=self.name, began_at=time.monotonic(), fingerprint=self.fingerprint)
        self.host.processes.outlet.label(process.spawn_id, {"worker": self.name})
        self.host.ledger.put(f"spawn/{process.spawn_id}", process.note)
        return process

    def refill(self) -> None:
        """A standby may have been taken: have another made."""
        self.shelf.fill()

    def impatience(self) -> asyncio.Future[None]:
        """Done when everything is to stop at once."""
        return self.host.hurry

    def notify_path(self) -> str | None:
        """Where the worker may send sd_notify datagrams, if its spec wants them."""
        if self.spec.ready is not Ready.NOTIFY:
            return None
        path = os.path.join(self.host.folder, f"{self.host.name}.notify", self.name)
        if self.notify_socket is None:
            self.notify_socket = notify.bind(path, self._uid())
            self.keep_notify()
        return path

    def keep_notify(self) -> None:
        """Have its socket kept at the anchor, if it has one still."""
        if self.notify_socket is not None:
            path = self.notify_socket.getsockname()
            self.host.ledger.put(f"notify/{self.name}", {"path": path}, [os.dup(self.notify_socket.fileno())])

    def _uid(self) -> int | None:
        import pwd  # noqa: PLC0415 - only for workers that run as somebody else

        user = self.spec.user
        if isinstance(user, str):
            try:
                return pwd.getpwnam(user).pw_uid
            except KeyError:
                return None  # the spawn will fail with systemd's 217, which says it better
        return user

    def close(self) -> None:
        """It is removed from the config."""
        if self.notify_socket is not None:
            path = self.notify_socket.getsockname()
            self.notify_socket.close()
            self.notify_socket = None
            self.host.ledger.drop(f"notify/{self.name}")
            if os.path.exists(path):
                os.unlink(path)

    async def run_probe(self, command: tuple[str, ...]) -> int:
        """Run a probe's program as the worker's user, in its folder, with its environment; its exit code."""
        spec = self.spec
        request = order(
            spec,
            name=self.name,
            replica=self.replica,
            standby=False,
            env=self.host.environment,
            path=(),
            notify=None,
        )
        request |= {"target": None, "command": list(command), "ready": "started"}
        label = {"worker": self.name, "output": {"to": "capture", "when_full": "drop"}}
        processes = self.host.processes
        process = processes.spawn(
            self.name, request, spec.template, label, {"probe": self.name, "began_at": time.monotonic()}
        )
        process.heard = lambda _message: None
        try:
            seen = await asyncio.shield(process.exit)
        finally:
            processes.signal_tree(process, 9)
            self.host.bury_probe(process)
        told = forensics.decode(seen.status) if seen.status is not None else None
        return told.code if told is not None and told.code is not None else 1

    # -- what status shows --------------------------------------------------------------------------------------------

    def show(self) -> dict[str, Any]:
        """The facts about its process; null where there is none."""
        process, now = self.process or self.adopted, time.monotonic()  # adopted: in the first turn after a resume
        seen = (
            kernel.stat(process.pid)
            if process is not None and process.pid is not None and not process.exit.done()
            else None
        )
        watch = self.life.watch if self.life else None
        if watch is not None and process is not None:
            self.host.processes.drain(process)
        return {
            "pid": process.pid if process else None,
            "spawn_id": process.spawn_id if process else None,
            "uptime_s": round(now - process.note["began_at"], 3) if process else None,
            "standbys": self.shelf.prepared,
            "beat_age_s": round(now - watch.last, 3) if watch else None,
            "beat_within": self.spec.beat_within,
            "rss_bytes": seen.rss_bytes if seen else None,
            "cpu_s": round(seen.cpu_s, 3) if seen else None,
            "progress": watch.progress if watch else None,
            "status": (watch.status if watch else None)
            or (self.life.readiness.status if self.life and self.life.readiness else None),
        }
