"""What a test must not leave behind: processes, descriptors, control sockets.

Processes are recognised by their hard limit of RLIMIT_RTTIME: like our brand, which is the soft one, it is
handed on through fork, exec, setsid and a cleared environment, so not even a daemon slips out of the count.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import stat
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from supervisor import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

MARK = 1 << 62 | os.getpid()  # above every brand, and without the bit that makes a brand
PATIENCE_S = 3.0  # what is on its way out may finish; this long only when something really is left


@contextlib.contextmanager
def none(folder: Path) -> Iterator[None]:
    """Fail the test if something is there afterwards that was not before; sockets: below the folder."""
    processes, descriptors = _processes(), _descriptors()
    yield
    late = [
        *_after_patience(lambda: _processes() - processes, _describe),
        *_after_patience(lambda: _descriptors() - descriptors, lambda fd: f"descriptor {fd[0]} -> {fd[1]}"),
        *(f"socket {path}" for path in folder.rglob("*.sock") if stat.S_ISSOCK(path.lstat().st_mode)),
    ]
    for pid in _processes() - processes:  # the next test starts clean whatever this one did
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if late:
        pytest.fail("left behind:\n  " + "\n  ".join(late), pytrace=False)


def _after_patience(look: Callable[[], set[T]], describe: Callable[[T], str]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while (left := look()) and time.monotonic() < deadline:
        gc.collect()  # a transport in a reference cycle is garbage, not a leak
        time.sleep(0.01)
    return [describe(one) for one in left]


def _processes() -> set[int]:
    """Living processes started, at any remove, by this run of pytest (not those in a rig's PID namespace)."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and _ours(int(entry)):
            now = kernel.stat(int(entry))
            if now is not None and now.state not in "ZX":
                found.add(int(entry))
    return found


def _ours(pid: int) -> bool:
    try:
        return resource.prlimit(pid, kernel.RLIMIT_RTTIME)[1] == MARK and (
            os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
        )
    except OSError:
        return False


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of listdir itself
            found.add((int(fd), os.readlink(f"/proc/self/fd/{fd}")))
    return found


def _describe(pid: int) -> str:
    now = kernel.stat(pid)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        line = ""
    return f"process {pid} ({line or (now.command if now else 'gone')})"
