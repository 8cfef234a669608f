"""Descriptors that have run out: what needs one is tried again, nobody dies of it, and nothing is forgotten."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from typing import TYPE_CHECKING

import pytest

from supervisor.cli import client
from tests.real.copied import Copy
from tests.real.living import is_alive
from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

TICKER = '[workers.one]\ntarget = "workers.ticker:main"\nbackoff = { first = "0s", initial = "200ms", max = "1s" }\n'


def limit(pid: int, files: int) -> None:
    """Its soft RLIMIT_NOFILE."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, hard))


def leave_room(pid: int, room: int) -> None:
    """For so many descriptors more. Those it has may have any number, so the limit is found by counting the free ones."""
    used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    free = (fd for fd in range(len(used) + room + 1) if fd not in used)
    files = next(fd for at, fd in enumerate(free) if at == room)
    limit(pid, files)


def give_room(service: Service) -> None:
    limit(service.anchor, 4096)


def test_an_end_that_an_anchor_without_descriptors_sees_is_the_end_of_that_life(tmp_path: Path) -> None:
    """To read when the process began takes a descriptor; the worker is told dead and lives again all the same."""
    with Service(tmp_path, TICKER) as service:
        service.wait_for("supervisor.ready")
        pid, since = service.pid("one"), service.mark
        leave_room(service.anchor, 0)
        service.kill(pid)
        assert service.wait_for("worker.ended", since=since, pid=pid)["signal"] == "SIGKILL"
        give_room(service)
        service.wait_for("worker.ready", since=since, worker="one")


def test_an_end_without_its_start_time_is_the_end_of_who_is_gone(tmp_path: Path) -> None:
    """From an anchor that does not know it (an older one, perhaps): worker, template and pump are followed by others."""
    copy = Copy(tmp_path)
    copy.change(
        "anchor",
        lambda text: text.replace("self.passed_on(pid, start, status, usage)", "self.passed_on(pid, 0, status, usage)"),
    )
    with copy.service(tmp_path, TICKER) as service:
        service.wait_for("supervisor.ready")
        for pid, event in (
            (service.pid("one"), "worker.ended"),
            (service.template(), "template.ended"),
            (service.pump, "pump.ended"),
        ):
            since = service.mark
            service.kill(pid)
            assert service.wait_for(event, since=since, pid=pid)["signal"] == "SIGKILL"
        service.until(lambda: service.worker("one")["phase"] == "ready", "it lives again")


@pytest.mark.parametrize("who", ["pump", "template"])
def test_what_of_ours_dies_while_the_anchor_has_no_room_is_replaced_when_it_has(tmp_path: Path, who: str) -> None:
    """Nothing is supervised less for it: a worker that is killed meanwhile is told dead, and lives again."""
    with Service(tmp_path, TICKER) as service:
        service.wait_for("supervisor.ready")
        pid, victim, since = service.pid("one"), getattr(service, who), service.mark
        victim = victim() if callable(victim) else victim
        leave_room(service.anchor, 0)
        service.kill(victim)
        service.until(lambda: not is_alive(victim), "it is dead")
        service.kill(pid)
        service.until(lambda: not is_alive(pid), "its worker is dead too")
        give_room(service)
        service.wait_for("worker.ready", since=since, worker="one")
        assert service.wait_for(f"{who}.ended", since=since)["pid"] == victim
        assert service.wait_for("worker.ended", since=since, worker="one")["pid"] == pid


def test_a_standby_the_anchor_has_no_room_for_is_put_down_and_made_again(tmp_path: Path) -> None:
    """One that no later supervisor could talk to is none; when there is room there is another."""
    with Service(tmp_path, TICKER + "standby = 1\n") as service:
        first = service.wait_for("standby.ready")["pid"]
        since = service.mark
        limit(service.anchor, 3)  # not even for as many as the one that dies had: those numbers would be free
        service.kill(first)
        lost = service.wait_for("standby.ended", since=since, pid=lambda pid: pid != first)
        assert lost["why"] == "the anchor had no descriptors left for its pipes"
        give_room(service)
        service.wait_for("standby.ready", since=service.mark, timeout=30)


def test_a_supervisor_that_dies_while_the_anchor_has_no_room_is_followed_by_another(tmp_path: Path) -> None:
    """A start takes descriptors: it is tried until there are some, and the workers live on."""
    with Service(tmp_path, TICKER) as service:
        service.wait_for("supervisor.ready")
        pid, since = service.pid("one"), service.mark
        leave_room(service.anchor, 0)
        service.kill(service.supervisor)
        service.until(lambda: "cannot start a supervisor" in service.stderr, "the anchor says so")
        give_room(service)
        service.wait_for("supervisor.resumed", since=since)
        assert service.pid("one") == pid


