"""The rig of the tests of survival: workers that do as they are told, and two ways to lose a supervisor."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

ACTS = """
import os, signal, sys, time

def steady(heart, every=0.02):
    heart.ready()
    while not heart.wait(every):
        heart.beat()

def obedient(heart, code=7):
    "Ends with this code when told by SIGUSR1, on the spot."
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(code))
    steady(heart)

def mute(heart):
    "Beats until SIGUSR1, then never again."
    beats = [True]
    signal.signal(signal.SIGUSR1, lambda *_: beats.clear())
    heart.ready()
    while not heart.wait(0.02):
        if beats:
            heart.beat()

def stubborn(heart):
    "Says its mode and does not listen to TERM."
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.environ["MODE"])
    heart.ready()
    time.sleep(60)

def crash(heart):
    heart.ready()
    os._exit(3)
"""
SLOW = """
import os, time

while os.path.exists(os.environ["GATE"]):
    time.sleep(0.01)
"""
STEADY = """
[workers.steady]
target = "acts:steady"
beat_within = "800ms"
"""


def rig(folder: Path, config: str, **more: Any) -> Service:
    return Service(folder, STEADY + config, modules={"acts": ACTS, "slow": SLOW}, **more)


def how_to_lose(service: Service, how: str) -> int:
    """Kill the supervisor, or freeze it until the anchor loses patience; `mark` before that."""
    since = service.mark
    if how == "killed":
        service.kill(service.supervisor)
    else:
        service.freeze(service.supervisor)
    return since


either = pytest.mark.parametrize("how", ["killed", "frozen"])


def lived_once(service: Service, worker: str, lives: int = 1) -> None:
    """So many lives, each spawned once, ended at most once, in turn."""
    ours = [each for each in service.events if each.get("worker") == worker]
    told = [each for each in ours if each["event"] in ("worker.spawned", "worker.ended")]
    assert [each["event"] for each in told[0::2]] == ["worker.spawned"] * lives
    assert {each["event"] for each in told[1::2]} <= {"worker.ended"}
    assert [a["spawn_id"] for a in told[0 : len(told) - 1 : 2]] == [b["spawn_id"] for b in told[1::2]]
    assert len({each["spawn_id"] for each in told}) == lives


def at(event: dict[str, Any]) -> float:
    """Its time, in seconds."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()
