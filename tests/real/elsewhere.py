"""A service whose stdout is anything: a pipe nobody reads, a full disk, a file. And workers that write."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from supervisor.cli import client
from supervisor.cli.stream import Stream
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WORDS = r"""
import json, os, sys, time

def write(fd, data):
    "All of it: a signal may cut a write short."
    while data:
        data = data[os.write(fd, data):]

def flood(heart):
    "As fast as it can, until it is stopped."
    heart.ready()
    block = b"".join(b"%-98d\n" % number for number in range(600))
    while not heart.stopping:
        write(1, block)
        heart.beat()

def lines(heart, *, count, code=0):
    "Numbered lines, as fast as it can, then the end with this code."
    heart.ready()
    for first in range(0, count, 100):
        write(1, b"".join(b"%-98d\n" % number for number in range(first, min(first + 100, count))))
    os._exit(code)

def steady(heart, every=0.02):
    "A numbered line now and then."
    heart.ready()
    number = 0
    while not heart.wait(every):
        number += 1
        os.write(1, b"%d\n" % number)
        heart.beat()

def say(heart, *, what):
    heart.ready()
    os.write(1, what["out"].encode("latin-1"))
    os.write(2, what["err"].encode("latin-1"))
    while not heart.wait(1.0):
        pass

def fail(heart):
    heart.ready()
    print("about to fail", flush=True)
    raise KeyError("no such thing")
"""
STEADY = """
[workers.steady]
target = "words:steady"
beat_within = "5s"
"""


class Elsewhere(Service):
    """A service whose stdout is `out` (owned by the caller); its events are heard as `ninelives events -f` hears them."""

    def __init__(self, folder: Path, config: str, out: int, modules: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, config, modules=modules or {"words": WORDS})
        self.out = out

    def start(self, *more: str) -> Self:
        """See Service."""
        with open(self.folder / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [*self.run, str(self.config), "--name", self.name, "--log-format", "json", *more],
                env=self.env, stdin=subprocess.DEVNULL, stdout=self.out, stderr=errors,
            )  # fmt: skip
        self._silent = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        """Until the service has gone."""
        while self.process.poll() is None:
            try:
                for line in Stream(self.socket, {"output": False}).followed():
                    with self._news:
                        self.events.append(line.record)
                        self._news.notify_all()
            except (client.NoAnswer, client.Denied):
                select_nothing(0.02)
        with self._news:
            self._silent = True
            self._news.notify_all()


def select_nothing(seconds: float) -> None:
    threading.Event().wait(seconds)


class Drain(threading.Thread):
    """Reads a pipe to its end, as fast as it comes, and keeps what `keep` says."""

    def __init__(self, fd: int, *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.fd, self.keep = fd, keep
        self.data, self.size = bytearray(), 0
        self.start()

    def run(self) -> None:
        while chunk := os.read(self.fd, 1 << 18):
            self.size += len(chunk)
            if self.keep:
                self.data += chunk
        os.close(self.fd)

    def lines(self) -> list[dict[str, Any]]:
        self.join(20)
        return parsed(bytes(self.data))


def parsed(data: bytes) -> list[dict[str, Any]]:
    """Every line, each whole and none longer than journald bears."""
    assert data.endswith(b"\n") or not data
    raw = data.splitlines()
    assert all(len(line) < 4096 for line in raw)
    return [json.loads(line) for line in raw]


def assert_told_once(lines: list[dict[str, Any]]) -> None:
    """No gap and no repetition in seq; what log.dropped counts is a gap that is explained."""
    at = 0
    for line in lines:
        assert line["seq"] > at
        at = line["seq"]
    lost = at - len(lines)
    assert lost == sum(line["count"] for line in lines if line["event"] == "log.dropped" and "worker" not in line)


def kill_and_recover(service: Service, worker: str) -> tuple[dict[str, Any], float]:
    """SIGKILL it, see it ready again; its worker.ended, and how long after the kill that was written (wall clock)."""
    since, pid, killed_at = service.mark, service.pid(worker), time.time()
    service.kill(pid)
    ended = service.wait_for("worker.ended", since=since, worker=worker)
    service.until(lambda: (row := service.worker(worker))["phase"] == "ready" and row["pid"] != pid, "it is back")
    stamp = ended["timestamp"]
    second = time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")
    return ended, calendar_s(second) + float(stamp[19:-1]) - killed_at


def calendar_s(second: time.struct_time) -> float:
    return time.mktime(second) - time.mktime(time.gmtime(0))


def wchan(pid: int) -> bytes:
    """Where in the kernel it waits."""
    with open(f"/proc/{pid}/wchan", "rb") as file:
        return file.read()
