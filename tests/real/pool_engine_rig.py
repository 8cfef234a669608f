"""A small world for a pool's engine: this process is the parent; the workers are the acts below.

`Rig` is the listener: it waits for descriptors, calls what was given to `watch`, and writes down what it is told.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from supervisor import kernel
from supervisor.pool.engine import Engine

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.ending import Ending

PATIENCE = 10.0  # seconds until a test gives up waiting
CHANNEL = 6
TARGET = "tests.real.pool_engine_rig:main"


class Rig:
    """A listener, its engine, and the parent's ends of the workers' channels."""

    def __init__(self, target: str = TARGET, **options: Any) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.ends: dict[int, socket.socket] = {}
        self._ready: dict[int, Callable[[], None]] = {}
        self._poll = select.poll()
        self._number = 0
        self.engine = Engine(self, target=target, **options)

    # -- as a listener

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        assert fd not in self._ready
        self._ready[fd] = ready
        self._poll.register(fd, select.POLLIN)

    def watch_ends(self, fd: int, ready: Callable[[], None]) -> None:
        self.watch(fd, ready)

    def unwatch(self, fd: int) -> None:
        del self._ready[fd]
        self._poll.unregister(fd)

    def born(self, number: int, pid: int) -> None:
        self.told.append(("born", number, pid))

    def unborn(self, number: int, why: str) -> None:
        self.told.append(("unborn", number, why))

    def ended(self, number: int, ending: Ending) -> None:
        self.told.append(("ended", number, ending))

    def stopped(self, number: int, pid: int) -> None:
        self.told.append(("stopped", number, pid))

    def lost(self) -> None:
        self.told.append(("lost", 0))

    # -- as the parent

    def spawn(self) -> int:
        """Ask for a worker; its number."""
        self._number += 1
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self.ends[self._number] = ours
        self.engine.spawn(self._number, theirs)
        return self._number

    def turn(self, seconds: float = 0.05) -> None:
        """Wait for something, and have it done."""
        for fd, _ in self._poll.poll(seconds * 1000):
            if fd in self._ready:
                self._ready[fd]()

    def until(self, what: str, number: int = 0) -> Any:
        """Wait until it was told; the third of it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for told in self.told:
                if told[:2] == (what, number):
                    return told[2] if len(told) > 2 else None
            self.turn()
        raise TimeoutError(f"{what} {number} was not told, but {self.told}")

    def outcome(self, number: int) -> tuple[Any, ...]:
        """The first that is told of it."""
        self.wait_for(lambda: any(told[1] == number for told in self.told))
        return next(told for told in self.told if told[1] == number)

    def wait_for(self, look: Callable[[], bool]) -> None:
        """Turn until it is true."""
        deadline = time.monotonic() + PATIENCE
        while not look():
            if time.monotonic() > deadline:
                raise TimeoutError(f"never; told was {self.told}")
            self.turn()

    def worker(self) -> tuple[int, int]:
        """One that is born: its number and pid."""
        number = self.spawn()
        return number, self.until("born", number)

    def tell(self, number: int, act: str, *arguments: Any) -> Any:
        """Have a worker do something; its answer."""
        self.order(number, act, *arguments)
        return json.loads(self.ends[number].recv(65536))

    def order(self, number: int, act: str, *arguments: Any) -> None:
        """Have it do something that has no answer."""
        self.ends[number].sendall(json.dumps([act, *arguments]).encode())

    def forget(self, number: int) -> None:
        self.engine.forget(number)
        self.ends.pop(number).close()

    @property
    def root(self) -> int:
        """The pid of the root."""
        assert self.engine._trunk.root is not None
        return self.engine._trunk.root.pid

    @property
    def nonce(self) -> int:
        assert self.engine._trunk.root is not None
        return self.engine._trunk.root.nonce

    def named(self, command: str) -> list[int]:
        """The living children of the root that have this name (`ps -o comm`)."""
        found = (kernel.stat(pid) for pid in kernel.children_of_one_thread(self.root))
        return [now.pid for now in found if now is not None and now.command == command and now.state not in "ZX"]

    def the(self, command: str) -> int:
        """The one of this name, as soon as it is there."""
        return eventually(lambda: self.named(command))[0]

    def close(self, within: float = 5.0) -> None:
        self.engine.close(within=within)
        for end in self.ends.values():
            end.close()
        self.ends.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def eventually(look: Callable[[], T]) -> T:
    """What it returns as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"never: {look}")
        time.sleep(0.002)
    return found


# -- in a worker ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Do what the parent says, until it says no more."""
    channel = socket.socket(fileno=CHANNEL)
    while data := channel.recv(65536):
        act, *arguments = json.loads(data)
        answer = ACTS[act](*arguments)
        channel.sendall(json.dumps(answer).encode())


def described() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "path": sys.path,
        "cwd": os.getcwd(),
        "ignored": sorted(int(one) for one in signal.valid_signals() if signal.getsignal(one) == signal.SIG_IGN),
        "blocked": sorted(int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }


def left_a_daemon(clean: bool = False) -> int:
    """A grandchild in a session of its own, with its environment cleared if wished."""
    program = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(program, start_new_session=True, env={} if clean else None, close_fds=True).pid


def nested() -> dict[str, Any]:
    """An engine of its own, with a worker that has left a daemon."""
    inner = Rig()
    KEPT.append(inner)
    number, pid = inner.worker()
    return {
        "root": inner.root,
        "worker": pid,
        "daemon": inner.tell(number, "daemon"),
        "template": inner.the("template pool"),
    }


KEPT: list[Any] = []


def ended(code: int) -> None:
    os._exit(code)


ACTS: dict[str, Callable[..., Any]] = {
    "describe": described,
    "daemon": left_a_daemon,
    "exit": ended,
    "nested": nested,
    "kill": lambda number: os.kill(os.getpid(), number),
    "look": lambda module, name: getattr(sys.modules[module], name),
    "sleep": time.sleep,
    "threads": lambda: len(os.listdir("/proc/self/task")),
}
