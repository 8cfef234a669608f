"""What happens while nobody supervises is dealt with by the next supervisor: wishes, ends, beats, silence, clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from supervisor.cli import client
from tests.real.living import is_alive
from tests.real.service import until
from tests.real.survival import lived_once, rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.service import Service


def test_wants_are_kept(tmp_path: Path) -> None:
    """What was stopped stays stopped, what was scaled stays scaled."""
    config = '[workers.one]\ntarget = "acts:steady"\n[workers.many]\ntarget = "acts:steady"\nreplicas = 2\n'
    with rig(tmp_path, config) as service:
        service.wait_for("supervisor.ready")
        service.ask("stop", workers=["one"])
        service.ask("scale", worker="many", replicas=3)
        service.wait_for("worker.ready", worker="many-2")
        service.kill_supervisor()
        rows = {row["worker"]: row for row in service.status()["workers"]}
        assert (rows["one"]["want"], rows["one"]["phase"]) == ("down", "down")
        assert {name for name in rows if name.startswith("many")} == {"many-0", "many-1", "many-2"}
        assert len(service.seen("worker.spawned")) == 5


def test_an_exit_while_it_was_gone_is_told_once_with_its_code(tmp_path: Path) -> None:
    """Three workers die, each its own way, while nobody supervises."""
    config = "".join(f'[workers.w{code}]\ntarget = "acts:obedient"\nargs = {{ code = {code} }}\n' for code in (5, 6, 8))
    with rig(tmp_path, config) as service:
        service.wait_for("supervisor.ready")
        pids = {code: service.pid(f"w{code}") for code in (5, 6, 8)}
        supervisor = service.supervisor
        service.freeze(supervisor)
        service.kill(pids[5], pids[6], number=signal.SIGUSR1)
        service.kill(pids[8])
        until(lambda: not any(map(is_alive, pids.values())), "they are dead")
        since = service.mark
        service.kill(supervisor)
        assert service.wait_for("worker.ended", worker="w5", since=since)["exit_code"] == 5
        assert service.wait_for("worker.ended", worker="w6", since=since)["exit_code"] == 6
        assert service.wait_for("worker.ended", worker="w8", since=since)["signal"] == "SIGKILL"
        for code in pids:
            service.wait_for("worker.ready", worker=f"w{code}", since=since)
            lived_once(service, f"w{code}", lives=2)
        service.kill_supervisor()
        service.status()
        assert len(service.seen("worker.ended")) == 3, "acknowledged exits are not told again"


def test_beats_sent_while_it_was_frozen_count(tmp_path: Path) -> None:
    """Frozen for longer than beat_within, but not for long enough to be killed: nobody is found hung."""
    with rig(tmp_path, "") as service:
        service.wait_for("worker.ready", worker="steady")
        supervisor = service.supervisor
        service.freeze(supervisor)
        with pytest.raises(client.NoAnswer):  # a wait of a known length
            service.ask("status", patience=1.2)
        service.thaw(supervisor)
        service.status()
        assert not service.seen("worker.hung")
        assert not service.seen("supervisor.resumed")


def test_silence_while_it_was_gone_counts_too(tmp_path: Path) -> None:
    """A worker that fell silent while nobody supervised is found hung by the next supervisor."""
    with rig(tmp_path, '[workers.mute]\ntarget = "acts:mute"\nbeat_within = "1s"\n') as service:
        pid = service.wait_for("worker.ready", worker="mute")["pid"]
        supervisor = service.supervisor
        service.freeze(supervisor)
        service.kill(pid, number=signal.SIGUSR1)
        service.kill(supervisor)
        hung = service.wait_for("worker.hung")
        assert hung["worker"] == "mute"
        assert service.wait_for("worker.ended", worker="mute")["result"] == "watchdog"
        lived_once(service, "steady")


def test_a_hang_is_found_though_supervisors_come_and_go(tmp_path: Path) -> None:
    """None of them lives as long as beat_within: the silence that each has seen is counted on by the next."""
    with rig(tmp_path, '[workers.mute]\ntarget = "acts:mute"\nbeat_within = "2500ms"\n') as service:
        service.kill(service.wait_for("worker.ready", worker="mute")["pid"], number=signal.SIGUSR1)
        for _ in range(8):
            resumed = service.kill_supervisor()
            with contextlib.suppress(AssertionError):
                service.wait_for("worker.hung", timeout=1.5)
                break
        hung = service.seen("worker.hung", worker="mute")
        assert hung, f"not found by eight supervisors, the last {resumed}"
        assert hung[0]["silent_s"] >= 2.5
        lived_once(service, "steady")
        assert not service.seen("worker.hung", worker="steady")


def test_a_worker_that_was_silent_and_beats_again_is_not_held_to_it(tmp_path: Path) -> None:
    """Stopped over a resume and continued: what was noted of its silence is forgotten with its next beat."""
    with rig(tmp_path, '[workers.slow]\ntarget = "acts:steady"\nbeat_within = "3s"\n') as service:
        pid = service.wait_for("worker.ready", worker="slow")["pid"]
        service.freeze(pid)
        service.kill_supervisor()
        pause(service, 1.5)  # long enough for its silence to be noted
        service.thaw(pid)
        service.until(lambda: service.worker("slow")["beat_age_s"] < 0.5, "it beats")
        pause(service, 3.5)  # longer than beat_within
        service.kill_supervisor()
        pause(service, 1.5)
        lived_once(service, "slow")


def test_a_recovery_is_told_once(tmp_path: Path) -> None:
    """A next supervisor that restarts a worker on request does not tell of a failure that was long got over."""
    with rig(tmp_path, "") as service:
        service.kill(service.wait_for("worker.ready", worker="steady")["pid"])
        service.wait_for("worker.recovered", worker="steady")
        service.kill_supervisor()
        since = service.mark
        service.ask("restart", workers=["steady"])
        service.wait_for("worker.ready", worker="steady", since=since)
        service.status()
        assert len(service.seen("worker.recovered")) == 1


def pause(service: Service, seconds: float) -> None:
    """Let time pass in which nobody is found hung."""
    with pytest.raises(AssertionError):
        service.wait_for("worker.hung", timeout=seconds)


def test_a_client_that_connects_meanwhile_is_served_late(tmp_path: Path) -> None:
    """Nobody is there to accept: the connection waits for the next supervisor, and is answered by it."""
    with rig(tmp_path, "") as service:
        service.wait_for("worker.ready", worker="steady")
        supervisor = service.supervisor
        service.freeze(supervisor)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(service.socket)
            caller.sendall(b'{"id": 7, "verb": "status"}\n')
            service.kill(supervisor)
            caller.settimeout(10)
            with caller.makefile() as answers:
                answer = json.loads(answers.readline())
        assert answer["ok"], answer
        assert answer["id"] == 7
        assert answer["result"]["supervisor"]["resumes"] == 1


def test_a_stop_of_the_service_is_finished_by_the_next_supervisor(tmp_path: Path) -> None:
    """SIGTERM, and the supervisor dies in the middle of the stop: the service ends all the same, with its code."""
    config = '[workers.one]\ntarget = "workers.stubborn:main"\ngrace = "1s"\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.ready", worker="one")
        service.kill(service.anchor, number=signal.SIGTERM)
        service.wait_for("worker.stopping", worker="one")
        service.kill(service.supervisor)
        assert service.ended() == 0
        assert service.seen("worker.ended", worker="one")[0]["signal"] == "SIGKILL"
        lived_once(service, "one")
        lived_once(service, "steady")
        assert not os.path.exists(service.socket)
