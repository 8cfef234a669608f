"""The pump as the supervisor sees it: it is told of every output pipe, and tells when one is read to its end.

Output pipes belong to the anchor's notes (`output/SPAWN`), so they outlive both of us. A new pump is told of all of them
again; a pump that knows one already ignores that.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.aide import Aide

if TYPE_CHECKING:
    import socket

    from supervisor.ledger import Ledger

SILENT_AFTER = 5.0  # seconds without a beat after which a pump is hung
STARTS_WITHIN = 15.0  # seconds a new pump may take to its first beat
REPLACED_WITHIN = 1.0  # seconds a pump has to make room for the next one
MOST_CLIENTS = 64  # that wait for the next pump
STORE = "pump/store"


class Outlet(Aide):
    """Starts the pump, hands it pipes and clients, survives it."""

    key = "pump"
    flags = ("-S", "-s", "-P")

    def __init__(
        self,
        ledger: Ledger,
        *,
        stdio: tuple[int, int],
        arguments: list[str],
        env: dict[str, str],
        events_fd: int,
    ) -> None:
        super().__init__(ledger, stdio)
        self._arguments, self._env, self._events_fd = arguments, env, events_fd
        self._store: list[int] = []
        self.outputs: dict[str, dict[str, Any]] = {}  # spawn id -> {"label": …, "open": ["out", "err"]}
        self._clients: list[tuple[int, dict[str, Any], bool]] = []  # to be given to the next pump
        self._untold: dict[str, tuple[int, int]] = {}  # output pipes of those not born yet

    def program(self) -> tuple[str, list[str], dict[str, str], list[int]]:
        """The same journal, inbox and private pipe for every pump: what one leaves unfinished the next completes."""
        if not self._store:
            read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._store = [os.memfd_create("journal"), os.memfd_create("inbox"), read, write]
            self.keep_store()
        more = [os.dup(self._events_fd), *(os.dup(fd) for fd in self._store)]
        return "supervisor.pump.__main__", self._arguments, self._env, more

    def keep_store(self) -> None:
        """Have it kept at the anchor."""
        self.ledger.put(STORE, None, [os.dup(fd) for fd in self._store])

    @property
    def is_kept(self) -> bool:
        """Whether there is a store to begin another pump with."""
        return bool(self._store)

    def remember_store(self, fds: list[int]) -> None:
        """The store an earlier supervisor made."""
        self._store = fds

    def start(self) -> None:
        """A new pump is told of every pipe that is still open; what it is told waits in its channel."""
        super().start()
        self.tell_all()
        clients, self._clients = self._clients, []
        for client in clients:
            self._give(*client)

    def replace(self) -> None:
        """Let the next pump go on, which runs the code as it is now. What this one leaves in journal and pipes is its."""
        if self.channel is None or self.pid is None:
            return
        self.replaced = True
        self._note()
        self.ledger.flush()  # before it can end of it: the next supervisor must know why, should we be killed
        self.channel.send(msgspec.json.encode({"kind": "leave"}))
        self._loop.call_later(REPLACED_WITHIN, self._kill_late, self.pid)

    def _kill_late(self, pid: int) -> None:
        if self.replaced and self.pid == pid:
            self.kill()

    def tell_all(self) -> None:
        """Every output pipe there is, fetched from the anchor's notes."""
        for spawn_id in self.outputs:
            self._loop.create_task(self._tell_again(spawn_id))

    async def _tell_again(self, spawn_id: str) -> None:
        if spawn_id in self._untold:
            return  # told when it is born
        _, fds = await self.ledger.get(f"output/{spawn_id}")
        if len(fds) == 2 and spawn_id in self.outputs:
            self._add(spawn_id, fds[0], fds[1])
        else:
            for fd in fds:
                os.close(fd)

    def keep(self, spawn_id: str, label: dict[str, Any], out: int, err: int) -> None:
        """The output pipes of a spawn, given away: the pump is told of them when it is born."""
        self.outputs[spawn_id] = {"label": label, "open": ["out", "err"]}
        self._untold[spawn_id] = (os.dup(out), os.dup(err))
        self.ledger.put(f"output/{spawn_id}", self.outputs[spawn_id], [out, err])

    def born(self, spawn_id: str, pid: int) -> None:
        """It runs: read its pipes from now on."""
        known = self.outputs.get(spawn_id)
        if known is None:
            return
        known["label"]["pid"] = pid
        self.ledger.put(f"output/{spawn_id}", known)
        untold = self._untold.pop(spawn_id, None)
        if untold is None:
            self.label(spawn_id, {"pid": pid})  # an earlier supervisor told of its pipes
        else:
            self._add(spawn_id, *untold)

    def unborn(self, spawn_id: str) -> None:
        """There never was such a process, so nobody wrote anything."""
        for fd in self._untold.pop(spawn_id, ()):
            os.close(fd)
        if self.outputs.pop(spawn_id, None) is not None:
            self.ledger.drop(f"output/{spawn_id}")

    def _add(self, spawn_id: str, out: int, err: int) -> None:
        known = self.outputs[spawn_id]
        fds = {"out": out, "err": err}
        for name in [name for name in fds if self.channel is None or name not in known["open"]]:
            os.close(fds.pop(name))
        if self.channel is not None and fds:
            sources = self._sources(spawn_id, list(fds))
            packet = {"kind": "add", "sources": sources, **known["label"]}
            self.channel.send(msgspec.json.encode(packet), list(fds.values()))

    @staticmethod
    def _sources(spawn_id: str, names: list[str]) -> list[tuple[str, str]]:
        return [(f"{spawn_id}/{name}", f"std{name}") for name in names]

    def label(self, spawn_id: str, label: dict[str, Any]) -> None:
        """What this spawn writes belongs to another name from now on (a standby that took over)."""
        known = self.outputs.get(spawn_id)
        if known is None:
            return
        known["label"] = {**known["label"], **label}
        self.ledger.put(f"output/{spawn_id}", known)
        if self.channel is not None:
            packet = {"kind": "label", "sources": self._sources(spawn_id, known["open"]), **known["label"]}
            self.channel.send(msgspec.json.encode(packet))

    def received(self, data: bytes, fds: list[int]) -> None:
        """`eof`: everything a pipe ever carried is committed."""
        super().received(data, fds)
        packet = msgspec.json.decode(data)
        if packet.get("kind") != "eof":
            return
        spawn_id, _, name = packet["source"].rpartition("/")
        known = self.outputs.get(spawn_id)
        if known is None or name not in known["open"]:
            return
        known["open"].remove(name)
        if known["open"]:
            self.ledger.put(f"output/{spawn_id}", known)
        else:
            del self.outputs[spawn_id]
            self.ledger.drop(f"output/{spawn_id}")

    def follow(self, sock: socket.socket, wanted: dict[str, Any], *, follow: bool) -> None:
        """Give a client's socket to the pump, which serves it from now on."""
        self._give(sock.detach(), wanted, follow)

    def _give(self, fd: int, wanted: dict[str, Any], follow: bool) -> None:
        if self.channel is not None and not self.replaced:
            self.channel.send(msgspec.json.encode({"kind": "follow", "filter": wanted, "follow": follow}), [fd])
        elif len(self._clients) < MOST_CLIENTS:
            self._clients.append((fd, wanted, follow))
        else:
            os.close(fd)

    def hinder(self, how: str | None, until: float) -> None:
        """Have what the pump writes to take nothing (`stall`) or be full (`full`) until then (monotonic); None: no more."""
        if self.channel is not None:
            self.channel.send(msgspec.json.encode({"kind": "hinder", "how": how, "until": until}))

    async def finish(self, within: float) -> None:
        """Have everything written out and the pump ended, in so many seconds; one that dies over it is replaced."""
        self.wanted = False
        if self._restart is not None:
            self._restart.cancel()
        deadline = self._loop.time() + within
        status: int | None = None
        leaving = (
            self.replaced
        )  # then it may have read events for the last time already, and another must read the rest
        self.ended = lambda _aide, packet: ended.set_result(packet.get("status"))
        while status != 0 and self._loop.time() < deadline:
            ended: asyncio.Future[int | None] = self._loop.create_future()
            if self.channel is None:
                super().start()
                await asyncio.gather(*(self._tell_again(spawn_id) for spawn_id in list(self.outputs)))
            if self.channel is not None:
                self.channel.send(msgspec.json.encode({"kind": "stop"}))
            await asyncio.wait([ended], timeout=deadline - self._loop.time())
            status = ended.result() if ended.done() and not leaving else None
            leaving = False

    def is_hung(self) -> bool:
        """Whether it has been silent too long."""
        self._read_beats()
        return time.monotonic() - self.heard_at > (SILENT_AFTER if self.ready else STARTS_WITHIN)
