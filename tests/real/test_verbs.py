"""What an operator may ask of a real service, and how the service itself ends: verbs, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.cli import client
from tests.real.service import RUN, Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import os, time
def main(heart):
    heart.ready()
    heart.wait(1000)
def stubborn(heart):
    heart.ready()
    while True:
        time.sleep(10)
def choosy(heart):
    if os.path.exists("broken"):
        raise RuntimeError("the new version is broken")
    heart.ready()
    heart.wait(1000)
"""
FLEET = '[workers.web]\ntarget = "job:main"\nreplicas = 3\n[workers.mailer]\ntarget = "job:main"\n'
SLOW = '[workers.slow]\ntarget = "job:stubborn"\ngrace = "2s"\n'


def pids(service: Service) -> dict[str, Any]:
    return {row["worker"]: row["pid"] for row in service.status()["workers"]}


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], env=env, capture_output=True, text=True, timeout=20, check=False)


def refused(service: Service, verb: str, **fields: Any) -> client.Denied:
    with pytest.raises(client.Denied) as error:
        service.ask(verb, **fields)
    return error.value


def test_stop_start_and_restart(tmp_path: Path) -> None:
    """Each touches whom it names, answers when it is so, and no wish counts as a failure."""
    with Service(tmp_path, FLEET, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        before = pids(service)
        assert service.ask("stop", workers=["web-1"], wait=True)["phases"] == {"web-1": "down"}
        assert pids(service) == before | {"web-1": None}
        assert service.worker("web-1")["want"] == "down"
        assert service.ask("start", workers=["web-1"], wait=True)["phases"] == {"web-1": "ready"}
        again = pids(service)
        assert again["web-1"] not in (None, before["web-1"])
        assert service.ask("restart", workers=["web*"], rolling=False, wait=True)["restarted"] == ["web-0", "web-1", "web-2"]
        after = pids(service)
        assert after["mailer"] == before["mailer"]
        assert not {after[name] for name in ("web-0", "web-1", "web-2")} & set(again.values())
        assert service.ask("restart", workers=["mailer"], rolling=False, wait=True)["phases"] == {"mailer": "ready"}
        assert all(row["streak"] == 0 for row in service.status()["workers"])
        assert {event["level"] for event in service.seen("worker.ended")} == {"info"}
        assert not service.seen("worker.backed_off")


def test_a_name_that_nobody_has(tmp_path: Path) -> None:
    """Is refused, with the name that was probably meant; no name at all is wrong usage."""
    with Service(tmp_path, FLEET, modules={"job": JOB}) as service:
        for verb, fields in {"start": {"wait": True}, "stop": {"wait": True}, "release": {}}.items():
            error = refused(service, verb, workers=["mialer"], **fields)
            assert error.code == 3
            assert "did you mean 'mailer'" in str(error)
        assert "'web'" in str(refused(service, "scale", worker="wbe", replicas=2))
        assert refused(service, "stop", workers=[], wait=True).code == 2
        assert refused(service, "stop", workers=["nobody-*"], wait=True).code == 3
        assert refused(service, "scale", worker="web", replicas=0).code == 3
        assert refused(service, "status", worker="mialer").code == 3


def test_scale_never_restarts_siblings(tmp_path: Path) -> None:
    """More replicas are added, fewer are taken from the end, and nobody else notices; a single worker keeps its name."""
    with Service(tmp_path, FLEET, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        before = pids(service)
        service.ask("scale", worker="web", replicas=5)
        service.wait_for("worker.ready", worker="web-4")
        assert before.items() <= pids(service).items()
        service.ask("scale", worker="web", replicas=2)
        assert pids(service) == {name: pid for name, pid in before.items() if name != "web-2"}
        service.ask("scale", worker="mailer", replicas=2)
        service.wait_for("worker.ready", worker="mailer-1")
        assert pids(service)["mailer"] == before["mailer"]
        service.kill_supervisor()
        assert len(pids(service)) == 4, "the next supervisor knows of it"


def test_a_rolling_restart_goes_one_by_one(tmp_path: Path) -> None:
    """The next is touched only when the one before is ready again."""
    with Service(tmp_path, FLEET, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        since = service.mark
        service.ask("restart", workers=["web"], rolling=True, wait=True)
        service.wait_for("worker.ready", worker="web-2", since=since)
        told = [(event["event"], event.get("worker")) for event in service.events[since:]]  # one may be the service's own
        wanted = [(event, f"web-{n}") for n in range(3) for event in ("worker.stopping", "worker.ready")]
        assert [each for each in told if each[0] in ("worker.stopping", "worker.ready")] == wanted


def test_a_rolling_restart_halts(tmp_path: Path) -> None:
    """When one does not come back the others are left alone, and the answer says which."""
    config = f'[workers.web]\ntarget = "job:choosy"\nreplicas = 3\ncwd = "{tmp_path}"\nbackoff = {{ initial = "30s" }}\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        before = pids(service)
        (tmp_path / "broken").touch()
        error = refused(service, "restart", workers=["web"], rolling=True, wait=True)
        assert error.code == 1
        assert "web-0 is backing off" in str(error)
        assert "not restarted: web-1, web-2" in str(error)
        after = pids(service)
        assert (after["web-1"], after["web-2"]) == (before["web-1"], before["web-2"])


def test_quarantine_and_release(tmp_path: Path) -> None:
    """A worker that fails too often stays down until it is released; a start that does not get ready is said to have failed."""
    config = f'[workers.web]\ntarget = "job:choosy"\ncwd = "{tmp_path}"\nmax_failures = 2\nbackoff = {{ initial = "10ms" }}\n'
    (tmp_path / "broken").touch()
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        gone = service.wait_for("worker.quarantined")
        assert (gone["streak"], gone["action"]) == (2, "stay")
        assert "the new version is broken" in service.seen("worker.ended")[0]["stack"]
        assert "1 quarantined: web" in service.status()["status"]
        error = refused(service, "start", workers=["web"], wait=True)
        assert error.code == 1
        assert "web is quarantined" in str(error)
        (tmp_path / "broken").unlink()
        assert service.ask("release", workers=["web"])["released"] == ["web"]
        service.wait_for("worker.released", count=2)
        service.wait_for("worker.ready")
        assert service.worker("web")["streak"] == 0
        assert service.ask("release", workers=["web"])["released"] == []


def test_nobody_waits_behind_a_slow_stop(tmp_path: Path) -> None:
    """While one worker uses up its grace others are stopped, started and looked at as if nothing were."""
    with Service(tmp_path, FLEET + SLOW, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        began = time.monotonic()
        service.ask("stop", workers=["slow"], wait=False)
        service.wait_for("worker.stopping", worker="slow")
        service.ask("restart", workers=["web"], rolling=False, wait=True)
        service.ask("stop", workers=["mailer"], wait=True)
        assert service.worker("slow")["phase"] == "stopping"
        assert time.monotonic() - began < 2
        assert service.wait_for("worker.killed")["grace_s"] == 2
        ended = service.wait_for("worker.ended", worker="slow")
        assert (ended["signal"], ended["level"]) == ("SIGKILL", "info")


def test_a_second_sigint_stops_at_once(tmp_path: Path) -> None:
    """The first asks for an orderly stop, the second takes the grace away; both end with exit code 0."""
    with Service(tmp_path, SLOW.replace("2s", "60s"), modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        os.kill(service.anchor, signal.SIGINT)
        service.wait_for("worker.stopping")
        began = time.monotonic()
        os.kill(service.anchor, signal.SIGINT)
        assert service.ended() == 0
        assert time.monotonic() - began < 2
        assert service.seen("worker.killed")


def test_shutdown(tmp_path: Path) -> None:
    """A client may end the service; its exit code is 0 and the last event says so."""
    with Service(tmp_path, FLEET, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        assert service.ask("shutdown") == {"stopping": True}
        assert service.ended() == 0
        assert (service.events[-1]["event"], service.events[-1]["code"]) == ("supervisor.stopped", 0)
        assert len(service.seen("worker.ended", asked=None)) == 4


SIGNIFICANT = {
    "crashes": ('command = ["false"]\nsignificant = true\nmax_failures = 1\n', 10),
    "temporary": ('command = ["false"]\nsignificant = true\nrestart = "temporary"\n', 10),
    "completes": ('command = ["true"]\nsignificant = true\nrestart = "transient"\n', 0),
    "exits": ('command = ["false"]\non_quarantine = "exit"\nmax_failures = 2\nbackoff = { initial = "10ms" }\n', 10),
}


@pytest.mark.parametrize("case", SIGNIFICANT)
def test_what_a_significant_ending_means(tmp_path: Path, case: str) -> None:
    """Given up: the service goes down with 10, orderly; done: with 0. The ending itself is told as it was."""
    body, code = SIGNIFICANT[case]
    with Service(tmp_path, f"[workers.vital]\n{body}" + FLEET, modules={"job": JOB}) as service:
        assert service.ended() == code
        ended = service.seen("worker.ended", worker="vital")[-1]
        assert ended["exit_code"] == (0 if case == "completes" else 1)
        assert service.seen("supervisor.stopped", code=code)


def test_probation(tmp_path: Path) -> None:
    """After its probation a quarantined worker has one try; failing, it is back in quarantine at once."""
    config = '[workers.a]\ncommand = ["false"]\nmax_failures = 2\nbackoff = { initial = "10ms" }\n'
    config += 'on_quarantine = { probation = "200ms" }\n'
    with Service(tmp_path, config) as service:
        first = service.wait_for("worker.quarantined")
        assert service.wait_for("worker.released")["reason"] == "probation"
        service.wait_for("worker.quarantined", count=2)
        assert len(service.seen("worker.ended")) == 3
        assert first["probation_s"] == 0.2


def test_exit_codes_of_run(tmp_path: Path) -> None:
    """78 for a bad config, 3 for a name that is taken: a sentence each, and the service that has the name goes on."""
    with Service(tmp_path, FLEET, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        before = pids(service)
        bad = tmp_path / "bad.toml"
        bad.write_text('[workers.a]\ntarget = "job:main"\ncomand = ["x"]\n')
        for config, code, word in ((bad, 78, "did you mean"), (service.config, 3, "rig")):
            ran = run(str(config), "--name", "rig", env=service.env)
            assert ran.returncode == code
            assert word in ran.stderr
            assert "Traceback" not in ran.stderr
        assert pids(service) == before


def test_log_formats(tmp_path: Path) -> None:
    """console is for people, json for programs; auto is JSON where nobody is looking."""
    config = tmp_path / "c.toml"
    config.write_text('[workers.a]\ncommand = ["echo", "hello"]\nrestart = "temporary"\nsignificant = true\n')
    said = {}
    for how in ("auto", "json", "console"):
        env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        ran = run(str(config), "--log-format", how, env=env)
        assert ran.returncode == 0
        said[how] = ran.stdout.splitlines()
    for how in ("auto", "json"):  # in whatever order: events and output come to the log by ways of their own
        assert {"supervisor.started", "worker.output"} <= {json.loads(line)["event"] for line in said[how]}
    assert not any(line.startswith("{") for line in said["console"])
    assert any("hello" in line for line in said["console"])


def test_the_environment_of_workers(tmp_path: Path) -> None:
    """They inherit the service's environment but for what systemd meant for the service alone; env outranks env_files."""
    (tmp_path / "one.env").write_text("A=file\nB='two words'\n")
    config = f'[workers.a]\ncommand = ["{sys.executable}", "-c", "import json, os; print(json.dumps(dict(os.environ)))"]\n'
    config += 'restart = "temporary"\nenv = { A = "own" }\nenv_files = ["one.env"]\n'
    systemd = dict.fromkeys(("INVOCATION_ID", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY"), "1")
    systemd["JOURNAL_STREAM"] = "1:2"
    with Service(tmp_path, config, env={**systemd, "MINE": "1"}) as service:
        data = service.wait_for("worker.output", worker="a")["data"]
        assert (data["A"], data["B"], data["MINE"], data["NINELIVES_NAME"]) == ("own", "two words", "1", "a")
        assert not systemd.keys() & data.keys()
        assert "NOTIFY_SOCKET" not in data