def test_a_service_whose_anchor_has_no_room_stops(tmp_path: Path) -> None:
    """To look for what is left takes a descriptor as well; nothing of it is."""
    with Service(tmp_path, TICKER) as service:
        service.wait_for("supervisor.ready")
        leave_room(service.anchor, 0)
        assert service.stop() == 0


def test_an_upgrade_for_which_the_anchor_has_no_room_is_refused(tmp_path: Path) -> None:
    """Who asked is told why, and may ask again."""
    with Service(tmp_path, TICKER) as service:
        service.wait_for("supervisor.ready")
        supervisor = service.supervisor
        leave_room(service.anchor, 1)
        with pytest.raises(client.Denied, match="Too many open files"):
            service.ask("upgrade")
        give_room(service)
        service.ask("upgrade")
        service.until(lambda: service.supervisor != supervisor, "another supervisor")


def kept(service: Service) -> str:
    """What the descriptors of the anchor are."""
    found = []
    for fd in os.listdir(f"/proc/{service.anchor}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{service.anchor}/fd/{fd}"))
    return " ".join(found)


def inode(path: str) -> str:
    """Of the socket that is bound there."""
    with open("/proc/net/unix", encoding="utf-8") as file:
        return next(f"socket:[{words[6]}]" for line in file if (words := line.split())[-1] == path)


class Full:
    """A service whose anchor has no room for packets with this note, while a file says so."""

    def __init__(self, folder: Path, key: str) -> None:
        self.sign = folder / "no room"
        self.sign.touch()
        self.copy = Copy(folder)
        full = f"os.path.exists({str(self.sign)!r}) and {json.dumps(key).encode()!r} in head"
        self.copy.change(
            "anchor", lambda text: text.replace("flags & socket.MSG_CTRUNC:", f"flags & socket.MSG_CTRUNC or {full}:")
        )


NOTIFIER = """
import contextlib, os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(0.02)
    with contextlib.suppress(OSError):
        sock.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
"""


@pytest.mark.parametrize("key", ["entrance", "pump/store", "config"])
def test_what_the_anchor_had_no_room_for_is_put_down_again(tmp_path: Path, key: str) -> None:
    """At once at the start, perhaps: a second after there is room, the next supervisor finds it."""
    full = Full(tmp_path, key)
    with full.copy.service(tmp_path, TICKER) as service:
        pid = service.wait_for("worker.ready")["pid"]
        seen = {"entrance": "rig.lock", "pump/store": "memfd:journal", "config": "memfd:config"}[key]
        assert seen not in kept(service)
        full.sign.unlink()
        service.until(lambda: seen in kept(service), "the anchor has it")
        assert service.kill_supervisor()["adopted"] == 1
        assert service.pid("one") == pid


@pytest.mark.parametrize("key", ["entrance", "pump/store", "config"])
def test_a_supervisor_that_dies_before_it_is_put_down_again_is_followed_by_one_that_makes_another(
    tmp_path: Path, key: str
) -> None:
    """Door, journal or config went with the dead one: the next has its own, and every line is written once."""
    full = Full(tmp_path, key)
    with full.copy.service(
        tmp_path, TICKER.replace('ticker:main"', 'ticker:main"\nargs = { every = 0.02, lines_every = 5 }')
    ) as service:
        pid = service.wait_for("worker.ready")["pid"]
        service.kill_supervisor()
        full.sign.unlink()
        assert service.pid("one") == pid
        service.kill(service.pump)
        service.kill_supervisor()
        service.wait_for("worker.output", since=service.mark, count=3)
        ticks = [each["data"]["tick"] for each in service.seen("worker.output")]
        assert ticks == list(range(5, 5 * len(ticks) + 5, 5))
        assert not service.seen("worker.ended")


@pytest.mark.parametrize("again", [True, False], ids=["put down again", "made again"])
def test_a_notify_socket_the_anchor_had_no_room_for(tmp_path: Path, *, again: bool) -> None:
    """A worker's beats are heard by the next supervisor, though the anchor could not keep the socket they come by at first."""
    full = Full(tmp_path, "notify/one")
    (tmp_path / "notifier.py").write_text(NOTIFIER)
    config = f"""
        [workers.one]
        command = ["{sys.executable}", "{tmp_path}/notifier.py"]
        ready = "notify"
        beat_within = "1s"
        backoff = {{ first = "0s", initial = "100ms", max = "100ms" }}
    """
    with full.copy.service(tmp_path, config) as service:
        service.wait_for("worker.ended", result="resources")
        path = f"{service.runtime}/ninelives/rig.notify/one"
        full.sign.unlink()
        pid = service.wait_for("worker.ready")["pid"]
        if again:
            service.until(lambda: inode(path) in kept(service), "the anchor has it")
        service.kill_supervisor()
        uptime = service.worker("one")["uptime_s"] + 2.0
        service.until(lambda: service.worker("one")["uptime_s"] > uptime, "it lives on")
        assert service.pid("one") == pid
        assert not service.seen("worker.hung")
