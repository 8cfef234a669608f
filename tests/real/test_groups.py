"""OTP's strategies and restart types over real processes, told from the events: who ends, who starts, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import os, time
def main(heart):
    heart.ready()
    heart.wait(1000)
def late(heart):
    time.sleep(0.1)
    heart.ready()
    heart.wait(1000)
def loop(heart):
    heart.ready()
    raise RuntimeError("again")
"""

ONE = 'target = "job:main"\n'
LOOPING = 'target = "job:loop"\nbackoff = { initial = "10ms", jitter = "0s" }\nmax_failures = 3\n'


def workers(**bodies: str) -> str:
    return "".join(f"[workers.{name}]\n{body}" for name, body in bodies.items())


def group(name: str, strategy: str, *members: str, more: str = "") -> str:
    return f'[groups.{name}]\nstrategy = "{strategy}"\nmembers = [{", ".join(map(repr, members))}]\n{more}'


def told(service: Service, since: int = 0, *names: str) -> list[str]:
    """The starts and ends since then, in order: "+a" is a's ready, "-a" a's end."""
    signs = {"worker.ready": "+", "worker.ended": "-"}
    return [
        signs[event["event"]] + event["worker"]
        for event in service.events[since:]
        if event["event"] in signs and (not names or event["worker"] in names)
    ]


