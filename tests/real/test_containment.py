"""What a worker starts is its own: found, told of by name and gone before its next life; and nothing outlives the anchor."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import kernel
from tests.real.copied import Copy
from tests.real.living import is_alive
from tests.real.service import PATIENCE, Service, until

if TYPE_CHECKING:
    from pathlib import Path

FAMILY = """
import os, signal, subprocess, sys, time

def leave_behind():
    "A plain child, a daemon of two forks, one with a cleared environment and one that forks on when it is found."
    subprocess.Popen(["sleep", "61"])
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execvp("sleep", ["sleep", "62"])
        os._exit(0)
    subprocess.Popen(["/usr/bin/env", "-i", "/usr/bin/setsid", "/bin/sleep", "63"])
    subprocess.Popen(["/bin/sh", "-c", "/bin/sleep 64 & wait"], start_new_session=True)

def main(heart, after=60.0, how="exit"):
    leave_behind()
    heart.ready()
    heart.wait(after)
    if how == "exit":
        os._exit(9)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
"""
LEFT = {"sleep", "sh"}
"""The commands of the processes above, five in all."""
NUMBER = 5
CONFIG = """
[workers.family]
target = "family:main"
args = {{ {args} }}
grace = "500ms"
backoff = {{ first = "{first}", initial = "10s", max = "10s" }}

