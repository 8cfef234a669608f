"""How the anchor speaks: to a supervisor, to the pump, to systemd. None of it can block, and nothing here decides.

What cannot be said now waits in order; what has nobody to hear it is dropped, and if it was a line of the log, counted.
Standard library only, like the anchor.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections import deque

from workers import plain_json
from workers.hints import Any

BACKLOG = 8 << 20  # bytes of event lines kept while the pump does not read them


class Link:
    """One end of a SEQPACKET pair to a supervisor; what cannot be sent now waits in order."""

    def __init__(self, sock: socket.socket, poll: select.poll) -> None:
        self.sock, self._poll = sock, poll
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        poll.register(sock, select.POLLIN)

    def send(self, packet: dict[str, Any], fds: list[int] | None = None) -> None:
        """Send or queue; a link whose other end is gone drops what it is given (its notes are kept elsewhere)."""
        self.send_encoded(plain_json.dumps_ascii(packet).encode(), fds)

    def send_encoded(self, data: bytes, fds: list[int] | None = None) -> None:
        """As `send`, what was encoded once and for all."""
        self._waiting.append((data, fds or []))
        self.flush()

    def flush(self) -> None:
        """Send what waits until the socket is full."""
        while self._waiting:
            data, fds = self._waiting[0]
            try:
                if fds:
                    socket.send_fds(self.sock, [data], fds)
                else:
                    self.sock.send(data)
            except BlockingIOError:
                self._poll.modify(self.sock, select.POLLIN | select.POLLOUT)
                return
            except OSError:
                self._waiting.clear()
                break
            self._waiting.popleft()
        self._poll.modify(self.sock, select.POLLIN)

    def close(self) -> None:
        """Forget the other end."""
        self._poll.unregister(self.sock)
        self.sock.close()


class Lines:
    """Event lines on their way to the pump, through its pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._waiting: deque[bytes] = deque()
        self._bytes = self._lost = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, lines: bytes) -> None:
        """Hand lines to the pump's pipe; what does not fit waits, what does not fit there is counted."""
        if self._bytes + len(lines) > BACKLOG:
            self._lost += lines.count(b"\n")
        else:
            self._waiting.append(lines)
            self._bytes += len(lines)
        self.write()

    def write(self) -> None:
        """Write until the pipe is full."""
        while self._waiting:
            try:
                written = os.write(self._pipe, self._waiting[0])
            except BlockingIOError:
                break
            self._bytes -= written
            rest = self._waiting.popleft()[written:]
            if rest:
                self._waiting.appendleft(rest)
        if self._lost and not self._waiting:
            lost, self._lost = self._lost, 0
            self.add(_dropped(lost))


def _dropped(lost: int) -> bytes:
    why = "nobody read the events"
    event = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000000Z",
        "level": "error",
        "event": "log.dropped",
        "msg": f"{lost} log lines dropped: {why}",
        "count": lost,
        "reason": why,
    }
    return plain_json.dumps_ascii(event).encode() + b"\n"


class Systemd:
    """Whoever started us and listens to its main process only; watchdog_s: 0 if it keeps none."""

    def __init__(self, address: str | None, watchdog_s: float) -> None:
        self._address, self._watchdog_s = address, watchdog_s
        self._ping_at = 0.0
        # One for all: who has no descriptor left for another must still feed the watchdog.
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    @property
    def is_there(self) -> bool:
        """Whether anybody wants to be told."""
        return bool(self._address)

    def notify(self, text: str) -> None:
        """Pass a datagram on."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError):
            self._sock.sendto(text.encode(), address)

    def ping(self, *, alive_s: float) -> None:
        """The watchdog is fed by the beats of a supervisor that lives so long: no progress below, no ping above."""
        now, period = time.monotonic(), self._watchdog_s / 3
        if self._watchdog_s and now >= self._ping_at and alive_s > min(1.0, period):
            self._ping_at = now + period
            self.notify("WATCHDOG=1")


def describe(status: int) -> str:
    """An exit status in words: "exit code 1", "SIGKILL"."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"exit code {os.WEXITSTATUS(status)}"
