"""One worker of a pool as the engine sees it: asked for, born, ended; and every descriptor the parent holds of it.

Each is closed as soon as nobody needs it: the worker's end of its channel once the worker has it, or its death would not
be seen; the beat pipe once the worker's own code runs.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from supervisor import kernel
from workers import plain_json, wire

if TYPE_CHECKING:
    from supervisor.pool.stem import Root

BEAT_W, NULL = 2, 3  # where in a request's descriptors those are that the parent does not keep
_LINES = 1 << 16
_LONGEST_STACK = 1 << 20  # bytes


class Child:
    """A worker by its number. Raises OSError when there are no descriptors."""

    def __init__(self, number: int, channel: socket.socket) -> None:
        self.number = number
        self.channel: socket.socket | None = channel  # its own end
        self.stack = self.beat = self.pidfd = -1
        self.pid: int | None = None  # once its hello was seen
        self.is_born = self.is_over = self.is_forgotten = False
        self.tries = 0  # times it was asked for, and never happened
        self.is_alone = False  # by a template of its own: it was refused by the common one
        self.doom: int | None = None  # a signal for it, sent before there was anybody to get it
        self.said: str | None = None  # why it could not begin
        self._decoder = wire.Decoder()

    def __repr__(self) -> str:
        where = "over" if self.is_over else "born" if self.is_born else "asked for" if self.pid is None else "coming"
        return f"<Child {self.number}, pid {self.pid}, {where}>"

    def request(self, common: bytes, root: Root) -> tuple[bytes, list[int]]:
        """The packet and descriptors to ask a template with, and a new beat pipe; `given` must be called afterwards."""
        assert self.channel is not None
        if self.stack < 0:
            self.stack = os.memfd_create("stack")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.beat, beat_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(null)
            raise
        self._decoder = wire.Decoder()
        own = {"spawn": f"pool#{self.number}", "name": f"pool {self.number}", "anchor": root.pid}
        packet = plain_json.dumps_ascii({**own, "brand": kernel.brand(root.nonce, self.number)}).encode()
        out, err = (fd if is_stream(fd) else null for fd in (1, 2))
        return common + packet[1:], [out, err, beat_w, null, self.stack, self.channel.fileno()]

    def hear(self) -> list[wire.Message] | None:
        """What it has said; None at the end of its beat pipe."""
        if self.beat < 0:
            return []
        try:
            data = os.read(self.beat, _LINES)
        except BlockingIOError:
            return []
        if not data:
            return None
        return [message for message in self._decoder.feed(data) if isinstance(message, wire.Message)]

    def introduced(self, said: dict[str, Any]) -> None:
        """Its hello: from now on it is a process."""
        if self.pid is None:
            self.pid = said["pid"]
            pidfd = kernel.open_pidfd(said["pid"], said["start"])
            self.pidfd = -1 if pidfd is None else pidfd
            self._close_channel()

    def signal(self, number: int) -> bool:
        """False if that has to be done by the root, who needs no descriptor for it."""
        return self.pidfd >= 0 and (kernel.send_signal(self.pidfd, number) or True)

    def stacks(self) -> str:
        """What faulthandler has written."""
        if self.stack < 0:
            return ""
        return os.pread(self.stack, _LONGEST_STACK, 0).decode("utf-8", "replace")

    def deaf(self) -> None:
        """Nothing more is to be heard on its beat pipe."""
        if self.beat >= 0:
            os.close(self.beat)
            self.beat = -1

    def over(self) -> None:
        """It is dead, or never was; its stack is kept."""
        self.is_over = True
        self.deaf()
        self._close_channel()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def close(self) -> None:
        """Nobody asks about it any more."""
        self.over()
        if self.stack >= 0:
            os.close(self.stack)
            self.stack = -1

    def _close_channel(self) -> None:
        if self.channel is not None:
            self.channel.close()
            self.channel = None


def in_common(target: str) -> bytes:
    """How all requests for workers of a pool begin, to a template and ("op") to a root: an object that is still open."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("NINELIVES_BEAT", "NINELIVES_CHAOS"))
    }
    said = {
        "op": "spawn",
        "kind": "spawn",
        "target": target,
        "args": {},
        "ready": "started",
        "spec": "pool",
        "env": env,
    }
    return plain_json.dumps_ascii(said).encode()[:-1] + b","


def given(fds: list[int]) -> None:
    """They are on their way, or nobody wanted them: our copies of the beat pipe's end and of /dev/null are closed."""
    os.close(fds[BEAT_W])
    os.close(fds[NULL])


def send(channel: socket.socket, data: bytes, fds: list[int]) -> None:
    """To a template. Raises OSError; BlockingIOError: later, when fewer are on their way."""
    try:
        socket.send_fds(channel, [data], fds)
    except OSError as error:
        if error.errno == errno.ETOOMANYREFS:
            raise BlockingIOError(error.errno, "too many descriptors are on their way") from error
        raise


def is_stream(fd: int) -> bool:
    """Whether this is an output of the program's: where it has closed its own, there may be a descriptor of ours."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False
