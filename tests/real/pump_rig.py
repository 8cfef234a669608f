"""Plays anchor and supervisor to a real pump: holds its descriptors, starts it, kills it, starts it again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOOT = f"""
import sys
sys.path.insert(0, {ROOT!r})
from supervisor.pump.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def add(label: dict[str, Any]) -> dict[str, Any]:
    """The message that adds one source, whose name and stream stand in its label."""
    rest = {key: value for key, value in label.items() if key not in ("source", "stream")}
    return {"kind": "add", "sources": [[label["source"], label["stream"]]], **rest}


class Rig:
    """stdout: the descriptor that plays the service's stdout; owned by the caller."""

    def __init__(
        self, stdout: int, *, fmt: str = "json", recent: int = 4 << 20, env: dict[str, str] | None = None
    ) -> None:
        self.stdout, self.fmt, self.recent, self.env = stdout, fmt, recent, env or {}
        self.channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.beat_r, self._beat_w = os.pipe()
        self.events_r, self.events_w = os.pipe()
        self.journal, self.inbox = os.memfd_create("journal"), os.memfd_create("inbox")
        self.private = os.pipe()
        self.sources: dict[str, tuple[dict[str, Any], int]] = {}
        self.ended: set[str] = set()
        self.pid = 0
        self.start()

    def start(self) -> None:
        given = [
            os.open("/dev/null", os.O_RDONLY), self.stdout, 2, self._theirs.fileno(), self._beat_w, self.events_r,
            self.journal, self.inbox, *self.private,
        ]  # fmt: skip
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]
        os.close(given[0])
        words = ["--instance", "test", "--nonce", "7", "--anchor", str(os.getpid()), "--format", self.fmt]
        argv = [sys.executable, "-S", "-P", "-c", BOOT, *words, "--recent", str(self.recent)]
        actions = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate(high)]
        self.pid = os.posix_spawn(sys.executable, argv, {"PATH": os.environ["PATH"], **self.env}, file_actions=actions)
        for fd in high:
            os.close(fd)
        for label, fd in self.sources.values():
            self.tell(add(label), [fd])

    def tell(self, message: dict[str, Any], fds: list[int]) -> None:
        socket.send_fds(self.channel, [json.dumps(message).encode()], fds)

    def add(self, name: str, *, stream: str = "stdout", **output: Any) -> int:
        """A new source; returns the worker's end."""
        reader, writer = os.pipe()
        worker = name.split("#", 1)[0]
        label = {
            "source": name,
            "worker": worker,
            "spawn_id": name,
            "pid": 1,
            "stream": stream,
            "output": output,
            "uid": None,
        }
        self.sources[name] = (label, reader)
        self.tell(add(label), [reader])
        return writer

    def follow(self, *, follow: bool = False, **wanted: Any) -> socket.socket:
        """A client's end."""
        ours, theirs = socket.socketpair()
        self.tell({"kind": "follow", "filter": wanted, "follow": follow}, [theirs.fileno()])
        theirs.close()
        return ours

    def event(self, name: str, **fields: Any) -> None:
        value = {
            "timestamp": "2026-01-01T00:00:00.000000Z",
            "level": "info",
            "event": name,
            "msg": "",
            **fields,
        }
        os.write(self.events_w, json.dumps(value, separators=(",", ":")).encode() + b"\n")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0

    def hear(self, seconds: float) -> bool:
        """Take one `eof` message."""
        if not select.select([self.channel], [], [], seconds)[0]:
            return False
        message = json.loads(self.channel.recv(1 << 16))
        assert message["kind"] == "eof"
        self.ended.add(message["source"])
        _, fd = self.sources.pop(message["source"], (None, -1))
        if fd >= 0:
            os.close(fd)
        return True

    def wait_ended(self, *names: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.ended.issuperset(names):
            assert time.monotonic() < deadline, f"no eof from {set(names) - self.ended}"
            self.hear(0.5)

    def stop(self) -> int:
        """Ask it to finish; its exit code."""
        self.tell({"kind": "stop"}, [])
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def close(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                self.kill()
        self.channel.close()
        self._theirs.close()
        fds = [
            self.beat_r,
            self._beat_w,
            self.events_r,
            self.events_w,
            self.journal,
            self.inbox,
            *self.private,
        ]
        for fd in fds + [fd for _, fd in self.sources.values()]:
            os.close(fd)


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
