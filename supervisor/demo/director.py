"""Has the experiments performed one after another, each on a stage of its own, and clears the stage after each.

Rules:
- Nothing stays behind: we are the subreaper of all that an experiment starts, and end what is left of it.
- Nothing lasts: an experiment that is not over after LONGEST seconds is ended, and has shown nothing.
- Ctrl-C reaches only us (a stage is a session of its own): the stage is cleared and KeyboardInterrupt goes on.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor import boot, kernel
from supervisor.demo import catalogue
from supervisor.demo.frame import Result
from supervisor.demo.stage import failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LONGEST = 40.0  # seconds
LONGEST_BASE = 30  # bytes: below it come sockets, and the path of one may have 107
CLEARED_WITHIN = 5.0
TURN = 0.1  # seconds between two calls of `tick`


def perform(
    names: Sequence[str], *, quick: bool, tick: Callable[[str, float], None], longest: float = LONGEST
) -> Iterator[Result]:
    """Give the results one by one. tick(name, seconds) is called about ten times a second, for a sign of life."""
    kernel.become_subreaper()
    base = tempfile.gettempdir()
    if len(base) > LONGEST_BASE:
        base = "/tmp"  # noqa: S108 - mkdtemp makes a folder of our own in it
    folder = tempfile.mkdtemp(prefix="ninelives-demo-", dir=base)
    try:
        for name in names:
            yield _one(name, folder, quick=quick, tick=tick, longest=longest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _one(name: str, folder: str, *, quick: bool, tick: Callable[[str, float], None], longest: float) -> Result:
    with open(os.path.join(folder, f"{name}.log"), "w+b") as log:
        read, write = os.pipe()
        try:
            pid = _start(name, folder, log.fileno(), write, quick=quick)
            os.close(write)
            said = _read(read, pid, lambda seconds: tick(name, seconds), longest)
        finally:
            clear()
            os.close(read)
        log.seek(0)
        return understood(name, said, log.read().decode("utf-8", "replace"), longest)


def _start(name: str, folder: str, log: int, result: int, *, quick: bool) -> int:
    words = [sys.executable, "-P", boot.__file__, "supervisor.demo.stage", name, "--result", "3"]
    words += ["--parent", str(os.getpid()), *["--quick"] * quick]
    moves: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    moves += [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in ((1, log), (2, log), (3, result))]
    # Not Popen: whatever is below us is reaped by `clear`, and Popen would miss its child.
    return os.posix_spawn(sys.executable, words, {**os.environ, "TMPDIR": folder}, file_actions=moves, setsid=True)


def _read(fd: int, pid: int, tick: Callable[[float], None], longest: float) -> bytes | None:
    """All that the stage says before it ends, None if it does not end.

    Its end, not that of the pipe: something it forked may hold the pipe for ever.
    """
    os.set_blocking(fd, False)
    stage, began, said = os.pidfd_open(pid), time.monotonic(), b""
    try:
        while (spent := time.monotonic() - began) < longest:
            tick(spent)
            ready = select.select([fd, stage], [], [], TURN)[0]
            with contextlib.suppress(BlockingIOError):
                while more := os.read(fd, 1 << 16):
                    said += more
            if stage in ready:
                return said
            if ready:  # the pipe has ended: there is nothing to wait for but the stage
                select.select([stage], [], [], TURN)
    finally:
        os.close(stage)
    return None


def understood(name: str, said: bytes | None, log: str, longest: float) -> Result:
    """The result that was written, or why there is none."""
    experiment = catalogue.load(name)
    if said is None:
        return failure(name, experiment, f"it was not over after {longest:g} s\n{log}")
    try:
        return msgspec.json.decode(said, type=Result)
    except msgspec.DecodeError:
        return failure(name, experiment, f"its process ended without a result\n{log}")


def clear() -> None:
    """End and reap every process below us. TimeoutError if one does not end."""
    deadline = time.monotonic() + CLEARED_WITHIN
    while time.monotonic() < deadline:
        for pid in kernel.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.002)
    raise TimeoutError(f"processes of an experiment do not end: {kernel.descendants(os.getpid())}")
