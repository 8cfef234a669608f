"""Templates, midwives, standbys and the pump may be killed: nobody's work stops, no line is lost, each is back by itself."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import kernel
from tests.real.copied import Copy
from tests.real.living import is_alive
from tests.real.service import Service, until

if TYPE_CHECKING:
    from pathlib import Path

COUNTER = """
import os, signal

def main(heart):
    "One line a tick, numbered, so that a lost one and a doubled one both show."
    heart.ready()
    done = 0
    while not heart.wait(0.002):
        done += 1
        print("line", done)
        heart.beat()
"""
CONFIG = """
[workers.counter]
target = "counter:main"
beat_within = "2s"
replicas = 2

[workers.standing]
target = "workers.ticker:main"
args = { lines_every = 1000000 }
standby = 1
"""


def rig(folder: Path) -> Service:
    return Service(folder, CONFIG, modules={"counter": COUNTER})


def all_lines_once(service: Service, worker: str) -> None:
    """What each life of it wrote is 1, 2, 3 … without a gap."""
    said: dict[str, list[int]] = {}
    for each in service.seen("worker.output", worker=worker):
        said.setdefault(each["spawn_id"], []).append(int(each["msg"].removeprefix("line ")))
    assert said
    for spawn_id, numbers in said.items():
        assert numbers == list(range(1, len(numbers) + 1)), f"{spawn_id}: lines lost, doubled or out of order"


def no_gap(service: Service) -> None:
    """Every event once, in order."""
    assert [each["seq"] for each in service.events] == list(range(1, len(service.events) + 1))


def standby(service: Service, since: int = 0) -> dict[str, Any]:
    """The standby that is there."""
    return service.wait_for("standby.ready", since=since)


def test_a_template_that_is_killed_is_replaced_and_takes_no_worker_along(tmp_path: Path) -> None:
    """Its workers stay; the next life comes from the next template."""
    with rig(tmp_path) as service:
        ready = {
            each: service.wait_for("worker.ready", worker=each)["pid"]
            for each in ("counter-0", "counter-1", "standing")
        }
        standby(service)
        since, template = service.mark, service.template()
        service.kill(template)
        assert service.wait_for("template.ended", since=since)["signal"] == "SIGKILL"
        service.wait_for("template.ready", since=since)
        assert not is_alive(template)
        service.kill(ready["counter-0"])
        service.wait_for("worker.ready", since=since, worker="counter-0")
        assert service.pid("counter-1") == ready["counter-1"]
        assert service.pid("standing") == ready["standing"]


def test_spawns_asked_of_a_dying_template_are_done_by_the_next(tmp_path: Path) -> None:
    """Template and worker die at once, five times: one new life each time, neither none nor two."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        for _ in range(5):
            since = service.mark
            service.kill(service.pid("counter-0"), service.template())
            service.wait_for("worker.ready", since=since, worker="counter-0")
            assert len(service.seen("worker.spawned", since=since, worker="counter-0")) == 1
    spawned = [each["spawn_id"] for each in service.seen("worker.spawned", worker="counter-0")]
    assert spawned == [each["spawn_id"] for each in service.seen("worker.ended", worker="counter-0")]


def test_a_spawn_waits_for_the_next_template_while_nobody_has_told_that_the_last_is_dead(tmp_path: Path) -> None:
    """The supervisor sees for itself that nobody is there to ask; the anchor, frozen, tells of the death later."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        service.ask("stop", workers=["counter-0"], wait=True)
        service.wait_for("worker.ended", worker="counter-0")
        since, anchor, template, embryo = service.mark, service.anchor, service.template(), service.embryo()
        service.freeze(anchor)
        try:
            service.kill(template)
            service.until(lambda: not is_alive(template) and not is_alive(embryo), "its embryo has left, too")
            service.ask("start", workers=["counter-0"], wait=False)
        finally:
            service.thaw(anchor)
        service.wait_for("worker.ready", since=since, worker="counter-0")
        assert not service.seen("worker.ended", since=since, worker="counter-0")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_template_without_its_embryo_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    """Killed, it is replaced by the template; frozen, it is as good as dead: the next spawn does not wait for it."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="counter-0")["pid"]
        service.wait_for("supervisor.ready")
        standby(service)
        since, embryo = service.mark, service.embryo()
        service.kill(embryo, number=number)
        service.kill(pid)
        service.wait_for("worker.ready", since=since, worker="counter-0", timeout=5.0)
        until(lambda: not is_alive(embryo), "it was put out of the way")
        assert len(service.seen("worker.spawned", since=since)) == 1
        assert not service.seen("worker.ended", worker="counter-1")


def test_an_embryo_frozen_while_nobody_supervised_is_replaced(tmp_path: Path) -> None:
    """Nobody was there to be told of it: the next supervisor looks."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="counter-0")["pid"]
        service.wait_for("supervisor.ready")
        standby(service)
        supervisor, embryo, since = service.supervisor, service.embryo(), service.mark
        service.freeze(supervisor)
        service.freeze(embryo)
        service.kill(pid, supervisor)
        service.wait_for("worker.ready", since=since, worker="counter-0", timeout=5.0)
        until(lambda: not is_alive(embryo), "it was put out of the way")


def test_an_embryo_that_is_frozen_at_its_rehearsal_is_replaced(tmp_path: Path) -> None:
    """It plays a worker then, and is an embryo all the same; here it takes its time over that."""
    copy, slow = Copy(tmp_path), tmp_path / "slow"
    body = f"    import os, time\n    while os.path.exists({str(slow)!r}):\n        time.sleep(0.01)\n    heart.ready()\n"
    copy.change("understudy", lambda text: text.replace("    heart.ready()\n", body))
    with copy.service(tmp_path, CONFIG.replace("counter:main", "workers.ticker:main")) as service:
        service.wait_for("supervisor.ready")
        slow.touch()
        first = service.embryo()
        service.kill(first)
        service.until(lambda: not is_alive(first), "the first one is gone")
        embryo, since = service.embryo(), service.mark
        service.kill(embryo, number=signal.SIGSTOP)
        slow.unlink()
        service.kill(service.pid("counter-0"))
        service.wait_for("worker.ready", since=since, worker="counter-0", timeout=5.0)
        until(lambda: not is_alive(embryo), "it was put out of the way")


def test_a_frozen_template_is_replaced(tmp_path: Path) -> None:
    """SIGSTOP is as good as death: the anchor sees it, and workers come from a new one."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="counter-0")["pid"]
        since = service.mark
        service.kill(service.template(), number=signal.SIGSTOP)
        service.kill(pid)
        service.wait_for("worker.ready", since=since, worker="counter-0")
        service.wait_for("template.ready", since=since)