[workers.neighbour]
target = "workers.ticker:main"
"""


def rig(folder: Path, args: str = "", first: str = "0s", **more: Any) -> Service:
    return Service(folder, CONFIG.format(args=args, first=first), modules={"family": FAMILY}, **more)


def relatives(service: Service, spawn_id: str) -> set[int]:
    """Every living process that carries the brand of this spawn, the worker itself among them."""
    number = int(spawn_id.partition("#")[2])
    return {pid for pid in service.living() if (kernel.read_brand(pid) or 0) & 0xFFFFFFFF == number}


def whole_family(service: Service, spawn_id: str) -> set[int]:
    """Once all of them are there."""

    def there() -> set[int]:
        """Those that stay, and the worker; who only forks another is called as the worker is, and soon gone."""
        found = {pid: seen for pid in relatives(service, spawn_id) if (seen := kernel.stat(pid)) is not None}
        left = {pid for pid, seen in found.items() if seen.command in LEFT}
        return set(found) if len(left) == NUMBER and len(found) == NUMBER + 1 else set()

    return until(there, "they are all there")


def test_every_worker_has_a_session_of_its_own(tmp_path: Path) -> None:
    """A signal to one's process group, or a hang-up of its terminal, is no one else's business."""
    with rig(tmp_path) as service:
        for worker in ("family", "neighbour"):
            pid = service.wait_for("worker.ready", worker=worker)["pid"]
            assert os.getsid(pid) == pid


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_what_a_crashed_worker_left_is_swept_before_its_next_life(tmp_path: Path, how: str) -> None:
    """Daemonised, cleared, in a session of their own: each is an event that names its worker, and all are gone."""
    with rig(tmp_path, f'after = 0.3, how = "{how}"') as service:
        first = service.wait_for("worker.ready", worker="family")["spawn_id"]
        family = whole_family(service, first)
        second = service.wait_for("worker.spawned", worker="family", spawn_id=lambda it: it != first)
        assert not any(map(is_alive, family)), "the second life began beside what the first had left"
        swept = service.seen("worker.orphan_swept", spawn_id=first)
        ended = service.seen("worker.ended", spawn_id=first)[0]
        assert {each["worker"] for each in swept} == {"family"}
        assert {each["command"] for each in swept} <= LEFT
        assert {each["orphan_pid"] for each in swept} == family - {ended["pid"]}
        assert max(each["seq"] for each in swept) < second["seq"]
        assert not service.seen("worker.ended", worker="neighbour")


@pytest.mark.parametrize("how", ["exit", "stubborn"])
def test_a_stop_puts_the_whole_tree_down(tmp_path: Path, how: str) -> None:
    """Whether it listens to TERM or has to be killed after its grace: nothing of it is left."""
    with rig(tmp_path, f'how = "{how}"') as service:
        spawn_id = service.wait_for("worker.ready", worker="family")["spawn_id"]
        family = whole_family(service, spawn_id)
        service.ask("stop", workers=["family"])
        assert not any(map(is_alive, family))
        ended = service.wait_for("worker.ended", worker="family")
        assert (ended.get("signal"), ended.get("exit_code")) == ("SIGKILL", None) if how == "stubborn" else (None, 9)


def test_what_was_left_while_nobody_supervised_is_swept_by_the_next(tmp_path: Path) -> None:
    """The worker and the supervisor die together: its family does not live on unknown."""
    with rig(tmp_path, first="5s") as service:
        ready = service.wait_for("worker.ready", worker="family")
        family = whole_family(service, ready["spawn_id"])
        service.kill(service.supervisor, ready["pid"])
        service.wait_for("worker.backed_off", worker="family")
        assert not any(map(is_alive, family))
        assert {each["orphan_pid"] for each in service.seen("worker.orphan_swept")} == family - {ready["pid"]}


def test_a_supervisor_killed_in_the_middle_of_a_sweep_is_followed_by_one_that_finishes_it(tmp_path: Path) -> None:
    """Killed again and again from the moment the worker is dead."""
    with rig(tmp_path, first="5s") as service:
        ready = service.wait_for("worker.ready", worker="family")
        family = whole_family(service, ready["spawn_id"])
        supervisor = service.supervisor
        service.kill(ready["pid"])
        until(lambda: len([pid for pid in family if is_alive(pid)]) < NUMBER, "the sweep has begun")
        service.kill(supervisor)
        service.wait_for("supervisor.resumed")
        service.wait_for("worker.ended", worker="family")
        until(lambda: not any(map(is_alive, family)), "they are gone")
        assert len(service.seen("worker.ended", worker="family")) == 1


def test_other_peoples_processes_are_left_alone(tmp_path: Path) -> None:
    """A process that somebody else started, of the same command, survives all of it."""
    with subprocess.Popen(["sleep", "61"]) as bystander:
        with rig(tmp_path, "after = 0.2") as service:
            service.wait_for("worker.orphan_swept", worker="family")
            service.kill(service.supervisor)
            service.wait_for("supervisor.resumed")
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("supervisor_is", ["well", "frozen", "dead"])
def test_nothing_outlives_the_anchor_by_two_seconds(tmp_path: Path, supervisor_is: str) -> None:
    """kill -9 of the anchor: workers, helpers and what the workers had daemonised die with it, whoever else is hurt."""
    with rig(tmp_path) as service:
        spawn_id = service.wait_for("worker.ready", worker="family")["spawn_id"]
        service.wait_for("worker.ready", worker="neighbour")
        whole_family(service, spawn_id)
        if supervisor_is == "frozen":
            service.freeze(service.supervisor)
        elif supervisor_is == "dead":
            service.kill(service.supervisor)
        service.kill(service.anchor)
        until(lambda: not service.living(), "all are dead", timeout=2.0)


def test_nothing_outlives_the_anchor_even_when_all_helpers_are_hurt(tmp_path: Path) -> None:
    """Supervisor and pump frozen, then the anchor killed: the templates see to the rest."""
    with rig(tmp_path) as service:
        whole_family(service, service.wait_for("worker.ready", worker="family")["spawn_id"])
        service.freeze(service.supervisor)
        service.kill(service.pump, number=signal.SIGSTOP)
        service.kill(service.anchor)
        until(lambda: not service.living(), "all are dead", timeout=2.0)


def test_a_service_can_be_started_at_once_after_its_anchor_was_killed(tmp_path: Path) -> None:
    """What was left of the first lets go of the name in time; a second start does not have to be retried by hand."""
    with rig(tmp_path) as service:
        service.wait_for("worker.ready", worker="family")
        service.kill(service.anchor)
        service.process.wait()
        with rig(tmp_path / "second", runtime=service.runtime) as second:
            second.wait_for("worker.ready", worker="family")
            assert second.status()["supervisor"]["anchor_pid"] == second.anchor


def test_a_second_service_of_the_same_name_is_refused(tmp_path: Path) -> None:
    """Exit code 3 and a sentence; the first does not notice."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        again = subprocess.run(
            [*service.run, str(service.config), "--name", service.name],
            env=service.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert again.returncode == 3
        assert f"a service called 'rig' runs already (anchor {service.anchor})" in again.stderr
        assert "Traceback" not in again.stderr
        assert service.status()["supervisor"]["anchor_pid"] == service.anchor


