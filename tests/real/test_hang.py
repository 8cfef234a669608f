"""Silence, on real processes: who hangs is found with its stack, in time and never early; who only cannot run is not."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.real.service import Service, until

if TYPE_CHECKING:
    from pathlib import Path

HANGS = """
import ctypes, threading, time

def ready(heart):
    heart.ready("about to hang")
    heart.wait(0.05)
    heart.beat(progress=7)

def in_a_loop(heart):
    ready(heart)
    def spinning():
        while True:
            pass
    spinning()

def in_c(heart):
    ready(heart)
    def holding_the_gil():
        while True:  # the signal that asks for the stack interrupts a sleep
            ctypes.PyDLL(None).sleep(1000)
    holding_the_gil()

def in_a_deadlock(heart):
    ready(heart)
    lock = threading.Lock()
    def waiting_for_itself():
        with lock, lock:
            pass
    waiting_for_itself()

def beating(heart):
    heart.ready()
    while not heart.wait(0.02):
        heart.beat()

def busy(heart):
    heart.ready()
    heart.busy(1.2)
    time.sleep(1.0)
    heart.beat()
    heart.wait(100)
"""

WITHIN = 0.5


def config(*functions: str, more: str = "") -> str:
    return "".join(
        f'[workers.{name}]\ntarget = "job:{name}"\nbeat_within = "{WITHIN}s"\nmax_failures = 1\nstable_after = "60s"\n{more}\n'
        for name in functions
    )


def test_every_kind_of_hang_is_found_with_its_stack(tmp_path: Path) -> None:
    """A loop, a C call that holds the GIL, a deadlock: hung, never early, the stack names the function; neighbours go on."""
    kinds = {"in_a_loop": "spinning", "in_c": "holding_the_gil", "in_a_deadlock": "waiting_for_itself"}
    with Service(tmp_path, config(*kinds, "beating"), modules={"job": HANGS}) as service:
        service.wait_for("worker.ready", worker="beating")
        pid = service.pid("beating")
        for worker, function in kinds.items():
            hung = service.wait_for("worker.hung", worker=worker)
            assert f"in {function}" in hung["stack"]
            assert hung["silent_s"] >= WITHIN, "never early"
            assert 0 <= hung["late_s"] < 0.5
            assert (hung["progress"], hung["status"]) == (7, "about to hang")
            ended = service.wait_for("worker.ended", worker=worker)
            assert (ended["result"], ended["signal"]) == ("watchdog", "SIGKILL")
            assert f"in {function}" in ended["stack"]
        assert service.pid("beating") == pid
        assert not service.seen("worker.hung", worker="beating")


def test_busy_is_not_hung(tmp_path: Path) -> None:
    """heart.busy(1.2) buys 1.2 s of silence beyond beat_within, and no more than that."""
    with Service(tmp_path, config("busy"), modules={"job": HANGS}) as service:
        hung = service.wait_for("worker.hung")
        ended = service.wait_for("worker.ended")
        assert ended["uptime_s"] >= 1.0 + WITHIN, "the beat after the busy time came, and counted"
        assert WITHIN <= hung["silent_s"] < WITHIN + 1.0


def test_a_stopped_worker_is_seen_and_hung_where_beats_are_expected(tmp_path: Path) -> None:
    """SIGSTOP is an event at once; with beats the worker is put down in time, without it may sleep and wake."""
    sleeper = '[workers.sleeper]\ncommand = ["sleep", "100"]\nsuccess = ["SIGTERM"]\n'
    with Service(tmp_path, config("beating") + sleeper, modules={"job": HANGS}) as service:
        service.wait_for("supervisor.ready")
        beating, asleep = service.pid("beating"), service.pid("sleeper")
        service.kill(beating, asleep, number=signal.SIGSTOP)
        for worker in ("beating", "sleeper"):
            assert service.wait_for("worker.frozen", worker=worker)["signal"] == "SIGSTOP"
        hung = service.wait_for("worker.hung")
        assert hung["worker"] == "beating"
        assert hung["state"] == "stopped"
        assert service.wait_for("worker.ended")["result"] == "watchdog"
        service.thaw(asleep)
        service.wait_for("worker.thawed", worker="sleeper")
        assert service.pid("sleeper") == asleep


def test_starved_is_not_hung(tmp_path: Path) -> None:
    """A worker that wanted the CPU and did not get it is told of and given once more time before it is killed."""
    job = """
import os
def main(heart):
    heart.ready()
    for _ in range(5):
        if os.fork() == 0:
            while True:
                pass
    os.setpriority(os.PRIO_PROCESS, 0, 19)  # of one session with its hogs, for the kernel may share the CPU by sessions
    while not heart.stopping:
        heart.beat()
"""
    cpu = min(os.sched_getaffinity(0))
    config = f'[workers.poor]\ntarget = "job:main"\nbeat_within = "200ms"\ncpus = "{cpu}"\ngrace = "100ms"\nmax_failures = 1\n'
    with Service(tmp_path, config, modules={"job": job}) as service:
        starved = service.wait_for("worker.starved", timeout=30)
        assert starved["waited_s"] >= 0.1
        assert not [event for event in service.seen("worker.hung") if event["seq"] < starved["seq"]]


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_nobody_hangs_because_the_supervisor_was_away(tmp_path: Path, how: str) -> None:
    """Beats sent while nobody read them count: a supervisor away for longer than beat_within finds everybody alive."""
    with Service(tmp_path, config("beating"), modules={"job": HANGS}) as service:
        service.wait_for("supervisor.ready")
        pid, supervisor = service.pid("beating"), service.supervisor
        if how == "stopped":
            service.freeze(supervisor)
            time.sleep(2 * WITHIN)  # so long away, no less: nothing happens meanwhile that could be waited for
            service.thaw(supervisor)
        else:
            service.kill_supervisor()
        age = until(lambda: service.worker("beating")["beat_age_s"], "it beats")
        assert age < WITHIN
        assert service.pid("beating") == pid
        assert not service.seen("worker.hung")
        service.freeze(pid)
        service.wait_for("worker.hung")
