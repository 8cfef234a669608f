"""The root of a pool's processes and its template, as the parent sees them: how they are started, spoken to and buried.

The parent may be any program, with any threads: it is never forked from Python code, its signals are not touched, and
every descriptor of ours is close-on-exec.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from supervisor import boot, kernel
from supervisor.pool.child import is_stream
from supervisor.speech import describe
from workers import plain_json, wire

if TYPE_CHECKING:
    from collections.abc import Sequence

MAIN = "the main module"  # in a list of preloads: what the parent runs as __main__
_PACKET = 1 << 18
_CLEAR_OF = 10  # our end of the channel is above the descriptors it is put among
_CHANNEL = 3
_ORDINARY = {"BuiltinImporter", "FrozenImporter", "PathFinder", "DistutilsMetaFinder", "_SixMetaPathImporter"}
_NEVER_TOUCHED = (signal.SIGKILL, signal.SIGSTOP)


class Root:
    """A running root. Made by starting it; raises OSError. Nothing but `end` blocks."""

    def __init__(self, main: tuple[Any, ...] | None) -> None:
        self.nonce = int.from_bytes(os.urandom(3), "big") or 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = ours
        self._unsaid: deque[tuple[bytes, list[int]]] = deque()
        self.pid = 0
        try:
            ours.setblocking(False)
            hello = {"parent": os.getpid(), "nonce": self.nonce, "path": sys.path, "site": _needs_site(), "main": main}
            ours.send(_encode(hello))
            self.pid = _start(theirs.fileno())
            self.pidfd = os.pidfd_open(self.pid)
        except OSError:
            ours.close()  # which ends it, if it has begun
            if self.pid:
                self._bury()
            raise
        finally:
            theirs.close()

    def __repr__(self) -> str:
        return f"<Root {self.pid} of the pool {self.nonce:06x}>"

    def say(self, packet: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """In order; the descriptors stay the caller's. Raises OSError when there are none left to duplicate them to."""
        self.say_encoded(_encode(packet), fds)

    def say_encoded(self, data: bytes, fds: Sequence[int]) -> None:
        """As `say`, what was encoded already."""
        self._unsaid.append((data, [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _CLEAR_OF) for fd in fds]))
        self.flush()

    def flush(self) -> None:
        """Send what waits; what does not fit is sent when there is something to hear."""
        while self._unsaid:
            data, fds = self._unsaid[0]
            try:
                socket.send_fds(self.channel, [data], fds)
            except BlockingIOError:
                return
            except OSError:  # it is dead, which its pidfd tells
                pass
            _close(fds)
            self._unsaid.popleft()

    def hear(self) -> list[dict[str, Any]]:
        """All that it has said."""
        heard: list[dict[str, Any]] = []
        with contextlib.suppress(OSError):
            while data := self.channel.recv(_PACKET):
                heard.append(plain_json.loads(data.decode()))
        self.flush()
        return heard

    def is_over(self, seconds: float) -> bool:
        """Whether it is dead within so many seconds."""
        waiting = select.poll()
        waiting.register(self.pidfd, select.POLLIN)
        return bool(waiting.poll(max(0.0, seconds) * 1000))

    def end(self, within: float) -> None:
        """Have it end and take everything along; after so many seconds it is killed, and all it has left."""
        deadline = time.monotonic() + within
        self._unsaid.append((_encode({"op": "leave"}), []))
        self.flush()
        if not self.is_over(deadline - time.monotonic()):
            kernel.send_signal(self.pidfd, signal.SIGKILL)
            kernel.last_rites(self.nonce, seconds=1.0)
            self.is_over(1.0)
        self.close()

    def close(self) -> str:
        """Of a dead one: what it died of. Whatever carries its nonce and is still alive is killed."""
        for _, fds in self._unsaid:
            _close(fds)
        self._unsaid.clear()
        self.channel.close()
        os.close(self.pidfd)
        kernel.kill_branded(self.nonce)
        return self._bury()

    def let_go(self) -> None:
        """In a child forked by the parent: it is not ours to end."""
        self.channel.close()
        os.close(self.pidfd)

    def _bury(self) -> str:
        try:
            return describe(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # the parent ignores SIGCHLD, or waits for any child of its own
            return "it was reaped by the program itself"


class Template:
    """The template workers are asked of now. Raises OSError when there are no descriptors."""

    def __init__(self, root: Root, number: int, preload: list[str]) -> None:
        self.number = number
        self.is_ready = False
        self._decoder = wire.Decoder()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.beat = -1
        with theirs:
            try:
                self.channel.setblocking(False)
                self.beat, beat_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    root.say({"op": "template", "number": number, "preload": preload}, [theirs.fileno(), beat_w])
                finally:
                    os.close(beat_w)
            except OSError:
                self.close()
                raise

    def hear(self) -> list[wire.Message] | None:
        """What it has said; None at the end of its pipe."""
        if self.beat < 0:
            return []
        try:
            data = os.read(self.beat, _PACKET)
        except BlockingIOError:
            return []
        if not data:
            return None
        return [message for message in self._decoder.feed(data) if isinstance(message, wire.Message)]

    def deaf(self) -> None:
        """Nothing more will be said."""
        if self.beat >= 0:
            os.close(self.beat)
            self.beat = -1

    def close(self) -> None:
        """It has ended, or is to."""
        self.deaf()
        self.channel.close()


def _encode(packet: dict[str, Any]) -> bytes:
    return plain_json.dumps_ascii(packet).encode()


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _start(channel: int) -> int:
    """An interpreter that runs root.py; the pid. Raises OSError."""
    if not sys.executable:
        raise OSError("sys.executable does not say which Python runs this program: none can be started for a pool")
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 as multiprocessing does
    argv = [sys.executable, *flags, "-S", "-s", "-P", boot.__file__, "supervisor.pool.root"]
    high = fcntl.fcntl(channel, fcntl.F_DUPFD_CLOEXEC, _CLEAR_OF)
    try:
        missing = (0, *(fd for fd in (1, 2) if not is_stream(fd)))
        to_null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in missing]
        actions = [(os.POSIX_SPAWN_DUP2, high, _CHANNEL), *to_null]
        # A session of its own: Ctrl-C in the terminal is the parent's. What the parent ignores would stay ignored.
        default = signal.valid_signals() - set(_NEVER_TOUCHED)
        return os.posix_spawn(
            sys.executable, argv, os.environ, file_actions=actions, setsid=True, setsigmask=(), setsigdef=default
        )
    finally:
        os.close(high)


def _needs_site() -> bool:
    """Whether imports go through more than sys.path here (an editable install, a sitecustomize): to set that up takes 5 ms."""
    if sys.flags.no_site:
        return False
    finders = {getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path}
    return bool(finders - _ORDINARY or {"sitecustomize", "usercustomize"} & sys.modules.keys())
