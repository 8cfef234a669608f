"""The supervisor may die or freeze at any moment: the workers go on, nothing runs twice, and every ending is told once."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.cli import client
from tests.real.service import Service, is_alive, until

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
STEADY = """
[workers.steady]
target = "acts:steady"
beat_within = "800ms"
"""


def rig(folder: Path, config: str, **more: Any) -> Service:
    return Service(folder, STEADY + config, modules={"acts": ACTS}, **more)


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


@either
def test_idle(tmp_path: Path, how: str) -> None:
    """A supervisor lost while nothing happens: a new one, and the worker has not noticed."""
    with rig(tmp_path, "") as service:
        pid = service.wait_for("worker.ready", worker="steady")["pid"]
        lost, since = service.supervisor, how_to_lose(service, how)
        resumed = service.wait_for("supervisor.resumed", since=since)
        assert resumed["adopted"] == 1
        assert resumed["pid"] != lost
        assert not is_alive(lost)
        assert service.pid("steady") == pid
        lived_once(service, "steady")


def test_supervising_resumes_within_half_a_second_of_a_kill(tmp_path: Path) -> None:
    """Ten kills in a row; the figure is the service's own, of the anchor's clock, and given room for a loaded machine."""
    with rig(tmp_path, "") as service:
        pid = service.wait_for("worker.ready", worker="steady")["pid"]
        away = []
        for _ in range(10):
            away.append(service.kill_supervisor()["away_s"])
            until(lambda: service.status()["supervisor"]["pid"] == service.supervisor, "the new one answers")
        print(f"away_s: median {statistics.median(away):.3f}, most {max(away):.3f}")
        assert statistics.quantiles(away)[0] < 0.5, "other tests may have the CPUs, but not every time"
        assert service.pid("steady") == pid
        assert service.status()["supervisor"]["resumes"] == 10


@either
def test_in_the_middle_of_a_spawn(tmp_path: Path, how: str) -> None:
    """A spawn that was asked for and not done yet is done once, whoever asked."""
    with rig(tmp_path, '[workers.one]\ntarget = "acts:obedient"\n') as service:
        first = service.wait_for("worker.ready", worker="one")["pid"]
        embryo = service.embryo()
        service.freeze(embryo)
        since = service.mark
        service.kill(first, number=signal.SIGUSR1)
        service.wait_for("worker.ended", worker="one", exit_code=7)
        how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        service.thaw(embryo)
        service.wait_for("worker.ready", worker="one", since=since)
        lived_once(service, "one", lives=2)
        assert len([pid for pid in service.children() if pid == service.pid("one")]) == 1
        lived_once(service, "steady")


@either
def test_in_the_middle_of_a_stop(tmp_path: Path, how: str) -> None:
    """A worker that ignores TERM is killed after its grace all the same, once, and stays down as it was wanted."""
    config = '[workers.one]\ntarget = "workers.stubborn:main"\ngrace = "1s"\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.ready", worker="one")
        service.ask("stop", workers=["one"], wait=False)
        service.wait_for("worker.stopping", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        ended = service.wait_for("worker.ended", worker="one")
        assert ended["signal"] == "SIGKILL"
        assert "asked" in ended["how"]
        lived_once(service, "one")
        row = service.worker("one")
        assert (row["want"], row["phase"]) == ("down", "down")
        lived_once(service, "steady")


@either
def test_in_the_middle_of_a_reload(tmp_path: Path, how: str) -> None:
    """The config that was accepted is in force afterwards, and what it did not change was not touched."""
    config = '[workers.one]\ntarget = "acts:stubborn"\ngrace = "800ms"\nenv = { MODE = "old" }\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.ready", worker="one")
        new = config.replace("old", "new") + '[workers.two]\ntarget = "acts:steady"\n'
        service.config.write_text(STEADY + new)
        service.kill(service.anchor, number=signal.SIGHUP)
        service.wait_for("worker.stopping", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        service.wait_for("worker.ready", worker="two")
        service.wait_for("worker.output", worker="one", since=since, msg="new")
        lived_once(service, "one", lives=2)
        lived_once(service, "steady")


@either
def test_in_the_middle_of_a_backoff(tmp_path: Path, how: str) -> None:
    """The wait goes on where it was, neither cut short nor begun anew, and the streak with it."""
    pause = 1.5 if how == "killed" else 5.0
    config = f"""
        [workers.one]
        target = "acts:crash"
        backoff = {{ first = "{pause}s", initial = "30s", max = "30s", jitter = "0s" }}
    """
    with rig(tmp_path, config) as service:
        backed_off = service.wait_for("worker.backed_off", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        assert service.worker("one")["streak"] == 1
        again = service.wait_for("worker.spawned", worker="one", since=since)
        assert pause - 0.01 < at(again) - at(backed_off) < pause + 1.0
        assert service.wait_for("worker.backed_off", worker="one", since=since)["streak"] == 2
        lived_once(service, "one", lives=2)


@either
def test_in_quarantine(tmp_path: Path, how: str) -> None:
    """Quarantine is kept, and so is the way out of it."""
    config = '[workers.one]\ntarget = "acts:crash"\nmax_failures = 2\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.quarantined", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        row = service.worker("one")
        assert (row["phase"], row["streak"], row["want"]) == ("quarantined", 2, "up")
        assert service.ask("release", workers=["one"]) ["released"] == ["one"]
        service.wait_for("worker.spawned", worker="one", since=since)
        service.wait_for("worker.quarantined", worker="one", since=since)
        lived_once(service, "one", lives=4)


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
