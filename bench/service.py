"""ninelives under measure: a config, a folder, its events, and which of its processes is which."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bench import processes
from supervisor import kernel

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKLOAD = os.path.join(ROOT, "bench", "workload")
PARTS = {"nl-anchor": "anchor", "nl-supervisor": "supervisor", "nl-pump": "pump"}

# Kills come faster than any real trouble: none of them may add up to a backoff or a quarantine.
UNTIRING = """
stable_after = "20ms"
backoff = { first = "0s", initial = "1ms", max = "1ms", jitter = "0s" }
max_failures = 1000
"""


class Service:
    """A running service; `events` is the file its JSON lines go to."""

    def __init__(self, folder: str, config: str, *, stdout: int | None = None) -> None:
        self.folder = folder
        self.events = os.path.join(folder, "said")
        path = os.path.join(folder, "bench.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'[supervisor]\nname = "bench"\npath = ["{WORKLOAD}"]\nstarting_at_once = 64\n{config}')
        argv = [sys.executable, "-m", "supervisor.cli.main", "run", "--log-format", "json", path]
        env = {"XDG_RUNTIME_DIR": folder, "PYTHONPATH": ROOT}
        self.began = time.monotonic()
        self.popen: subprocess.Popen[bytes] = processes.started(argv, folder=folder, env=env, stdout=stdout)

    def parts(self) -> dict[str, int]:
        """anchor, supervisor and pump -> pid."""
        found = {}
        for pid in (self.popen.pid, *kernel.children(self.popen.pid)):
            seen = kernel.stat(pid)
            if seen is not None and seen.command in PARTS:
                found[PARTS[seen.command]] = pid
        return found

    def templates(self) -> dict[str, int]:
        """Names of the templates -> pid, without their midwives."""
        found = {}
        for pid in kernel.children(self.popen.pid):
            seen = kernel.stat(pid)
            if seen is not None and seen.command.startswith("template "):
                found[seen.command] = pid
        return found

    def told(self, event: str | None = None) -> list[dict[str, Any]]:
        """All events so far (of one name)."""
        found = []
        with open(self.events, "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if event is None or said["event"] == event:
                        found.append(said)
        return found

    def wait_told(self, event: str, count: int = 1, within: float = 30.0) -> list[dict[str, Any]]:
        """Those events, when there are so many. Raises TimeoutError, ChildProcessError."""
        deadline = time.monotonic() + within
        while len(found := self.told(event)) < count:
            if self.popen.poll() is not None:
                raise ChildProcessError(f"the service ended with exit code {self.popen.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} {event} within {within:g} s")
            time.sleep(0.05)
        return found


@contextlib.contextmanager
def running(folder: str, config: str, *, stdout: int | None = None) -> Iterator[Service]:
    """A service that is gone, with all it started, when this is left."""
    service = Service(folder, config, stdout=stdout)
    try:
        yield service
    finally:
        processes.ended(service.popen)


def clock(said: dict[str, Any]) -> float:
    """An event's timestamp as CLOCK_REALTIME seconds."""
    return datetime.fromisoformat(said["timestamp"]).timestamp()
