"""How a worker shows that it is ready, each way on a real process, and what follows when it does not."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

WAYS = f"""
[workers.heart]
target = "job:heart"
[workers.plain]
target = "job:plain"
[workers.beat]
target = "job:beats"
ready = "beat"
[workers.notify]
command = ["{sys.executable}", "notifier.py"]
ready = "notify"
[workers.newline]
command = ["sh", "-c", "sleep 0.1; echo >&3; exec sleep 100"]
ready = "newline"
success = ["SIGTERM"]
[workers.program]
command = ["sleep", "100"]
[workers.exec]
command = ["sh", "-c", "sleep 0.1; touch there; exec sleep 100"]
ready = {{ exec = ["test", "-e", "there"], every = "50ms" }}
"""

JOB = """
import time
def heart(heart):
    heart.ready("at your service")
    heart.wait(100)
def plain():
    time.sleep(100)
def beats(heart):
    while not heart.wait(0.05):
        heart.beat()
def mute(heart):
    heart.wait(100)
"""

NOTIFIER = """
import os, socket, sys, time
def say(text):
    sock.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
"""


def test_every_way_to_be_ready(tmp_path: Path) -> None:
    """heart.ready(), started, the first beat, sd_notify, a newline, a command that asks: each makes its worker ready once."""
    notifier = NOTIFIER + "time.sleep(0.1); say('READY=1\\nSTATUS=here'); time.sleep(100)"
    config = WAYS.replace("command", f'cwd = "{tmp_path}"\ncommand')
    with Service(tmp_path, config, modules={"job": JOB, "notifier": notifier}) as service:
        service.wait_for("supervisor.ready")
        said = {event["worker"]: event for event in service.seen("worker.ready")}
        assert said.keys() == {"heart", "plain", "beat", "notify", "newline", "program", "exec"}
        assert len(service.seen("worker.ready")) == 7
        assert said["heart"]["status"] == "at your service"
        assert said["notify"]["status"] == "here"
        for late in ("notify", "newline", "exec"):
            assert said[late]["ready_s"] >= 0.1


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_a_probe_over_the_network(tmp_path: Path, kind: str) -> None:
    """A server is ready when it answers, not when it was started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    question = {"tcp": f'tcp = "127.0.0.1:{port}"', "http": f'http = "http://127.0.0.1:{port}/"'}[kind]
    config = (
        f'[workers.web]\ncommand = ["{sys.executable}", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]\n'
        f'ready = {{ {question}, every = "50ms" }}\nsuccess = ["SIGTERM"]\n'
    )
    with Service(tmp_path, config) as service:
        service.wait_for("worker.spawned")
        ready = service.wait_for("worker.ready")
        assert ready["ready_s"] > 0.03
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_not_ready_in_time_is_a_timeout(tmp_path: Path) -> None:
    """After ready_within it is put down, its result is `timeout`, and it counts as a failure."""
    config = '[workers.a]\ntarget = "job:mute"\nready_within = "1s"\nmax_failures = 2\nbackoff = { initial = "10ms" }\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("worker.quarantined")
        ended = service.seen("worker.ended")
        assert [event["result"] for event in ended] == ["timeout", "timeout"]
        assert all("not ready within 1 s" in event["why"] for event in ended)
        assert all(1 <= event["uptime_s"] < 3 for event in ended)
        assert "in mute" in ended[0]["stack"], "where it was when time was up"


def test_a_program_may_ask_for_more_time(tmp_path: Path) -> None:
    """EXTEND_TIMEOUT_USEC lengthens ready_within: a slow start that says so is no failure."""
    notifier = NOTIFIER + "say('EXTEND_TIMEOUT_USEC=5000000'); time.sleep(0.6); say('READY=1'); time.sleep(100)"
    program = f'command = ["{sys.executable}", "{tmp_path}/notifier.py"]'
    config = f'[workers.a]\n{program}\nready = "notify"\nready_within = "400ms"\n'
    with Service(tmp_path, config, modules={"notifier": notifier}) as service:
        assert service.wait_for("worker.ready")["ready_s"] > 0.6
        assert not service.seen("worker.ended")


def test_the_watchdog_of_sd_notify(tmp_path: Path) -> None:
    """WATCHDOG=1 is a beat; WATCHDOG_USEC says how often; without it the program is hung."""
    notifier = NOTIFIER + (
        "say('READY=1')\nevery = int(os.environ['WATCHDOG_USEC']) / 2e6\nassert every == 0.2\n"
        "for _ in range(6):\n    time.sleep(every); say('WATCHDOG=1')\ntime.sleep(100)"
    )
    config = f'[workers.a]\ncommand = ["{sys.executable}", "{tmp_path}/notifier.py"]\nready = "notify"\nbeat_within = "400ms"\n'
    with Service(tmp_path, config, modules={"notifier": notifier}) as service:
        hung = service.wait_for("worker.hung")
        ended = service.wait_for("worker.ended")
        assert hung["silent_s"] >= 0.4
        assert ended["uptime_s"] > 1.5
        assert (ended["result"], ended["signal"]) == ("watchdog", "SIGKILL")


def test_a_failed_set_up_says_which_step(tmp_path: Path) -> None:
    """A missing folder, program or CPU: systemd's exit code, result `resources`, and a sentence."""
    wrong: dict[str, tuple[str, int]] = {
        "chdir": ('command = ["true"]\ncwd = "/does/not/exist"', 200),
        "exec": ('command = ["/does/not/exist"]', 203),
        "cpus": ('command = ["true"]\ncpus = "4000"', 214),
    }
    config = "".join(f"[workers.{name}]\n{body}\nmax_failures = 1\n" for name, (body, _) in wrong.items())
    with Service(tmp_path, config) as service:
        found: dict[str, Any] = {name: service.wait_for("worker.ended", worker=name) for name in wrong}
        assert {name: event["exit_code"] for name, event in found.items()} == {name: code for name, (_, code) in wrong.items()}
        assert {event["result"] for event in found.values()} == {"resources"}
        assert all(event["why"].startswith(f"{name}: ") for name, event in found.items())
        assert not service.seen("worker.ready")
