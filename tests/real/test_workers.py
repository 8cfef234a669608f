"""What a worker is born with, and how it may end: user, priority, CPUs, folder, umask, environment, descriptors, output."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import json, os, resource, sys, time
def tell(heart, **more):
    umask = os.umask(0)
    os.umask(umask)
    print(json.dumps({
        "name": heart.name, "replica": heart.replica, "more": more, "pid": os.getpid(), "sid": os.getsid(0),
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cpus": sorted(os.sched_getaffinity(0)), "cwd": os.getcwd(), "umask": umask,
        "fds": sorted(map(int, os.listdir("/proc/self/fd"))),
        "home": os.environ.get("HOME"), "replica_env": os.environ.get("NINELIVES_REPLICA"),
    }))
    heart.ready()
    heart.wait(1000)
def print_number(number):
    print(number)
def loud(heart):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    heart.ready()
    heart.wait(1000)
def crash(heart):
    heart.ready()
    os.abort()
def raising(heart):
    heart.ready()
    def deep_inside():
        raise ValueError("told you so")
    deep_inside()
def forks(heart):
    import subprocess
    subprocess.Popen(["sh", "-c", "trap '' TERM; setsid sleep 1000 & exec sleep 1000"])
    heart.ready()
    heart.wait(1000)
"""
PREPARES = """
import time
WARM = []
def prepare(heart):
    WARM.append("warm")
def main(heart):
    heart.ready(f"{WARM} {heart.name} {heart.replica}")
    heart.wait(1000)
"""


def told(service: Service, worker: str) -> dict[str, Any]:
    data: dict[str, Any] = service.wait_for("worker.output", worker=worker)["data"]
    return data


def test_what_a_worker_is_born_with(tmp_path: Path) -> None:
    """Own session, its replica's CPUs, folder, umask, niceness, arguments, and not one descriptor too many."""
    (tmp_path / "here").mkdir()
    cpus = sorted(os.sched_getaffinity(0))
    config = f"""
[workers.one]
target = "job:tell"
args = {{ a = 1, b = ["two"] }}
cwd = "{tmp_path}/here"
umask = "027"
nice = 7
[workers.spread]
target = "job:tell"
replicas = 2
cpus = "spread"
[workers.each]
target = "job:tell"
replicas = 2
cpus = ["{cpus[0]}", "{cpus[-1]}"]
"""
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        one = told(service, "one")
        assert (one["name"], one["replica"], one["more"]) == ("one", 0, {"a": 1, "b": ["two"]})
        assert one["sid"] == one["pid"] == service.pid("one")
        assert (one["cwd"], one["umask"], one["nice"]) == (f"{tmp_path}/here", 0o027, 7)
        assert one["cpus"] == cpus, "symmetric: wherever the service may run"
        assert one["fds"][:4] == [0, 1, 2, 3]
        assert len(one["fds"]) <= 7, "0-3, the stacks, the wish to stop, and the folder it was listing"
        for worker in ("spread", "each"):
            pinned = [told(service, f"{worker}-{n}") for n in range(2)]
            assert [each["cpus"] for each in pinned] == [[cpus[0]], [cpus[1 % len(cpus)]]]
            assert [(each["replica"], each["replica_env"]) for each in pinned] == [(0, "0"), (1, "1")]


@pytest.mark.root
@pytest.mark.parametrize(("key", "code"), [("user", 217), ("group", 216)])
def test_an_account_that_does_not_exist(tmp_path: Path, key: str, code: int) -> None:
    """The worker ends with systemd's code and says whose name it is; when nobody makes the account, it is quarantined."""
    config = f"""
        [workers.a]
        target = "job:tell"
        {key} = "no-such-account"
        backoff = {{ first = "0s", initial = "50ms", max = "50ms" }}
        max_failures = 2
    """
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        ended = service.wait_for("worker.ended")
        assert (ended["exit_code"], ended["result"]) == (code, "resources")
        assert ended["why"].startswith(f"{key}: ")
        assert "no-such-account" in ended["why"]
        service.wait_for("worker.quarantined")


@pytest.mark.root
def test_another_user(everyones_path: Path) -> None:
    """user and group: identity, groups and HOME are that account's; a group alone may be changed too."""
    config = '[workers.a]\ntarget = "job:tell"\nuser = "nobody"\n[workers.b]\ntarget = "job:tell"\ngroup = "nogroup"\n'
    with Service(everyones_path, config, modules={"job": JOB}) as service:
        a, b = told(service, "a"), told(service, "b")
        assert (a["uid"], a["gid"], a["home"]) == (65534, 65534, "/nonexistent")
        assert a["groups"] == [65534]
        assert (b["uid"], b["gid"]) == (0, 65534)
        service.kill(service.pid("a"))
        service.wait_for("worker.recovered", worker="a")


def test_a_plain_function_just_runs(tmp_path: Path) -> None:
    """The notes' print_number(number): started, done, its line in the log."""
    config = '[workers.n]\ntarget = "job:print_number"\nargs = { number = 7 }\nrestart = "transient"\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        assert service.wait_for("worker.output", worker="n")["msg"] == "7"
        service.wait_for("worker.completed", worker="n")


