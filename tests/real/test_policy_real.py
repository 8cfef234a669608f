"""Backoff, streaks and what is forgiven, measured on the events of a real service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import os, time
def lives(heart, stable, seconds=0.6):
    heart.ready()
    count = os.path.getsize("lives") if os.path.exists("lives") else 0
    open("lives", "a").write(".")
    if count in stable:
        time.sleep(seconds)
    raise SystemExit(1)
"""


def test_the_first_retry_is_immediate_then_it_backs_off(tmp_path: Path) -> None:
    """0, initial, initial x 2, initial x 4, max; the waits are as announced, and nothing starts early."""
    config = (
        '[workers.a]\ncommand = ["false"]\nmax_failures = 6\n'
        'backoff = { initial = "40ms", multiplier = 2, max = "100ms", jitter = "0s" }\n'
    )
    with Service(tmp_path, config) as service:
        service.wait_for("worker.quarantined")
        told = service.seen("worker.backed_off")
        assert [round(event["delay_s"], 4) for event in told] == [0, 0.04, 0.08, 0.1, 0.1]
        assert [event["streak"] for event in told] == [1, 2, 3, 4, 5]
        assert [event["failures_left"] for event in told] == [5, 4, 3, 2, 1]
        spawned = [event["timestamp"] for event in service.seen("worker.spawned")]
        assert len(spawned) == 6
        assert [event["streak"] for event in service.seen("worker.ended")] == [1, 2, 3, 4, 5, 6]


def test_a_stable_life_is_forgiven(tmp_path: Path) -> None:
    """A life that was ready for stable_after starts a fresh streak: its failure is the first of it, answered at once."""
    config = (
        f'[workers.a]\ntarget = "job:lives"\nargs = {{ stable = [2] }}\ncwd = "{tmp_path}"\nmax_failures = 3\n'
        'stable_after = "400ms"\nbackoff = { initial = "10ms", jitter = "0s" }\n'
    )
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("worker.quarantined")
        assert [event["streak"] for event in service.seen("worker.ended")] == [1, 2, 1, 2, 3]
        assert [event["delay_s"] for event in service.seen("worker.backed_off")] == [0, 0.01, 0, 0.01]


def test_a_restart_by_hand_ends_a_backoff(tmp_path: Path) -> None:
    """Who restarts a worker that backs off wants it now; who stops it, stops it at once; neither counts."""
    config = '[workers.a]\ncommand = ["sleep", "1000"]\nbackoff = { first = "60s" }\nsuccess = ["SIGTERM"]\n'
    with Service(tmp_path, config) as service:
        service.wait_for("worker.ready")
        service.kill(service.pid("a"))
        service.wait_for("worker.backed_off")
        assert service.ask("restart", workers=["a"], rolling=False, wait=True)["phases"] == {"a": "ready"}
        assert service.worker("a")["streak"] == 1
        service.kill(service.pid("a"))
        service.wait_for("worker.backed_off", count=2)
        assert service.ask("stop", workers=["a"], wait=True)["phases"] == {"a": "down"}
        assert service.ask("start", workers=["a"], wait=True)["phases"] == {"a": "ready"}
