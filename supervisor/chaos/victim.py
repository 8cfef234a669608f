"""A service made to be broken: workers of every sort, nearly all of them open to chaos, in a folder of its own.

The soak and the shipped experiments hurt it. It runs `ninelives run` as anybody would; nothing in it is a stand-in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from supervisor.cli import client

if TYPE_CHECKING:
    from types import TracebackType

NAME = "victim"
STARTS_WITHIN_S = 120.0
STOPS_WITHIN_S = 60.0
_SEQ = re.compile(rb'"seq":([0-9]+)')
LEAST = 12  # workers: one of every sort, and neighbours

_HEAD = """#:schema ./ninelives.schema.json
[supervisor]
name = "victim"
recent = "16M"

[chaos]
enabled = true
max_count = {max_count}
max_percent = 50
abort_below = 0.3
parts = true
protected = ["guard-*"]

[templates.json]
preload = ["decimal", "csv"]
"""
_WORKER = """
[workers.{name}]
{what}
replicas = {replicas}
chaos = {chaos}
grace = "5s"
stable_after = "10s"
max_failures = 1000
backoff = {{ first = "0s", initial = "50ms", max = "1s", jitter = "50ms" }}
{more}
"""
_TICKER = 'target = "workers.ticker:main"\nargs = { every = 0.2, lines_every = 25 }\nbeat_within = "3s"'
_PROGRAM = f'command = ["{sys.executable}", "beacon.py"]\ncwd = "."\nready = "beat"\nbeat_within = "3s"'
_BEACON = '''"""A program that is no function of ours: it takes its heart from the environment."""
from workers.heart import Heart

heart = Heart.from_environment()
heart.ready()
while not heart.wait(0.2):
    heart.beat()
'''
_MEMBER = """
[workers.{name}]
{what}
chaos = true
stable_after = "10s"
max_failures = 1000
backoff = {{ first = "0s", initial = "50ms", max = "1s", jitter = "50ms" }}
"""
_GROUPS = """
[groups.line]
strategy = "rest_for_one"
members = ["line-first", "line-second", "line-third"]
max_failures = 1000

[groups.pair]
strategy = "one_for_all"
members = ["pair-left", "pair-right"]
max_failures = 1000
"""


def config(workers: int) -> str:
    """The config file of a victim with so many workers, LEAST or more."""
    left = workers - 5  # the members of its groups
    # Programs are few: each is an interpreter of its own. Guards may not be hit: they are who must not notice anything.
    programs, sleepers, guards, prepared = (max(1, int(left * share)) for share in (0.05, 0.05, 0.1, 0.3))
    sorts = [
        ("beacon", _PROGRAM, programs, True, ""),
        ("sleeper", 'command = ["sleep", "infinity"]', sleepers, True, ""),
        ("guard", _TICKER, guards, False, ""),
        ("prepared", _TICKER, prepared, True, f'template = "json"\nstandby = {max(1, prepared // 20)}'),
        ("ticker", _TICKER, left - programs - sleepers - guards - prepared, True, ""),
    ]
    parts = [_HEAD.format(max_count=max(2, workers // 4))]
    for name, what, replicas, chaos, more in sorts:
        parts.append(_WORKER.format(name=name, what=what, replicas=replicas, chaos=str(chaos).lower(), more=more))
    members = ("line-first", "line-second", "line-third", "pair-left", "pair-right")
    parts += [_MEMBER.format(name=name, what=_TICKER) for name in members]
    return "".join([*parts, _GROUPS])


class Reading:
    """The service's log, read as it comes: every number is there once, or told of by log.dropped."""

    def __init__(self) -> None:
        self.lines = self.missing = self.excused = self.twice = 0
        self._last = 0

    def read(self, log: BinaryIO) -> None:
        """To its end. Lines are looked at as bytes: a flood of them is part of what is tried."""
        for line in log:
            found = _SEQ.search(line)
            if found is None:
                continue
            self.lines += 1
            number = int(found[1])
            if number <= self._last:
                self.twice += 1
            elif self._last:
                self.missing += number - self._last - 1
            self._last = max(number, self._last)
            if b'"event":"log.dropped"' in line:
                self.excused += int(json.loads(line).get("count") or 0)

    def wrong(self) -> list[str]:
        """What is wrong with it, in words."""
        found = []
        if self.missing > self.excused:
            found.append(f"{self.missing} of its log lines are missing, and log.dropped tells of {self.excused}")
        if self.twice:
            found.append(f"{self.twice} of its log lines came twice, or out of order")
        return found


class Victim:
    """The service, for as long as the context lasts. `left`: what was wrong with its end, in words; empty if nothing."""

    def __init__(self, workers: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nl-"))
        (self.folder / "service.toml").write_text(config(workers))
        (self.folder / "beacon.py").write_text(_BEACON)
        self.socket = str(self.folder / "run" / "ninelives" / f"{NAME}.sock")
        self.left: list[str] = []
        self.log = Reading()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Victim in {self.folder}>"

    def __enter__(self) -> Self:
        (self.folder / "run").mkdir(mode=0o700)
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder / "run")}
        for name in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET"):
            environment.pop(name, None)
        run = [sys.executable, "-m", "supervisor.cli.main", "run", str(self.folder / "service.toml")]
        with open(self.folder / "stderr", "wb") as errors:
            self._process = subprocess.Popen(
                [*run, "--log-format", "json"],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self.log.read, args=(self._process.stdout,), name="log", daemon=True)
        self._reader.start()
        try:
            self._wait_until_ready()
        except BaseException:  # raised again: the caller sees it
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def errors(self) -> str:
        """What it wrote to stderr."""
        return (self.folder / "stderr").read_text(errors="replace")

    def close(self) -> None:
        """Have it stopped as by an operator; what does not end is killed, and told in `left`. The folder goes."""
        process = self._process
        if process is None:
            return
        self._process = None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOPS_WITHIN_S)
            if code != 0:
                self.left.append(f"the service ended with code {code}")
        except subprocess.TimeoutExpired:
            self.left.append(f"the service did not stop within {STOPS_WITHIN_S:g} s")
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(STOPS_WITHIN_S)
        self.left += self.log.wrong()
        if "Traceback" in self.errors:
            self.left.append(f"a mistake of ours on its stderr: {self.errors[-2000:]}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the service did not start: {self.errors[-2000:]}")
            with contextlib.suppress(client.NoAnswer, client.Dropped):
                if all(row["phase"] == "ready" for row in client.ask(self.socket, {"verb": "status"})["workers"]):
                    return
            time.sleep(0.1)
        raise RuntimeError(f"not everybody was ready within {STARTS_WITHIN_S:g} s")
