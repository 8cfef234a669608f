"""Forty kills of the supervisor at random moments, while workers crash and are told about: the books balance."""

from __future__ import annotations

import random
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from supervisor.cli import client
from tests.real.living import is_alive
from tests.real.service import Service, until

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 40
SEED = 20261123
ACTS = """
import os, random, subprocess, sys, time

def restless(heart):
    "Lives for a moment and ends in one way or another, sometimes leaving a child behind."
    dice = random.Random()
    heart.ready()
    if heart.wait(dice.uniform(0.0, 0.4)):
        return
    if dice.random() < 0.2:
        subprocess.Popen(["sleep", "300"], start_new_session=True)
    os._exit(dice.choice([0, 1, 2]))
"""
CONFIG = """
[workers.restless]
target = "acts:restless"
replicas = 4
standby = 1
max_failures = 1000000
backoff = { first = "0s", initial = "0s", max = "0s", jitter = "0s" }

[workers.steady]
target = "workers.ticker:main"
args = { every = 0.02, lines_every = 10 }
beat_within = "2s"

[workers.moved]
target = "workers.ticker:main"
args = { lines_every = 100000 }

[groups.pair]
strategy = "one_for_all"
members = ["first", "second"]

[workers.first]
target = "acts:restless"
max_failures = 1000000
backoff = { first = "0s", initial = "0s", max = "0s", jitter = "0s" }

[workers.second]
target = "workers.ticker:main"
args = { lines_every = 100000 }
"""


@pytest.mark.timeout(120)
def test_the_books_balance_after_forty_kills(tmp_path: Path) -> None:
    """Each spawn ends exactly once or is alive; no two lives of a worker overlap; no seq is missing; no process is unknown."""
    dice = random.Random(SEED)
    with Service(tmp_path, CONFIG, modules={"acts": ACTS}) as service:
        service.wait_for("worker.ready", worker="steady")
        away = []
        for at in range(KILLS):
            wish(service, dice, at)
            time.sleep(dice.uniform(0.0, 0.15))  # the moment is what is random here
            since = service.mark
            service.kill(service.supervisor, number=signal.SIGKILL)
            away.append(service.wait_for("supervisor.resumed", since=since)["away_s"])
        print(f"away_s of {KILLS}: median {sorted(away)[KILLS // 2]:.3f}, most {max(away):.3f}")
        service.ask("start", workers=["moved"], wait=False)
        service.ask("stop", workers=["restless", "pair"])
        until(lambda: service.worker("moved")["phase"] == "ready", "the worker that was moved about is up")
        alive = {row["worker"]: row for row in service.status()["workers"] if row["pid"] is not None}
        assert set(alive) == {"steady", "moved"}
        assert len(service.seen("worker.spawned", worker="steady")) == 1
        helpers = {service.supervisor, service.pump, service.template(), service.embryo()}
        until(lambda: not unknown(service, helpers, alive), "no process is unaccounted for")
    balanced(service)


def wish(service: Service, dice: random.Random, at: int) -> None:
    """Some request, whose answer nobody waits for."""
    verb = dice.choice(["stop", "start", "restart", "none"])
    if verb != "none":
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(service.socket)
            caller.sendall(f'{{"id": {at}, "verb": "{verb}", "workers": ["moved"], "wait": false}}\n'.encode())


def unknown(service: Service, helpers: set[int], alive: dict[str, dict[str, int]]) -> list[str]:
    """Living processes of the service that are neither helpers, nor workers, nor the standbys."""
    try:
        standbys = sum(row["standbys"] for row in service.status()["workers"][:1])
    except client.NoAnswer:
        return ["no answer"]
    left = set(service.living()) - helpers - {row["pid"] for row in alive.values()}
    return [service.describe(pid) for pid in left] if len(left) != standbys else []


def balanced(service: Service) -> None:
    """What the events say of every life."""
    assert [each["seq"] for each in service.events] == list(range(1, len(service.events) + 1))
    running: dict[str, str] = {}
    ended: set[str] = set()
    for each in service.events:
        worker, spawn_id = each.get("worker", ""), each.get("spawn_id", "")
        if each["event"] == "worker.spawned":
            assert worker not in running, f"{worker}: {spawn_id} began before {running[worker]} had ended"
            assert spawn_id not in ended
            running[worker] = spawn_id
        elif each["event"] == "worker.ended" and each.get("pid") is not None:
            assert running.pop(worker, None) == spawn_id, f"{spawn_id} ended twice, or never began"
            assert not is_alive(each["pid"])
            ended.add(spawn_id)
    assert not running, "everything was stopped in the end"
