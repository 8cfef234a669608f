"""A small world for the template: this process plays the supervisor and the anchor (it is the subreaper)."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import Any, Self

from supervisor import kernel
from workers import wire

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOOT = "import sys; sys.path[:0] = {path!r}; from supervisor.template import main; main(sys.argv[1:])"
PATIENCE = 10.0  # seconds until a test gives up waiting for a line or an end


def environment(**more: str) -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **one, **more}


class Life:
    """One requested worker, seen from outside."""

    def __init__(self, beat: int, out: int, err: int, go: int, stack: int) -> None:
        self.beat, self.out, self.err, self.go, self.stack = beat, out, err, go, stack
        self._decoder = wire.Decoder()
        self._heard: list[wire.Message | wire.Violation] = []
        self.pid = 0
        self.status: int | None = None

    def next(self) -> wire.Message | None:
        """The next message, None at the end of the pipe."""
        while not self._heard:
            if not select.select([self.beat], [], [], PATIENCE)[0]:
                raise TimeoutError("nothing on the beat pipe")
            data = os.read(self.beat, 65536)
            if not data:
                return None
            self._heard = self._decoder.feed(data)
        message = self._heard.pop(0)
        assert isinstance(message, wire.Message), message
        if message.kind == "hello":
            self.pid = message.fields["pid"]
        return message

    def until(self, kind: str) -> wire.Message:
        """The next message of that kind."""
        while (message := self.next()) is not None:
            if message.kind == kind:
                return message
        raise AssertionError(f"the pipe ended without {kind}")

    def say_go(self, **fields: Any) -> None:
        os.write(self.go, wire.encode_go(wire.Go(**fields)))
        os.close(self.go)
        self.go = -1

    def read(self, fd: int) -> str:
        """All of a pipe, up to its end."""
        data = b""
        while select.select([fd], [], [], PATIENCE)[0]:
            more = os.read(fd, 65536)
            if not more:
                return data.decode()
            data += more
        raise TimeoutError(f"no end of output after {data!r}")

    def ended(self) -> int:
        """Reap it; the wait status as an exit code, negative for a signal."""
        if self.status is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                if not select.select([pidfd], [], [], PATIENCE)[0]:
                    raise TimeoutError(f"{self.pid} does not end")
            finally:
                os.close(pidfd)
            self.status = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(self.status)

    def stacks(self) -> str:
        return os.pread(self.stack, 1 << 20, 0).decode()

    def close(self) -> None:
        for fd in (self.beat, self.out, self.err, self.stack, *([self.go] if self.go >= 0 else [])):
            os.close(fd)


class World:
    """A template, the lives asked of it, and the promise that nothing of it is left."""

    def __init__(self, *preload: str, path: tuple[str, ...] = (), once: bool = False, nonce: int | None = None) -> None:
        kernel.become_subreaper()
        self.nonce = nonce or int.from_bytes(os.urandom(3), "big") | 1
        self.lives: list[Life] = []
        self._number = 0
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = ours
        read, write = os.pipe()
        out, out_w = os.pipe()
        err, err_w = os.pipe()
        self.said = Life(read, out, err, -1, os.memfd_create("none"))
        everything = [*path, ROOT, *(entry for entry in sys.path if "lib" in entry)]
        argv = [sys.executable, "-S", "-P", "-c", BOOT.format(path=everything), "test"]
        argv += ["--nonce", str(self.nonce), "--anchor", str(os.getpid())]
        argv += ["--once"] * once + ["--preload", *preload] * bool(preload)
        self.pid = os.fork()
        if self.pid == 0:
            null = os.open("/dev/null", os.O_RDWR)
            moved = [os.dup(fd) for fd in (null, out_w, err_w, theirs.fileno(), write)]
            kernel.set_brand(kernel.brand(self.nonce, 0))
            high = max(moved) + 8
            moved = [os.dup2(fd, high + index) for index, fd in enumerate(moved)]
            for place, fd in enumerate(moved):
                os.dup2(fd, place)
            os.closerange(5, 1 << 20)
            os.execve(argv[0], argv, environment())
        for fd in (write, out_w, err_w):
            os.close(fd)
        theirs.close()

    def ready(self) -> wire.Message:
        return self.said.until("ready")

    def ask(self, **request: Any) -> Life:
        """Ask for a life; the beat pipe tells what became of it."""
        self._number += 1
        out, out_w = os.pipe()
        err, err_w = os.pipe()
        beat, beat_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        go_r, go = os.pipe()
        stack = os.memfd_create("stack")
        packet = {
            "kind": "spawn", "spawn": f"it#{self._number}", "brand": kernel.brand(self.nonce, self._number),
            "anchor": os.getpid(), "name": "it", "spec": "it", "env": environment(), **request,
        }  # fmt: skip
        fds = [out_w, err_w, beat_w, go_r, stack]
        socket.send_fds(self.channel, [json.dumps(packet).encode()], fds)
        for fd in fds[:4]:
            os.close(fd)
        life = Life(beat, out, err, go, stack)
        self.lives.append(life)
        return life

    def branded(self) -> list[int]:
        """Living processes that carry this world's brand."""
        found = []
        for entry in os.listdir("/proc"):
            value = kernel.read_brand(int(entry)) if entry.isdigit() else None
            now = kernel.stat(int(entry)) if value is not None else None
            ours = value is not None and value >> 32 & 0xFFFFFF == self.nonce
            if now is not None and now.state not in "ZX" and ours:
                found.append(now.pid)
        return found

    def settled(self, *commands: str) -> list[int]:
        """The processes, once they are those of these names (`ps -o comm`) and no others: no midwife, no shell on its way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [now for pid in self.branded() if (now := kernel.stat(pid)) is not None]
            # A midwife is called like her embryo, and is the template's child.
            is_midwife = any(now.parent == self.pid and now.command.startswith("embryo") for now in found)
            if not is_midwife and sorted(now.command for now in found) == sorted(commands):
                return [now.pid for now in found]
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {sorted(commands)}: {found}")
            time.sleep(0.002)

    def close(self) -> None:
        """End everything, by brand, and reap it; the descriptors too."""
        self.channel.close()
        end_branded(self.nonce)
        for life in (*self.lives, self.said):
            life.close()
        assert self.branded() == []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def end_branded(nonce: int) -> None:
    """Kill and reap what carries this brand, until this process has no child any more."""
    kernel.kill_branded(nonce)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        kernel.kill_branded(nonce)
        if not pid:
            time.sleep(0.002)
    raise TimeoutError("a child does not end")


def told(life: Life) -> dict[str, Any]:
    assert life.until("ready")
    return dict(json.loads(life.read(life.out)))


def ended(life: Life) -> int:
    life.until("hello")
    return life.ended()
