"""The rig of the tests of faults: two workers that may be hit, one that may not, and what has to be true of that afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from supervisor import kernel
from tests.real.service import Event, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACTS = """
import os, subprocess, sys

def steady(heart, every=0.02):
    "Beats; says a line about once a beat."
    heart.ready()
    while not heart.wait(every):
        heart.beat()

def parent(heart):
    "Has a child that sleeps."
    child = subprocess.Popen(["sleep", "1000"])
    steady(heart)

def opener(heart, path):
    "Opens a file again and again, and writes into another: says with each beat how that went."
    heart.ready()
    said = None
    while not heart.wait(0.02):
        try:
            with open(path, "a") as file:
                file.write("x")
                file.flush()
            now = "fine"
        except OSError as error:
            now = os.strerror(error.errno)
        if now != said:
            said = now
            print(now, flush=True)
        heart.beat()

def talker(heart, every=0.01):
    "Says a number with each beat, and beats only when it was said."
    heart.ready()
    number = 0
    while not heart.wait(every):
        number += 1
        print(number, "x" * 900, flush=True)
        heart.beat(progress=number)
"""
CHAOS = """
[chaos]
enabled = true
parts = true
max_count = 2
max_percent = 100
abort_below = 0.0
"""
NEIGHBOUR = """
[workers.neighbour]
target = "acts:steady"
beat_within = "2s"
"""
TARGET = """
[workers.target]
target = "acts:steady"
beat_within = "800ms"
chaos = true
backoff = {{ first = "0s", initial = "50ms", max = "100ms", jitter = "0s" }}
{more}
"""


class Rig(Service):
    """A service with chaos; `neighbour` is never to notice anything."""

    def inject(
        self, kind: str, *workers: str, seconds: float | None = None, lease: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """The one fault that this is; it fails where it is refused."""
        answer = self.ask(
            "inject", kind=kind, workers=list(workers), seconds=seconds, parameters=parameters, lease=lease
        )
        assert not answer["failed"], answer
        (fault,) = answer["faults"]
        return dict(fault)

    def halt(self) -> list[str]:
        """Undo everything; what was."""
        return list(self.ask("halt")["undone"])

    def undone(self, fault: dict[str, Any], **fields: Any) -> Event:
        """The event of its end."""
        return self.wait_for("chaos.undone", chaos_id=fault["chaos_id"], **fields)

    def active(self) -> list[dict[str, Any]]:
        """The faults that go on."""
        return list(self.ask("chaos")["active"])


@contextmanager
def rig(folder: Path, workers: str = "", *, more: str = "", chaos: str = CHAOS) -> Iterator[Rig]:
    """`workers`: tables besides the neighbour's; by default one called target, with `more` in its table."""
    config = chaos + NEIGHBOUR + (workers or TARGET.format(more=more))
    with Rig(folder, config, modules={"acts": ACTS}) as service:
        service.wait_for("supervisor.ready")
        before = service.worker("neighbour")
        yield service
        if service.process.poll() is None:
            after = service.worker("neighbour")
            assert after["spawn_id"] == before["spawn_id"], "the neighbour lives on as if nothing had happened"
            assert after["phase"] == "ready"
            assert not service.active()
            for event in ("worker.ended", "worker.hung", "worker.starved", "worker.frozen", "worker.stopping"):
                assert not service.seen(event, worker="neighbour")


def state(pid: int) -> str:
    """Of a process, as in /proc/PID/stat."""
    now = kernel.stat(pid)
    return now.state if now is not None else "gone"
