"""A program of ours (the pump, a template) kept running beside the workers.

An aide is started by the anchor, talked to over a channel and heard over a beat pipe. When it ends it is started again:
at once, then with growing pauses while it keeps dying young. It has no policy and is never given up: without it nothing
else could go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor import kernel
from supervisor.anchor import boot
from supervisor.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.ledger import Ledger

YOUNG = 5.0  # seconds; an aide that dies younger than this is started again more slowly
SLOWEST = 5.0  # seconds between starts at most, if it cannot even start
SLOWEST_KILLED = 0.2  # if it was well: workers wait for it, and somebody kills it again and again


def code() -> str:
    """What our own programs are made of, as it stands on disk: another text when something else has been installed."""
    package = os.path.dirname(os.path.abspath(__file__))
    newest = size = 0
    for folder in (package, os.path.join(package, "pump"), os.path.join(os.path.dirname(package), "workers")):
        with os.scandir(folder) as entries:
            for found in (entry.stat() for entry in entries if entry.name.endswith(".py")):
                newest, size = max(newest, found.st_mtime_ns), size + found.st_size
    return f"{newest} {size}"


class Aide:
    """One helper program; subclasses say how it is started and what they make of what it says."""

    key: str  # of its note at the anchor
    flags: tuple[str, ...] = ("-s", "-P")  # for the Python that runs it
    path: tuple[str, ...] = ()  # put before its sys.path

    def __init__(self, ledger: Ledger, stderr_fds: tuple[int, int]) -> None:
        self.ledger = ledger
        self.stdio = stderr_fds
        self.pid: int | None = None
        self.start_time: int | None = None
        self.started_at = 0.0
        self.heard_at = 0.0
        self.ready = False
        self.wanted = True
        self.replaced = False  # was it told to leave to the next one?
        self.code = ""  # what it runs, see code()
        self._unkept = False  # had the anchor no room for its descriptors?
        self.failures = 0
        self.channel: Channel | None = None
        self._beat_fd: int | None = None
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._restart: asyncio.TimerHandle | None = None
        self.ended: Callable[[Aide, dict[str, Any]], None] = lambda _aide, _packet: None
        self.became_ready: Callable[[Aide], None] = lambda _aide: None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key} pid={self.pid} ready={self.ready}>"

    @property
    def is_old(self) -> bool:
        """Whether it runs other code than it would if it was started now."""
        return self.code != code()

    # -- what a subclass says -----------------------------------------------------------------------------------------

    def program(self) -> tuple[str, list[str], dict[str, str], list[int]]:
        """(module, arguments, environment, descriptors for 5 and up); the descriptors are given away."""
        raise NotImplementedError

    def said(self, message: dict[str, Any]) -> None:
        """A line from its beat pipe other than ready."""

    def received(self, _data: bytes, fds: list[int]) -> None:
        """A packet on its channel."""
        for fd in fds:
            os.close(fd)

    def hung_up(self) -> None:
        """Nobody is at the other end of its channel: it has ended, which the anchor has not told yet, or is about to."""

    # -- lives ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask the anchor for a new process; the note goes first."""
        self._restart, self._unkept, self.replaced, self.code = None, False, False, code()
        self.stop_listening()
        module, arguments, env, more = self.program()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        beat_r, beat_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        unborn = {**self._facts(), "pid": None, "start": None, "ready": False}
        self.ledger.put(self.key, unborn, [os.dup(ours.fileno()), os.dup(beat_r)])
        argv = [sys.executable, *self.flags, *boot(module, self.path), *arguments]
        fds = [null, os.dup(self.stdio[0]), os.dup(self.stdio[1]), theirs.detach(), beat_w, *more]
        self.ledger.ask({"op": "spawn", "key": self.key, "argv": argv, "env": env, "number": 0}, fds)
        self.started_at = time.monotonic()
        self.ready = False
        self._listen(ours, beat_r)

    def adopt(self, note: dict[str, Any], fds: list[int]) -> None:
        """Go on with the process an earlier supervisor started."""
        self.pid, self.start_time, self.ready = note["pid"], note["start"], note["ready"]
        self.started_at, self.code, self.replaced = time.monotonic(), note.get("code", ""), "replaced" in note
        if fds and self.pid is not None:
            self._listen(socket.socket(fileno=fds[0]), fds[1])
            return
        # It was to be started when the one who would have done it died; or the anchor had no room for its descriptors,
        # so that nobody can talk to it any more.
        for fd in fds:
            os.close(fd)
        self.kill()
        self.start()

    def _listen(self, sock: socket.socket, beat_fd: int) -> None:
        self.channel = Channel(sock, self.received, self.hung_up)
        self._beat_fd, self._rest = beat_fd, b""
        self.heard_at = time.monotonic()
        self._loop.add_reader(beat_fd, self._read_beats)

    def stop_listening(self) -> None:
        """Close what belongs to the process that was."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        if self._beat_fd is not None:
            self._loop.remove_reader(self._beat_fd)
            os.close(self._beat_fd)
            self._beat_fd = None

    def spawned(self, packet: dict[str, Any]) -> None:
        """The anchor has started it, or could not."""
        if "error" in packet:
            self.has_ended({"status": None, "why": packet["error"]})
            return
        self.pid, self.start_time = packet["pid"], packet["start"]
        self._note()
        if self._unkept:
            self.kill()

    def lost(self) -> None:
        """The anchor had no room for its descriptors, so no later supervisor could talk to it: have another."""
        self._unkept = True
        self.kill()

    def has_ended(self, packet: dict[str, Any]) -> None:
        """Its exit was seen: tell, and start the next one."""
        self._read_beats()
        was_ready, self.ready = self.ready, False
        self.stop_listening()
        self.ended(self, packet)
        self.pid = self.start_time = None
        if not self.wanted:
            return
        self._note()  # with the acknowledgement of its end: the next supervisor need not wait for it
        self.failures = self.failures + 1 if time.monotonic() - self.started_at < YOUNG else 0
        slowest = SLOWEST if not was_ready else SLOWEST_KILLED
        pause = 0.0 if self.failures < 2 else min(0.1 * 2.0 ** (self.failures - 2), slowest)
        self._restart = self._loop.call_later(pause, self.start)

    def kill(self) -> None:
        """SIGKILL, if it is still the process we mean."""
        if self.pid is None or self.start_time is None:
            return
        pidfd = kernel.open_pidfd(self.pid, self.start_time)
        if pidfd is not None:
            kernel.send_signal(pidfd, 9)
            os.close(pidfd)

    def retire(self) -> None:
        """Not wanted any more: the end of its channel, here and at the anchor, is what tells it."""
        self.wanted = False
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self.ledger.drop(self.key)
        self.stop_listening()

    # -- what it says -------------------------------------------------------------------------------------------------

    def _note(self) -> None:
        self.ledger.put(self.key, self._facts())

    def _facts(self) -> dict[str, Any]:
        facts = {"pid": self.pid, "start": self.start_time, "ready": self.ready, "code": self.code}
        return {**facts, "replaced": True} if self.replaced else facts

    def _read_beats(self) -> None:
        if self._beat_fd is None:
            return
        try:
            data = os.read(self._beat_fd, 65536)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._beat_fd)
            return
        self.heard_at = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                self._understand(msgspec.json.decode(line))

    def _understand(self, message: dict[str, Any]) -> None:
        if not self.ready and message.get("kind") in ("ready", "beat"):
            self.ready = True
            if self.pid is not None:  # if not, the anchor knows it before we do: it must stand in the note
                self._note()
            self.said(message)
            self.became_ready(self)
        else:
            self.said(message)
