"""A real service that may be hurt, for tests of those who hurt it: four workers that beat, and one that nobody may touch."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from supervisor.chaos.binding import Binding, using
from supervisor.chaos.observer import Observer
from supervisor.chaos.session import Session
from tests.real.control_world import ROOT
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB = """
def main(heart):
    heart.ready()
    n = 0
    while not heart.wait(0.02):
        n += 1
        heart.beat(progress=n)
"""
LOUD = """
def main(heart):
    heart.ready()
    while not heart.wait(0.001):
        print("loud\\n" * 50, end="", flush=True)
"""
CHAOS = """
[chaos]
enabled = true
parts = true
max_count = {max_count}
max_percent = 100
abort_below = {abort_below}
"""
WORKERS = """
[workers.w]
target = "job:main"
replicas = 4
chaos = true
beat_within = "1s"
max_failures = 1000
[workers.calm]
target = "job:main"
"""
PYTHON = (sys.executable, "-m", "supervisor.cli.main", "chaos")


def service(folder: Path, *, chaos: str | None = None, max_count: int = 2, abort_below: float = 0.0, more: str = "",
            workers: str = WORKERS) -> Service:  # fmt: skip
    """One that is not started yet."""
    head = CHAOS.format(max_count=max_count, abort_below=abort_below) if chaos is None else chaos
    return Service(folder, head + workers + more, modules={"job": JOB, "loud": LOUD})


class Hand(NamedTuple):
    """Everything a client of chaos has."""

    service: Service
    session: Session
    observer: Observer
    binding: Binding


@contextlib.contextmanager
def at_hand(one: Service, *, seed: int = 1) -> Iterator[Hand]:
    """Started, ready, observed, and bound for actions and probes."""
    with one as running:
        running.wait_for("supervisor.ready")
        with Session(running.socket) as session, Observer(session) as observer:
            binding = Binding(session, observer, random.Random(seed), seed)
            with using(binding):
                yield Hand(running, session, observer, binding)


def typed(
    one: Service, *words: str, timeout: float = 60, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """What came of a command as a user types it; `--socket` of the service is put where it belongs."""
    return subprocess.run(
        [*PYTHON, words[0], "--socket", one.socket, *words[1:]],
        cwd=ROOT, env={**os.environ, **one.env}, capture_output=True, text=True, timeout=timeout, check=False, stdin=stdin,
    )  # fmt: skip


def begun(one: Service, *words: str) -> subprocess.Popen[str]:
    """The same while it goes on."""
    return subprocess.Popen(
        [*PYTHON, words[0], "--socket", one.socket, *words[1:]],
        cwd=ROOT, env={**os.environ, **one.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