def test_descriptors_that_have_run_out_delay_a_spawn_and_kill_nobody(tmp_path: Path) -> None:
    """The supervisor at its limit: the failing spawn is told as such and tried again, and works when there is room."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        supervisor, since = service.supervisor, service.mark
        limit(supervisor, len(os.listdir(f"/proc/{supervisor}/fd")) + 1)
        service.kill(service.wait_for("worker.ready", worker="neighbour")["pid"])
        service.wait_for("worker.ended", since=since, why=lambda why: "cannot be spawned" in str(why))
        limit(supervisor, 4096)
        service.wait_for("worker.ready", worker="neighbour", since=since, timeout=30)
        assert service.supervisor == supervisor
        assert not service.seen("worker.ended", worker="family")


def without_room(service: Service) -> None:
    """The anchor has no room for the descriptors of another spawn."""
    limit(service.anchor, len(os.listdir(f"/proc/{service.anchor}/fd")) + 2)


def lived_in_turn(service: Service, worker: str) -> None:
    """Every life of it spawned once, ended once, and none beside another."""
    told = [each for each in service.events if each.get("worker") == worker]
    lives = [each for each in told if each["event"] in ("worker.spawned", "worker.ended") and each["pid"] is not None]
    assert [each["event"] for each in lives] == ["worker.spawned", "worker.ended"] * (len(lives) // 2)
    assert [each["spawn_id"] for each in lives[0::2]] == [each["spawn_id"] for each in lives[1::2]]


def test_an_anchor_without_descriptors_kills_nobody(tmp_path: Path) -> None:
    """A spawn that it could not keep is put down as one for which there was no room, and tried again; nothing else is lost."""
    with rig(tmp_path) as service:
        service.wait_for("supervisor.ready")
        since = service.mark
        without_room(service)
        service.ask("scale", worker="neighbour", replicas=2)
        lost = service.wait_for("worker.ended", worker="neighbour-1", since=since, result="resources")
        assert lost["why"] == "the anchor had no descriptors left for its pipes"
        limit(service.anchor, 4096)
        service.wait_for("worker.ready", worker="neighbour-1", since=service.mark, timeout=30)
        service.kill_supervisor()
        assert service.worker("neighbour-1")["phase"] == "ready"
        assert service.process.poll() is None
        assert not service.seen("worker.ended", worker="family")
    lived_in_turn(service, "neighbour-1")


def test_a_supervisor_killed_before_it_hears_of_that_is_followed_by_one_that_knows(tmp_path: Path) -> None:
    """It dies of the news: what became of the spawn is swept by the next, which goes by the note, and one life is left."""
    copy = Copy(tmp_path)
    copy.change(
        "daemon", lambda text: text.replace('case "fault":', 'case "fault":\n                os.kill(os.getpid(), 9)')
    )
    config = (
        '[workers.one]\ntarget = "workers.ticker:main"\nbackoff = { first = "0s", initial = "200ms", max = "1s" }\n'
    )
    with copy.service(tmp_path, config) as service:
        service.wait_for("supervisor.ready")
        since = service.mark
        without_room(service)
        service.ask("scale", worker="one", replicas=2)
        service.wait_for("supervisor.resumed", since=since)
        limit(service.anchor, 4096)
        service.wait_for("worker.ready", worker="one-1", since=since, timeout=30)
        ours = {pid for pid in service.children() if (kernel.read_brand(pid) or 0) & 0xFFFFFFFF}
        assert ours == {service.pid("one"), service.pid("one-1")}
        assert service.process.poll() is None
    lived_in_turn(service, "one")


def test_a_life_that_runs_without_a_place_at_the_anchor_is_put_down_by_the_next_supervisor(tmp_path: Path) -> None:
    """One that never heard of the loss is killed later: the life is ended as what it is, told once, and followed by another."""
    copy = Copy(tmp_path)
    copy.change("daemon", lambda text: text.replace('case "fault":', 'case "fault":\n                return'))
    with copy.service(tmp_path, '[workers.one]\ntarget = "workers.ticker:main"\n') as service:
        service.wait_for("supervisor.ready")
        since = service.mark
        without_room(service)
        service.ask("scale", worker="one", replicas=2)
        lost = service.wait_for("worker.ready", worker="one-1", since=since)["pid"]
        limit(service.anchor, 4096)
        since = service.mark
        service.kill_supervisor()
        assert service.wait_for("worker.ended", worker="one-1", since=since, pid=lost)["result"] == "resources"
        service.wait_for("worker.ready", worker="one-1", since=since)
        assert not is_alive(lost)
    lived_in_turn(service, "one-1")


def limit(pid: int, files: int) -> None:
    """Its soft RLIMIT_NOFILE."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, hard))
