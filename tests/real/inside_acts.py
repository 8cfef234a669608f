"""Each lasting fault that a worker does to itself: how it is injected, what can be seen of it, and that it is gone."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.chaos_rig import Rig

MIB = 1024 * 1024
LOOK_S = 0.15  # several beats of the worker, and so long enough to say that none came


class Case(NamedTuple):
    """`shows`: whether it can be seen at the worker with this pid, given what was seen of that before."""

    kind: str
    parameters: dict[str, Any]
    shows: Callable[[Rig, int, Sight], bool]

    def __repr__(self) -> str:
        return "-".join([self.kind, *map(str, self.parameters.values())])


class Sight(NamedTuple):
    """What a worker has: nothing of it may be more after a fault than before."""

    threads: int
    children: int
    descriptors: list[str]
    ignored: bool
    limit: str
    branded: int


def look(service: Rig, pid: int) -> Sight:
    """As it is now."""
    with open(f"/proc/{pid}/limits") as file:
        limit = next(line for line in file if line.startswith("Max address space"))
    return Sight(
        threads=len(os.listdir(f"/proc/{pid}/task")),
        children=len(kernel.children(pid)),
        descriptors=sorted(f"{fd} {os.readlink(f'/proc/{pid}/fd/{fd}')}" for fd in os.listdir(f"/proc/{pid}/fd")),
        ignored=ignores_term(pid),
        limit=limit,
        branded=sum(kernel.read_brand(each) == kernel.read_brand(pid) for each in service.living()),
    )


def ignores_term(pid: int) -> bool:
    """By what the kernel says."""
    return bool(int(word(pid, "SigIgn"), 16) & 1 << (signal.SIGTERM - 1))


def word(pid: int, name: str) -> str:
    """A line of its status."""
    with open(f"/proc/{pid}/status") as file:
        return next(line for line in file if line.startswith(f"{name}:")).split()[1]


def rss(pid: int) -> int:
    """Bytes it has in memory that are its own."""
    return int(word(pid, "RssAnon")) * 1024


def waiting(pid: int) -> int:
    """Bytes in the beat pipe of a worker whose pipe nobody reads: one without beat_within that is ready."""
    fd = os.open(f"/proc/{pid}/fd/3", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])
    except OSError:  # not a pipe
        return -1
    finally:
        os.close(fd)


def beats(pid: int) -> bool:
    """Whether something comes."""
    before, deadline = waiting(pid), time.monotonic() + LOOK_S
    while time.monotonic() < deadline:
        if waiting(pid) > before:
            return True
        time.sleep(0.005)
    return False


def is_silent(_service: Rig, pid: int, _before: Sight) -> bool:
    return not beats(pid)


def is_in_a_black_hole(_service: Rig, pid: int, _before: Sight) -> bool:
    return os.readlink(f"/proc/{pid}/fd/3") == os.devnull


def is_deaf(_service: Rig, pid: int, _before: Sight) -> bool:
    return ignores_term(pid)


def has_threads(_service: Rig, pid: int, before: Sight) -> bool:
    return len(os.listdir(f"/proc/{pid}/task")) == before.threads + 2


def has_children(_service: Rig, pid: int, before: Sight) -> bool:
    return len(kernel.children(pid)) == before.children + 20


def has_a_daemon(service: Rig, pid: int, before: Sight) -> bool:
    return look(service, pid).branded == before.branded + 1 and not kernel.children(pid)


def has_leaked(_service: Rig, pid: int, _before: Sight) -> bool:
    found = rss(pid)
    assert found < 60 * MIB, "never beyond its ceiling"
    return found > 40 * MIB


def is_limited(service: Rig, pid: int, before: Sight) -> bool:
    return look(service, pid).limit != before.limit


def writes_single_bytes(_service: Rig, pid: int, _before: Sight) -> bool:
    before = writes(pid)
    deadline = time.monotonic() + LOOK_S
    while time.monotonic() < deadline:
        time.sleep(0.005)
    count, size = (now - then for now, then in zip(writes(pid), before, strict=True))
    return count > 20 and size < 2 * count


def writes(pid: int) -> tuple[int, int]:
    """How many, and of how many bytes."""
    with open(f"/proc/{pid}/io") as file:
        said = dict(line.split(": ") for line in file)
    return int(said["syscw"]), int(said["wchar"])


def floods(service: Rig, _pid: int, _before: Sight) -> bool:
    return bool(service.seen("worker.output", worker="target", msg=lambda msg: "of a flood" in msg))


LASTING = [
    Case("hang", {"how": "loop"}, is_silent),
    Case("hang", {"how": "gil"}, is_silent),
    Case("hang", {"how": "deadlock"}, is_silent),
    Case("ignore-term", {"restart": False}, is_deaf),
    Case("grandchild", {"exit": False}, has_a_daemon),
    Case("cpu", {"how": "threads", "n": 2}, has_threads),
    Case("cpu", {"how": "processes", "n": 20, "load": 1}, has_children),
    Case("leak", {"rate": "1GiB", "ceiling": "40MiB"}, has_leaked),
    Case("leak", {"rate": "1GiB", "ceiling": "1MiB", "then": "limit"}, is_limited),
    Case("fork-storm", {"n": 20}, has_children),
    Case("hb-stop", {}, is_silent),
    Case("hb-slow", {"delay": "60s", "jitter": "5s"}, is_silent),
    Case("pipe-slice", {}, writes_single_bytes),
    Case("pipe-blackhole", {}, is_in_a_black_hole),
    Case("log-flood", {"rate": 100}, floods),
]
