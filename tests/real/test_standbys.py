"""Standbys of every kind on a real service: what they have done before the go, and what happens when they cannot."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

NOTIFIER = """
import os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.sendto(f"READY=1\\nSTATUS={os.environ['NINELIVES_NAME']}".encode(), os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""
JOB = """
import os, time
def main(heart):
    heart.ready()
    while not heart.wait(0.02):
        heart.beat()
def prepare(heart):
    if os.path.exists("hang"):
        time.sleep(1000)
    if os.path.exists("broken"):
        raise RuntimeError("cannot prepare")
"""


def test_a_standby_that_speaks_sd_notify(tmp_path: Path) -> None:
    """It learns with its go where to speak, and speaks as who it has become."""
    (tmp_path / "notifier.py").write_text(NOTIFIER)
    program = f'command = ["{sys.executable}", "{tmp_path}/notifier.py"]'
    config = f'[workers.n]\n{program}\nready = "notify"\nreplicas = 2\nstandby = 1\n'
    with Service(tmp_path, config) as service:
        service.wait_for("supervisor.ready")
        service.wait_for("standby.ready")
        service.kill(service.pid("n-1"))
        recovered = service.wait_for("worker.recovered", worker="n-1")
        assert recovered["standby"] is True
        assert service.wait_for("worker.ready", worker="n-1", count=2)["status"] == "n-1"


def test_a_standby_takes_over_from_a_hung_worker(tmp_path: Path) -> None:
    """A hang is an ending like any other: whoever waits on the shelf is there at once."""
    config = '[workers.a]\ntarget = "job:main"\nbeat_within = "200ms"\nstandby = 1\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        waiting = service.wait_for("standby.ready")["pid"]
        service.freeze(service.pid("a"))
        recovered = service.wait_for("worker.recovered")
        assert (recovered["pid"], recovered["standby"]) == (waiting, True)


def test_a_standby_that_has_taken_over_holds_no_more_than_any_worker(tmp_path: Path) -> None:
    """The pipe of its go is of no use any more, and the anchor lets go of it."""
    config = '[workers.a]\ntarget = "job:main"\nstandby = 1\n'
    with Service(tmp_path, config, modules={"job": JOB}) as service:
        service.wait_for("standby.ready")
        before = service.until(lambda: settled(service), "the anchor's descriptors do not change")
        for round_ in range(3):
            since = service.mark
            service.kill(service.pid("a"))
            service.wait_for("worker.recovered", since=since)
            service.wait_for("standby.ready", since=since)
            service.until(lambda: descriptors(service) == before, f"the anchor is back at {before} after {round_ + 1}")


def descriptors(service: Service) -> int:
    return len(os.listdir(f"/proc/{service.anchor}/fd"))


def settled(service: Service) -> int:
    """How many, if that has been so for a moment; else 0."""
    first = descriptors(service)
    time.sleep(0.3)
    return first if descriptors(service) == first else 0


def test_a_standby_that_cannot_prepare(tmp_path: Path) -> None:
    """It fails or hangs: told with its stack, tried again more and more slowly, and the worker lives on without."""
    config = f'[workers.a]\ntarget = "job:main"\nstandby = 1\ncwd = "{tmp_path}"\n'

    def has_time(limit: str) -> None:
        """From now on; a short limit is for those that hang, never for one that is to get ready."""
        service.config.write_text(config + limit)
        service.ask("reload", diff=False)

    with Service(tmp_path, config, modules={"job": JOB}) as service:
        first = service.wait_for("standby.ready")["pid"]
        service.wait_for("worker.ready")
        (tmp_path / "broken").touch()
        service.kill(first)
        broken = service.wait_for("standby.ended", exit_code=1)
        assert "RuntimeError: cannot prepare" in broken["stack"]
        has_time('ready_within = "500ms"\n')
        (tmp_path / "hang").touch()
        service.wait_for("standby.ended", signal="SIGKILL", why="not prepared within 0.5 s")
        (tmp_path / "hang").unlink()
        (tmp_path / "broken").unlink()
        has_time("")
        service.wait_for("standby.ready", count=2)
        assert not service.seen("worker.ended")


def has_standbys(service: Service, count: int) -> None:
    service.until(lambda: service.worker("a")["standbys"] == count, f"{count} standbys")
    service.until(lambda: len(service.children("a")) == count + 1, "and no more processes than that")


def test_as_many_as_the_config_says(tmp_path: Path) -> None:
    """More or fewer after a reload, without a restart of anybody and without a fuss."""
    config = '[workers.a]\ntarget = "job:main"\nstandby = {}\n'
    with Service(tmp_path, config.format(1), modules={"job": JOB}) as service:
        service.wait_for("standby.ready")
        pid = service.pid("a")
        for count in (3, 1, 0, 2):
            service.config.write_text(config.format(count))
            service.ask("reload", diff=False)
            has_standbys(service, count)
        assert service.pid("a") == pid
        assert not service.seen("standby.ended")