def test_where_output_goes(tmp_path: Path) -> None:
    """capture: an event a line, with its stream; file: raw lines in the file; inherit: the service's own stdout and stderr."""
    config = f"""
[workers.captured]
target = "job:loud"
[workers.filed]
target = "job:loud"
output = {{ file = "{tmp_path}/out.log" }}
[workers.inheriting]
command = ["sh", "-c", "echo to-the-service >&2; exec sleep 1000"]
output = "inherit"
success = ["SIGTERM"]
"""
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        for stream in ("stdout", "stderr"):
            assert service.wait_for("worker.output", worker="captured", stream=stream)["msg"] == f"to {stream}"
        log = tmp_path / "out.log"
        service.until(lambda: log.exists() and log.read_text().count("\n") == 2, "both lines are in the file")
        assert sorted(log.read_text().splitlines()) == ["to stderr", "to stdout"]
        assert not service.seen("worker.output", worker="filed")
        service.until(lambda: "to-the-service" in service.stderr, "stderr is the service's own")


def test_an_ending_says_why(tmp_path: Path) -> None:
    """An exception and an abort leave the Python stack and the last lines; signals have names."""
    config = (
        "".join(f'[workers.{name}]\ntarget = "job:{name}"\nmax_failures = 1\n' for name in ("crash", "raising"))
        + '[workers.killed]\ncommand = ["sh", "-c", "kill -USR1 $$"]\nmax_failures = 1\n'
    )
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        raising, crash, killed = (
            service.wait_for("worker.ended", worker=name) for name in ("raising", "crash", "killed")
        )
        assert (raising["exit_kind"], raising["exit_code"], raising["result"]) == ("exited", 1, "exit-code")
        assert "in deep_inside" in raising["stack"]
        assert raising["stack"].endswith("ValueError: told you so")
        assert crash["signal"] == "SIGABRT"
        assert "in crash" in crash["stack"]
        assert (killed["exit_kind"], killed["signal"], killed["result"]) == ("killed", "SIGUSR1", "signal")
        assert "exit_code" not in killed
        assert all(event["rusage"]["maxrss_bytes"] > 0 for event in (raising, crash, killed))


def test_a_standby_takes_over(tmp_path: Path) -> None:
    """It has run `prepare`, waits, takes the name of who ended, is pinned like it, and is replaced; programs can do it too."""
    config = '[workers.a]\ntarget = "warm:main"\nreplicas = 2\nstandby = 1\n'
    config += '[workers.p]\ncommand = ["sleep", "1000"]\nstandby = 1\nsuccess = ["SIGTERM"]\n'
    with Service(tmp_path, config, modules={"warm": PREPARES}) as service:
        for spec in ("a", "p"):
            waiting = service.wait_for("standby.ready", worker=spec)["pid"]
            worker = {"a": "a-1", "p": "p"}[spec]
            service.wait_for("worker.ready", worker=worker)
            since = service.mark
            service.kill(service.pid(worker))
            assert service.wait_for("worker.spawned", worker=worker, since=since)["from"] == "standby"
            service.wait_for("worker.recovered", worker=worker, since=since)
            assert service.pid(worker) == waiting
            service.wait_for("standby.ready", worker=spec, since=since)
        assert service.worker("a-1")["status"] == "['warm'] a-1 1"
        assert service.worker("a-1")["standbys"] == 1
        dead = service.wait_for("standby.ready", worker="a", count=2)["pid"]
        since = service.mark
        service.kill(dead)
        assert service.wait_for("standby.ended", since=since)["signal"] == "SIGKILL"
        service.wait_for("standby.ready", worker="a", since=since)
        assert not service.seen("worker.ended", since=since)


def test_nothing_of_a_tree_is_left(tmp_path: Path) -> None:
    """Stopped, the whole tree is put down; crashed, what was left behind is swept before the next life, and told of."""
    config = '[workers.a]\ntarget = "job:forks"\ngrace = "300ms"\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("worker.ready")
        service.until(lambda: len(service.living()) >= 7, "its children are there")
        others = {service.anchor, service.supervisor, service.pump, service.template()}
        since = service.mark
        service.kill(service.pid("a"))
        swept = service.wait_for("worker.orphan_swept", since=since, count=2)
        again = service.wait_for("worker.spawned", since=since)
        assert swept["worker"] == "a"
        assert swept["command"] in ("sleep", "setsid", "sh")
        assert swept["seq"] < again["seq"]
        service.wait_for("worker.ready", since=since)
        service.ask("stop", workers=["a"], wait=True)
        left = set(service.living()) - others - {service.embryo()}
        assert not left, json.dumps([service.describe(pid) for pid in left])


def test_a_worker_stopped_by_a_signal_still_stops(tmp_path: Path) -> None:
    """SIGTERM is heard by a frozen process too, because it is continued."""
    with Service(tmp_path, '[workers.a]\ntarget = "job:tell"\n', modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        service.kill(service.pid("a"), number=signal.SIGSTOP)
        service.wait_for("worker.frozen")
        service.ask("stop", workers=["a"], wait=True)
        assert service.wait_for("worker.ended")["exit_code"] == 0