def ready(service: Service, *names: str, since: int = 0) -> None:
    for name in names:
        service.wait_for("worker.ready", worker=name, since=since)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ("one_for_one", "-b +b"),
        ("rest_for_one", "-b -d -c +b +c +d"),
        ("one_for_all", "-b -d -c -a +a +b +c +d"),
    ],
)
def test_who_is_restarted_with_a_failed_member(tmp_path: Path, strategy: str, wanted: str) -> None:
    """Stopped in reverse order, started in order, each when the one before is ready; everybody else keeps their process."""
    names = ("a", "b", "c", "d")
    bodies = {"a": ONE, "b": 'target = "job:late"\n', "c": 'target = "job:late"\n', "d": ONE, "e": ONE}
    with Service(tmp_path, workers(**bodies) + group("g", strategy, *names), modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        assert told(service, 0, *names) == ["+a", "+b", "+c", "+d"]
        before, since = {name: service.pid(name) for name in (*names, "e")}, service.mark
        service.kill(before["b"])
        ready(service, *{each[1] for each in wanted.split() if each[0] == "+"}, since=since)
        assert told(service, since) == wanted.split()
        assert {each["reason"] for each in service.seen("worker.stopping", since=since)} <= {"b failed"}
        untouched = [name for name in (*names, "e") if name not in wanted]
        assert {name: service.pid(name) for name in untouched} == {name: before[name] for name in untouched}
        assert [row["worker"] for row in service.status()["workers"] if row["streak"]] == ["b"]
        since = service.mark
        service.stop()
        assert told(service, since, *names) == ["-d", "-c", "-b", "-a"]
        assert {each["reason"] for each in service.seen("worker.stopping", since=since)} == {"asked"}


def test_groups_in_groups(tmp_path: Path) -> None:
    """A failure inside the inner group stays there; one of the outer's own member takes the inner group along, in order."""
    config = workers(feed=ONE, x=ONE, y=ONE) + group("inner", "one_for_all", "x", "y")
    config += group("outer", "rest_for_one", "feed", "inner")
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        assert told(service) == ["+feed", "+x", "+y"]
        since = service.mark
        service.kill(service.pid("y"))
        ready(service, "x", "y", since=since)
        assert told(service, since) == ["-y", "-x", "+x", "+y"]
        since = service.mark
        service.kill(service.pid("feed"))
        ready(service, "feed", "x", "y", since=since)
        assert told(service, since) == ["-feed", "-y", "-x", "+feed", "+x", "+y"]
        groups = {row["group"]: row for row in service.status()["groups"]}
        assert {name: row["phase"] for name, row in groups.items()} == {"inner": "ready", "outer": "ready"}
        assert groups["outer"]["members"] == ["feed", "inner"]
        since = service.mark
        service.ask("stop", workers=["inner"], wait=True)
        service.ask("restart", workers=["outer"], rolling=False, wait=True)
        service.ask("start", workers=["inner"], wait=True)
        ready(service, "y", since=since)
        assert told(service, since) == ["-y", "-x", "-feed", "+feed", "+x", "+y"], "a stopped member stays stopped"


def test_a_looping_member_never_uses_up_its_siblings(tmp_path: Path) -> None:
    """It is quarantined by its own budget; its siblings' processes, streaks and failures are untouched."""
    config = workers(a=ONE, bad=LOOPING, b=ONE) + group("g", "one_for_one", "a", "bad", "b")
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        ready(service, "a", "b")
        gone = service.wait_for("worker.quarantined")
        assert (gone["worker"], gone["streak"]) == ("bad", 3)
        assert told(service, 0, "a", "b") == ["+a", "+b"]
        assert [row["streak"] for row in service.status()["workers"]] == [0, 3, 0]


def test_a_group_that_gives_up_is_a_failure_of_the_group_above(tmp_path: Path) -> None:
    """Escalation climbs: the member's budget, then the inner group's, then the outer's, which ends the service with 10."""
    escalate = 'on_quarantine = "escalate"\nbackoff = { initial = "10ms", jitter = "0s" }\nmax_failures = 2\n'
    config = (
        workers(calm=ONE, bad='target = "job:loop"\n' + escalate)
        + group("inner", "one_for_one", "bad", more=escalate)
        + group("outer", "one_for_all", "calm", "inner", more="max_failures = 2\nsignificant = true\n")
    )
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        assert service.ended() == 10
        assert len(told(service, 0, "bad")) == 16, "2 failures a life of inner, 2 lives a life of outer, 2 of outer: 8 lives"
        assert len(service.seen("worker.quarantined", worker="bad", action="escalate")) == 4
        assert len(service.seen("group.quarantined", group="inner")) == 2
        assert len(service.seen("group.quarantined", group="outer")) == 1
        assert told(service, 0, "calm") == ["+calm", "-calm"] * 4, "one_for_all: each failure of inner takes it along"
        assert service.seen("supervisor.stopped", code=10)


CELLS = {
    ("permanent", 0): ("again", "warning"),
    ("permanent", 3): ("again", "warning"),
    ("permanent", "KILL"): ("again", "warning"),
    ("transient", 0): ("done", "info"),
    ("transient", 3): ("again", "warning"),
    ("transient", "KILL"): ("again", "warning"),
    ("transient", 5): ("done", "info"),
    ("temporary", 0): ("done", "info"),
    ("temporary", 3): ("failed", "warning"),
    ("temporary", "KILL"): ("failed", "warning"),
    ("permanent", 78): ("quarantined", "warning"),
    ("transient", 78): ("quarantined", "warning"),
}
"""What follows an ending, by restart type: OTP's table, with `success = [0, 5]` and `never_restart = [78]`."""


def test_the_table_of_restart_types(tmp_path: Path) -> None:
    """Every cell on a real process: restarted or not, its level, its verdict, its phase."""
    policy = 'success = [0, 5]\nnever_restart = [78]\nbackoff = { first = "30s", initial = "30s" }\n'
    bodies = {
        f"{restart}-{how}": f'command = ["sh", "-c", "{"kill -KILL $$" if how == "KILL" else f"exit {how}"}"]\n'
        f'restart = "{restart}"\n{policy}'
        for restart, how in CELLS
    }
    with Service(tmp_path, workers(**bodies)) as service:
        for name in bodies:
            service.wait_for("worker.ended", worker=name)
        service.until(lambda: all(row["pid"] is None for row in service.status()["workers"]), "all have ended")
        rows: dict[str, Any] = {row["worker"]: row for row in service.status()["workers"]}
        for (restart, how), (follows, level) in CELLS.items():
            name = f"{restart}-{how}"
            ended = service.seen("worker.ended", worker=name)
            row = rows[name]
            phase = {"again": "backing_off", "quarantined": "quarantined"}.get(follows, "down")
            verdict = follows if phase == "down" else None
            assert (name, len(ended), row["phase"], row["verdict"]) == (name, 1, phase, verdict)
            if how != 0:
                assert (name, ended[0]["level"]) == (name, level)
            assert ended[0].get("exit_code", ended[0].get("signal")) == ("SIGKILL" if how == "KILL" else how)