def test_a_standby_that_is_killed_is_replaced_and_its_worker_does_not_notice(tmp_path: Path) -> None:
    """It waits for nobody's sake but its own."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="standing")["pid"]
        first, since = standby(service)["pid"], service.mark
        service.kill(first)
        assert service.wait_for("standby.ended", since=since)["signal"] == "SIGKILL"
        assert standby(service, since)["pid"] != first
        assert service.pid("standing") == pid


def test_worker_and_standby_killed_together_are_both_back(tmp_path: Path) -> None:
    """The standby that was to take over is dead as well: the next life is a fresh one, once."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="standing")["pid"]
        first, since = standby(service)["pid"], service.mark
        service.kill(pid, first)
        service.wait_for("worker.ready", since=since, worker="standing")
        standby(service, since)
        assert len(service.seen("worker.ready", since=since, worker="standing")) == 1


def test_a_standby_takes_over_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    """It was left by one supervisor and is told to go by another."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="standing")["pid"]
        waiting = standby(service)["pid"]
        since = service.mark
        service.kill_supervisor()
        service.kill(pid)
        spawned = service.wait_for("worker.spawned", since=since, worker="standing")
        assert (spawned["from"], spawned["pid"]) == ("standby", waiting)
        assert service.wait_for("worker.ready", since=since, worker="standing")["pid"] == waiting
        assert standby(service, since)["pid"] not in (waiting, pid)


def test_worker_and_supervisor_killed_together_and_the_standby_takes_over(tmp_path: Path) -> None:
    """The death is seen by the next supervisor, and so is the standby."""
    with rig(tmp_path) as service:
        pid = service.wait_for("worker.ready", worker="standing")["pid"]
        waiting = standby(service)["pid"]
        since = service.mark
        service.kill(service.supervisor, pid)
        assert service.wait_for("worker.ready", since=since, worker="standing")["pid"] == waiting
        assert len(service.seen("worker.ended", worker="standing")) == 1


def test_the_pump_may_be_killed_and_not_a_line_is_lost_or_doubled(tmp_path: Path) -> None:
    """Eight times, at whatever it is doing: numbered lines of two workers, and every event, exactly once."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        for _ in range(8):
            since = service.mark
            service.wait_for("worker.output", since=since, count=100)
            service.kill(service.pump)
            service.wait_for("pump.ended", since=since)
        service.wait_for("worker.output", since=service.mark, count=100)
    all_lines_once(service, "counter-0")
    all_lines_once(service, "counter-1")
    no_gap(service)
    assert len(service.seen("worker.ended")) == 3


def test_all_helpers_at_once(tmp_path: Path) -> None:
    """Supervisor, pump, template and standby killed in one breath: the workers stay, everything else comes back."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        pids = {row["worker"]: row["pid"] for row in service.status()["workers"]}
        last = standby(service)["pid"]
        for _ in range(3):
            since = service.mark
            service.kill(service.supervisor, service.pump, service.template(), last)
            service.wait_for("supervisor.resumed", since=since)
            service.wait_for("template.ready", since=since)
            last = standby(service, since)["pid"]
            until(lambda: service.status()["supervisor"]["pid"] == service.supervisor, "it answers")
        assert {row["worker"]: row["pid"] for row in service.status()["workers"]} == pids
        assert not service.seen("worker.ended")
    all_lines_once(service, "counter-0")
    no_gap(service)
    assert not [pid for pid in pids.values() if os.path.exists(f"/proc/{pid}")]


def links(pid: int) -> set[str]:
    """What the descriptors of a process stand for."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


@pytest.mark.parametrize("who", ["pump", "template"])
def test_a_supervisor_killed_while_one_of_ours_is_to_be_started_again_is_followed_by_one_that_starts_it(
    tmp_path: Path, who: str
) -> None:
    """Its end is acknowledged and its next life not begun: the note says so, and nobody waits for a process that is no more."""
    copy = Copy(tmp_path)
    copy.change("aide", lambda text: text.replace("pause = 0.0 if", "pause = 60.0 if"))
    with copy.service(tmp_path, CONFIG.replace("counter:main", "workers.ticker:main")) as service:
        service.wait_for("supervisor.ready")
        dead = service.pump if who == "pump" else service.template()
        beats = os.readlink(f"/proc/{dead}/fd/4")
        assert beats in links(service.supervisor)
        service.kill(dead)
        service.until(lambda: kernel.stat(dead) is None, "the anchor has reaped it")
        service.until(lambda: beats not in links(service.supervisor), "the supervisor has dealt with that, and closed its pipe")
        service.status()  # what that turn had to say is at the anchor
        since = service.mark
        service.kill(service.supervisor)
        service.wait_for("supervisor.resumed", since=since)
        service.kill(service.pid("counter-0"))
        service.wait_for("worker.ready", since=since, worker="counter-0")
