"""Needs and the bound on starting at once, told from the events of a real service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import time
def slow(heart, seconds=0.2):
    time.sleep(seconds)
    heart.ready()
    heart.wait(1000)
def once(heart):
    heart.ready()
    time.sleep(0.2)
def main(heart):
    heart.ready()
    heart.wait(1000)
"""


def seq(service: Service, event: str, worker: str) -> int:
    return int(service.wait_for(event, worker=worker)["seq"])


def test_each_condition_is_waited_for(tmp_path: Path) -> None:
    """started, ready, completed; across groups; on all replicas. What needs nothing starts beside it."""
    config = """
[workers.slow]
target = "job:slow"
replicas = 2
[workers.once]
target = "job:once"
restart = "transient"
[workers.early]
target = "job:main"
needs = ["slow:started"]
[workers.later]
target = "job:main"
needs = ["slow"]
[workers.last]
target = "job:main"
needs = ["once:completed"]
[workers.member]
target = "job:slow"
[workers.after_group]
target = "job:main"
needs = ["g"]
[workers.free]
target = "job:main"
[groups.g]
members = ["member"]
"""
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        slow = [seq(service, "worker.ready", f"slow-{n}") for n in range(2)]
        assert seq(service, "worker.spawned", "early") < min(slow)
        assert seq(service, "worker.spawned", "later") > max(slow)
        assert seq(service, "worker.spawned", "last") > seq(service, "worker.completed", "once")
        assert seq(service, "worker.spawned", "after_group") > seq(service, "worker.ready", "member")
        assert seq(service, "worker.ready", "free") < min(slow)
        row = service.worker("once")
        assert (row["phase"], row["verdict"]) == ("down", "done")
        assert "8 of 8 ready" in service.status()["status"], "who is done is not counted"
        since = service.mark
        service.stop()
        ended = [event["worker"] for event in service.seen("worker.ended", since=since)]
        assert ended.index("later") < min(ended.index("slow-0"), ended.index("slow-1")), "down in reverse order of need"
        assert ended.index("after_group") < ended.index("member")


def test_an_unmet_need_is_waited_for_and_can_be_stopped(tmp_path: Path) -> None:
    """A worker whose need is down waits, is told as waiting, starts as soon as the need is met, and stops at once."""
    config = '[workers.a]\ntarget = "job:main"\n[workers.b]\ntarget = "job:main"\nneeds = ["a"]\n'
    config += '[workers.c]\ntarget = "job:main"\nneeds = ["b"]\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        service.ask("stop", workers=["a", "b", "c"], wait=True)
        service.ask("start", workers=["b", "c"], wait=False)
        assert [service.worker(name)["phase"] for name in "bc"] == ["waiting", "waiting"]
        assert "2 waiting: b, c" in service.status()["status"]
        service.ask("stop", workers=["c"], wait=True)
        since = service.mark
        service.ask("start", workers=["a"], wait=True)
        service.wait_for("worker.ready", worker="b", since=since)
        assert service.worker("c")["phase"] == "down"


def test_so_many_start_at_once_and_no_more(tmp_path: Path) -> None:
    """starting_at_once bounds how many are between spawned and ready, and is used to the full."""
    config = "[supervisor]\nstarting_at_once = 3\n"
    config += '[workers.many]\ntarget = "job:slow"\nargs = { seconds = 0.05 }\nreplicas = 12\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        starting = most = 0
        for event in service.events:
            starting += {"worker.spawned": 1, "worker.ready": -1}.get(event["event"], 0)
            most = max(most, starting)
        assert most == 3


def test_a_crash_does_not_queue_behind_a_boot(tmp_path: Path) -> None:
    """Who has lived before has a lane of its own: it is back while slow starters hold every slot."""
    config = (
        '[supervisor]\nstarting_at_once = 1\n[workers.a]\ntarget = "job:main"\n'
        '[workers.slow]\ntarget = "job:slow"\nargs = { seconds = 3 }\nneeds = ["a"]\n'
    )
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("worker.spawned", worker="slow")
        service.kill(service.pid("a"))
        assert service.wait_for("worker.recovered", worker="a")["recovery_s"] < 2
        assert not service.seen("worker.ready", worker="slow")
