"""The datagram socket on which workers say that they are ready. Their own stamps count, not when we got round to reading."""

from __future__ import annotations

import os
import socket
import time
from typing import NamedTuple


class Ring(NamedTuple):
    """What a worker said: its name, its pid, its CLOCK_MONOTONIC in seconds."""

    name: str
    pid: int
    at: float


class Silence(Exception):
    """Nobody rang in time."""


class Bell:
    """A bound socket; `path` is what workers are told."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "bell")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.path)

    def close(self) -> None:
        """No more ringing."""
        self._sock.close()
        os.unlink(self.path)

    def wait(self, within: float, name: str | None = None) -> Ring:
        """The next ring (of that name). Raises Silence after `within` seconds."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            self._sock.settimeout(left)
            try:
                word, pid, at = self._sock.recv(256).decode().split()
            except TimeoutError:
                break
            if name is None or word == name:
                return Ring(word, int(pid), float(at))
        raise Silence(f"{name or 'nobody'} was not ready within {within:g} s")

    def wait_all(self, count: int, within: float) -> list[Ring]:
        """One ring from each of `count` processes, in the order of their stamps."""
        deadline = time.monotonic() + within
        rung: dict[int, Ring] = {}
        while len(rung) < count:
            ring = self.wait(max(0.0, deadline - time.monotonic()))
            rung.setdefault(ring.pid, ring)
        return sorted(rung.values(), key=lambda ring: ring.at)

    def drain(self) -> None:
        """Forget who rang so far."""
        self._sock.setblocking(False)
        try:
            while self._sock.recv(256):
                pass
        except BlockingIOError:
            return
