"""The lines a service keeps and writes, one after the other, through restarts of its pump and its supervisor.

A line carries the number the pump gave it. When the connection ends because the pump was restarted, we go on
after the last number seen: no line twice, none left out that the pump still has. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.cli import client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AGAIN_S = 0.1


class Line(NamedTuple):
    """A line as it came, and what it says. What the pump says to this client alone has no `seq`."""

    raw: bytes
    record: dict[str, Any]


class Stream:
    """`chosen` is the filter of a follow request. Iterate in one thread; `close` may be called by any."""

    def __init__(self, path: str, chosen: dict[str, Any], *, listening: Callable[[], None] = lambda: None) -> None:
        self._path, self._chosen, self._listening = path, chosen, listening
        self._seen: tuple[Any, int] | None = None
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def close(self) -> None:
        """No line after this, whatever is being waited for."""
        self._closed.set()
        self._hang_up()

    def choose(self, chosen: dict[str, Any]) -> None:
        """Go on behind the last line seen with another filter."""
        self._chosen = chosen
        self._hang_up()

    def kept(self) -> Iterator[Line]:
        """The lines that are there. client.NoAnswer, client.Denied."""
        return self._connection(follow=False)

    def followed(self) -> Iterator[Line]:
        """Those, and the ones to come until `close`. client.NoAnswer when the service is over; client.Denied.

        `listening` is called whenever the service has agreed: no line after that moment is missed.
        """
        while not self._closed.is_set():
            yield from self._connection(follow=True)
            self._closed.wait(_AGAIN_S)

    def _connection(self, *, follow: bool) -> Iterator[Line]:
        with client.connect(self._path, None) as sock:
            with self._lock:
                if self._closed.is_set():
                    return
                self._sock = sock
            try:
                yield from self._exchange(sock, follow=follow)
            finally:
                with self._lock:
                    self._sock = None

    def _hang_up(self) -> None:
        with self._lock:
            if self._sock is not None:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)

    def _exchange(self, sock: socket.socket, *, follow: bool) -> Iterator[Line]:
        try:
            client.send(sock, {"id": 1, "verb": "follow", "follow": follow, "filter": self._wanted()})
        except client.Dropped:
            return
        # One reader for the answer and the lines after it, for they come in one piece.
        lines = client.lines(sock, None)
        first = next(lines, None)
        if first is None:
            return
        client.result(first)
        self._listening()
        for raw in lines:
            yield Line(raw, self._note(raw))

    def _wanted(self) -> dict[str, Any]:
        if self._seen is None:
            return self._chosen
        resumed = {key: value for key, value in self._chosen.items() if key not in {"last", "since"}}
        return {**resumed, "instance": self._seen[0], "after": self._seen[1]}

    def _note(self, raw: bytes) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(raw)
        if record.get("ok") is False and "event" not in record:
            client.result(raw)  # the service had to give up after it had said yes
        if "seq" in record:
            self._seen = record.get("instance_id"), record["seq"]
        return record
