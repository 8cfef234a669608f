"""One end of a SEQPACKET socket pair in the supervisor's event loop: packets with descriptors, in order, never blocking.

What the other side cannot take now waits here; what waits when the other side is gone is closed and forgotten, because
every packet that must not be lost is written down at the anchor first.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PACKET = 1 << 18
MOST_FDS = 253  # SCM_MAX_FD of Linux


class Channel:
    """`received(data, fds)` for each packet, `closed()` once when the other side is gone."""

    def __init__(
        self, sock: socket.socket, received: Callable[[bytes, list[int]], None], closed: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._sock, self._received, self._closed = sock, received, closed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._writing = False
        self._loop.add_reader(sock, self._read)

    def send(self, data: bytes, fds: list[int] | None = None) -> None:
        """Send now or as soon as there is room; the descriptors are closed here once they are sent."""
        self._waiting.append((data, fds or []))
        if not self._writing:
            self._flush()

    def close(self) -> None:
        """Forget the other side and what waits for it."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        while self._waiting:
            self._close_fds(self._waiting.popleft()[1])

    def _flush(self) -> None:
        while self._waiting:
            data, fds = self._waiting[0]
            try:
                if fds:
                    socket.send_fds(self._sock, [data], fds)
                else:
                    self._sock.send(data)
            except BlockingIOError:
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:
                # The reader sees the end of the other side as well and tells; here it only means: nobody takes this.
                pass
            self._waiting.popleft()
            self._close_fds(fds)
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        for _ in range(64):  # a bound, so that a talkative other side cannot hold the loop
            if self._sock.fileno() < 0:
                return
            try:
                data, fds, _, _ = socket.recv_fds(self._sock, PACKET, MOST_FDS)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._loop.remove_reader(self._sock)
                self._closed()
                return
            self._received(data, fds)

    @staticmethod
    def _close_fds(fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
