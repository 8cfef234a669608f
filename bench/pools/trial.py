"""One measurement in a process and a session of its own, with an end: whoever hangs is killed, and what it left is told.

The bench is a subreaper, so whatever the pool started and lost is below us and can be found. Nothing is polled while
something is measured: we sleep until the process has ended.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from bench import processes
from bench.peers import OUT
from bench.pools import environment

if TYPE_CHECKING:
    from bench.pools import Values

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHM = "/dev/shm"
SETTLE = 0.5  # seconds in which the workers of an ended process may end themselves


class Found(NamedTuple):
    """What was measured, and every word about what went wrong; `values` may be there all the same."""

    values: Values
    notes: dict[str, str]
    trouble: str


def run(pool: str, figure: str, within: float) -> Found:
    """Measure `figure` of `pool`; after `within` seconds it is killed."""
    there = set(os.listdir(SHM))
    with tempfile.TemporaryDirectory(prefix="nlb-", ignore_cleanup_errors=True) as folder:
        argv = [environment.python(), "-m", "bench.pools.measure", pool, figure]
        with open(f"{folder}/told", "wb") as told, open(f"{folder}/errors", "wb") as errors:
            popen = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=errors,
                start_new_session=True,
            )
            hung = not _ended(popen, within)
        trouble = [f"hung after {within:g} s"] if hung else []
        if hung:
            shutil.copyfile(f"{folder}/errors", os.path.join(OUT, f"hung-{pool}-{figure}.txt"))
        left = _left(popen, hung=hung)
        found = _last_line(f"{folder}/told")
        if not hung and popen.returncode:
            trouble.append(_why(popen.returncode, f"{folder}/errors", measured=found is not None))
    if left and not trouble:
        trouble.append(f"{left} processes left behind")
    named = _unlinked(popen.pid, there)
    if named:
        trouble.append(f"{named} names left in {SHM}")
    values, notes = found or ({}, {})
    return Found(values, notes, "; ".join(trouble))


def _ended(popen: subprocess.Popen[bytes], within: float) -> bool:
    pidfd = os.pidfd_open(popen.pid)
    try:
        waiting = select.poll()
        waiting.register(pidfd, select.POLLIN)
        ended = bool(waiting.poll(within * 1000))
    finally:
        os.close(pidfd)
    if ended:
        popen.wait()
    return ended


def _left(popen: subprocess.Popen[bytes], *, hung: bool) -> int:
    """How many processes outlived the one that was to close its pool; none does after this."""
    deadline = time.monotonic() + SETTLE
    while not hung and processes.alive_below() and time.monotonic() < deadline:
        time.sleep(0.02)
    left = len(processes.alive_below())
    processes.swept(popen)
    return left


def _last_line(path: str) -> tuple[Values, dict[str, str]] | None:
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in reversed(file.read().splitlines()):
            if line.startswith('{"values"'):
                told = json.loads(line)
                return told["values"], told["notes"]
    return None


def _why(code: int, path: str, *, measured: bool) -> str:
    if measured:
        return "does not close" if code == 1 else f"exit code {code} when closed"
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file.read().splitlines() if line and not line.startswith(" ")]
    return f"exit code {code}: {lines[-1][:160] if lines else 'no word'}"


def _unlinked(pid: int, before: set[str]) -> int:
    """Names in shared memory that carry this measurement's pid; others may be at work on this machine."""
    named = [name for name in set(os.listdir(SHM)) - before if str(pid) in name]
    for name in named:
        path = os.path.join(SHM, name)
        subprocess.run(["rm", "-rf", "--", path], check=False, timeout=30)
    return len(named)
