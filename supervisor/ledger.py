"""The supervisor's book at the anchor: notes, acknowledged exits and events, in transactions.

Everything entered between two turns of the loop goes out as one packet, and one packet is one transaction at the anchor.
So a supervisor killed at any instruction has either said, noted and acknowledged a thing, or none of the three, and the
next one does it again from the same exit.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ENOUGH = 60_000  # bytes after which a transaction is cut at the next place where it may be
MOST_FDS = 200
GATHER = 0.001  # seconds a transaction may wait for more: what leads to a new life goes out with the request for it


class _Entry:
    """One line of the book; `opens` marks the first entry of a step that must not be torn apart."""

    __slots__ = ("ack", "drop", "fds", "key", "line", "note", "opens", "size")

    def __init__(
        self,
        *,
        key: str | None = None,
        note: Any = None,
        fds: list[int] | None = None,
        drop: str | None = None,
        ack: int | None = None,
        line: bytes = b"",
        opens: bool = False,
    ) -> None:
        self.key, self.note, self.fds, self.drop, self.ack, self.line, self.opens = (
            key,
            note,
            fds,
            drop,
            ack,
            line,
            opens,
        )
        self.size = len(line) + (400 if key else 40)


class Ledger:
    """The anchor as the supervisor sees it. `heard(op, packet, fds)` gets everything it tells."""

    def __init__(
        self, sock: socket.socket, heard: Callable[[dict[str, Any], list[int]], None], lost: Callable[[], None]
    ) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._channel = Channel(sock, self._received, lost)
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._entries: list[_Entry] = []
        self._scheduled: asyncio.TimerHandle | None = None
        self._syncs: dict[int, asyncio.Future[None]] = {}
        self._gets: dict[str, list[asyncio.Future[tuple[Any, list[int]]]]] = {}
        self._last_sync = 0

    # -- entries ----------------------------------------------------------------------------------------------------

    def put(self, key: str, note: Any, fds: list[int] | None = None) -> None:
        """Keep a note, and with it descriptors (given away; None keeps those it has)."""
        self._enter(_Entry(key=key, note=note, fds=fds))

    def drop(self, key: str) -> None:
        """Forget a note and close what was kept with it."""
        self._enter(_Entry(drop=key))

    def ack(self, news_id: int) -> None:
        """The exit or signal is dealt with; the next supervisor need not hear of it."""
        self._enter(_Entry(ack=news_id))

    def write(self, line: bytes, *, opens: bool = False) -> None:
        """One event line; `opens` when it begins a step that must not be torn from what follows it."""
        self._enter(_Entry(line=line, opens=opens))

    def _enter(self, entry: _Entry) -> None:
        self._entries.append(entry)
        if self._scheduled is None:
            self._scheduled = self._loop.call_later(GATHER, self.flush)

    def flush(self) -> None:
        """Send what has been entered; needed before asking anybody for something that a note announces."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        entries, self._entries = self._entries, []
        first = size = fds = 0
        for index, entry in enumerate(entries):
            more = len(entry.fds or ())
            if (
                index > first
                and (size + entry.size > ENOUGH or fds + more > MOST_FDS)
                and self._may_cut(entries, first, index)
            ):
                self._commit(entries[first:index])
                first, size, fds = index, 0, 0
            size, fds = size + entry.size, fds + more
        if first < len(entries):
            self._commit(entries[first:])

    @staticmethod
    def _may_cut(entries: list[_Entry], first: int, index: int) -> bool:
        """Before a step's first entry, or where no step has been opened at all."""
        return entries[index].opens or not any(entry.opens for entry in entries[first:index])

    def _commit(self, entries: list[_Entry]) -> None:
        put: dict[str, Any] = {}
        given: dict[str, list[int]] = {}
        drop: list[str] = []
        for entry in entries:
            if entry.key is not None:
                put[entry.key] = entry.note
                if entry.fds is not None:
                    given[entry.key] = entry.fds
                if entry.key in drop:
                    drop.remove(entry.key)
            elif entry.drop is not None:
                put.pop(entry.drop, None)
                _close_all(given.pop(entry.drop, ()))
                drop.append(entry.drop)
        packet = {
            "op": "commit",
            "put": put,
            "fds": [[key, len(given[key])] for key in put if key in given],
            "drop": drop,
            "ack": [entry.ack for entry in entries if entry.ack is not None],
        }
        raw = b"".join(entry.line for entry in entries)
        fds = [fd for key in put if key in given for fd in given[key]]
        self._channel.send(msgspec.json.encode(packet) + b"\n" + raw, fds)

    # -- requests ---------------------------------------------------------------------------------------------------

    def ask(self, packet: dict[str, Any], fds: list[int] | None = None) -> None:
        """Send a request after everything entered so far."""
        self.flush()
        self._channel.send(msgspec.json.encode(packet), fds)

    async def sync(self) -> None:
        """Return when the anchor has dealt with everything sent so far."""
        self._last_sync += 1
        future = self._syncs[self._last_sync] = self._loop.create_future()
        self.ask({"op": "sync", "id": self._last_sync})
        await future

    async def get(self, key: str) -> tuple[Any, list[int]]:
        """A note and duplicates of its descriptors; (None, []) if there is none."""
        future: asyncio.Future[tuple[Any, list[int]]] = self._loop.create_future()
        self._gets.setdefault(key, []).append(future)
        self.ask({"op": "get", "keys": [key]})
        return await future

    def _received(self, data: bytes, fds: list[int]) -> None:
        packet = msgspec.json.decode(data)
        match packet["op"]:
            case "synced":
                self._syncs.pop(packet["id"]).set_result(None)
            case "note" if waiting := self._gets.get(packet["key"]):
                future = waiting.pop(0)
                if not waiting:
                    del self._gets[packet["key"]]
                if future.done():
                    _close_all(fds)
                else:
                    future.set_result((packet["note"], fds))
            case _:
                self._heard(packet, fds)


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
