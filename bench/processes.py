"""Starting, weighing and ending a service under measure, with everything it started.

The bench is a subreaper, so what a service leaves behind becomes our child and is ended, by pidfd, before the next begins.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from supervisor import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GRACE = 15.0  # seconds a service has to stop everything


def started(
    argv: Sequence[str], *, folder: str, env: Mapping[str, str] | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """A service as a child of ours; what it says goes to `stdout`, or to FOLDER/said."""
    with open(os.path.join(folder, "said"), "ab") as said:
        return subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said if stdout is None else stdout,
            stderr=said,
            start_new_session=True,
        )


def ended(service: subprocess.Popen[bytes]) -> None:
    """Stop the service, in order if it can, and then all that is left below us."""
    if service.poll() is None:
        service.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.wait(GRACE)
    swept(service)


def alive_below() -> list[int]:
    """Every process below us that has not ended."""
    seen = {pid: kernel.stat(pid) for pid in kernel.descendants(os.getpid())}
    return [pid for pid, found in seen.items() if found is not None and found.state not in "ZX"]


def swept(service: subprocess.Popen[bytes]) -> None:
    """Kill all that is left below us, the service among it."""
    for _ in range(200):
        left = kernel.descendants(os.getpid())
        for pid in left:
            _kill(pid)
        if service.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.wait(0.05)
        _reap(service.pid)
        if not left:
            return
        time.sleep(0.02)


def _kill(pid: int) -> None:
    seen = kernel.stat(pid)
    pidfd = kernel.open_pidfd(pid, seen.start) if seen else None
    if pidfd is not None:
        kernel.send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


def _reap(but: int) -> None:
    """Orphans that became ours; the service itself is subprocess's to reap."""
    for pid in kernel.children(os.getpid()):
        if pid != but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def own(workers: Iterable[int]) -> dict[int, str]:
    """pid -> name of every process below us that is no worker and below none: the service's own."""
    theirs = set(workers)
    found: dict[int, str] = {}
    waiting = kernel.children(os.getpid())
    for pid in waiting:
        seen = kernel.stat(pid)
        if pid in theirs or seen is None or seen.state in "ZX":
            continue
        found[pid] = seen.command
        waiting.extend(kernel.children(pid))
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU these processes have used, all threads, to the nanosecond."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                    total += int(file.read().split()[0])
    return total / 1e9


def memory(pid: int) -> dict[str, float]:
    """smaps_rollup in MiB: Pss, Private_Dirty, Shared_Clean …; empty if it is gone."""
    found: dict[str, float] = {}
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file.readlines()[1:]:
            name, amount, *_ = line.decode().split()
            found[name.rstrip(":")] = int(amount) / 1024
    return found


def pss(pids: Iterable[int]) -> float:
    """Proportional set size of all of them together, MiB."""
    return sum(memory(pid).get("Pss", 0.0) for pid in pids)


def load() -> float:
    """The machine's one minute load."""
    return os.getloadavg()[0]
