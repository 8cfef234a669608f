"""Inside boot.sh: freezes workers of the system unit in cgroups of their own, and steps the clock of this machine.

Prints what it saw, one `name=value` a line. Never to be run on a machine that anybody uses: it steps the clock.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor import freezer, kernel
from supervisor.cli import client

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path("/run/etc/ninelives")
SOCKET = "/run/ninelives/{}.sock"
UNIT = "ninelives@demo.service"
ACTS = """
def steady(heart):
    heart.ready()
    while not heart.wait(0.1):
        heart.beat()
"""
CONFIG = """
[chaos]
enabled = true
parts = true
max_count = 2
max_percent = 100
abort_below = 0.0
[workers.neighbour]
target = "acts:steady"
beat_within = "5s"
[workers.target]
target = "acts:steady"
beat_within = "3s"
chaos = true
[workers.quiet]
target = "acts:steady"
chaos = true
"""
PATIENCE = 40.0  # seconds


def say(name: str, value: object) -> None:
    print(f"{name}={value}", flush=True)


def until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            say("timeout", what)
            return found
        time.sleep(0.02)
    return found


class Guest:
    """A service here, by its socket."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ask(self, verb: str, **fields: Any) -> Any:
        return client.ask(SOCKET.format(self.name), {"verb": verb, **fields}, patience=PATIENCE, again=verb != "inject")

    def inject(self, kind: str, *workers: str, seconds: float = 60.0, **parameters: Any) -> dict[str, Any]:
        answer = self.ask("inject", kind=kind, workers=list(workers), seconds=seconds, parameters=parameters)
        return dict(answer["faults"][0])

    def row(self, worker: str) -> dict[str, Any]:
        return next(row for row in self.ask("status")["workers"] if row["worker"] == worker)

    def supervisor(self) -> int:
        return int(self.ask("status")["supervisor"]["pid"])

    def all_ready(self) -> bool:
        try:
            return all(row["phase"] == "ready" for row in self.ask("status")["workers"])
        except (client.NoAnswer, client.Dropped):
            return False


def groups() -> list[Path]:
    return list(Path("/sys/fs/cgroup").rglob(f"{freezer.PREFIX}*"))


def is_frozen(pid: int) -> bool:
    group = freezer.group_of(pid, 2)
    return group is not None and freezer.PREFIX in group.folder and freezer.is_frozen(group)


def in_the_unit() -> None:
    """freeze-cgroup where the cgroup is delegated, within the whole sandbox."""
    subprocess.run(["systemctl", "start", UNIT], check=True)
    guest = Guest("demo")
    until(guest.all_ready, "the unit's workers are ready")
    neighbour = guest.row("neighbour")["spawn_id"]
    kinds = {kind["kind"]: kind for kind in guest.ask("chaos")["kinds"]}
    say("clock_in_sandbox", kinds["clock-jump"]["why"])
    say("freeze_possible", kinds["freeze-cgroup"]["possible"])

    pid, home = guest.row("quiet")["pid"], freezer.group_of(guest.row("quiet")["pid"], 2)
    guest.inject("freeze-cgroup", "quiet")
    say("frozen", is_frozen(pid))
    say("undone", len(guest.ask("halt")["undone"]))
    say("same_pid", guest.row("quiet")["pid"] == pid)
    say("home_again", freezer.group_of(pid, 2) == home)
    say("groups_left", len(groups()))

    guest.inject("freeze-cgroup", "quiet", seconds=4.0)
    os.kill(guest.supervisor(), signal.SIGKILL)
    until(lambda: not groups(), "the next supervisor thaws it")
    say("thawed_by_the_next", guest.row("quiet")["pid"] == pid and freezer.group_of(pid, 2) == home)

    hung = guest.row("target")["pid"]
    guest.inject("freeze-cgroup", "target")
    until(lambda: guest.row("target")["pid"] not in {hung, None} and guest.all_ready(), "it is found hung and replaced")
    say("hung_is_dead", kernel.stat(hung) is None)
    until(lambda: not groups(), "its cgroup is gone")
    say("groups_after_hang", len(groups()))
    say("neighbour_same", guest.row("neighbour")["spawn_id"] == neighbour)

    guest.inject("freeze-cgroup", "quiet")
    say("stop", subprocess.run(["systemctl", "stop", UNIT], check=False).returncode)
    shown = subprocess.run(
        ["systemctl", "show", "--value", "-p", "Result", UNIT], capture_output=True, text=True, check=True
    )
    say("result", shown.stdout.strip())
    say("alive_after_stop", kernel.stat(pid) is not None)


def ahead() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)


def off_by(before: float, step: float) -> float:
    return round(abs(ahead() - before - step), 1)


def on_the_machine() -> None:
    """clock-jump needs the clock, which the unit's sandbox keeps from everybody."""
    log = Path("/run/out/events").open("wb")  # noqa: SIM115 - the service's own
    service = subprocess.Popen(
        [os.environ["NINELIVES"], "run", "--name", "clock", str(FOLDER / "demo.toml"), "--log-format", "json"],
        stdout=log,
    )
    guest = Guest("clock")
    until(guest.all_ready, "the workers are ready")
    spawns = {row["worker"]: row["spawn_id"] for row in guest.ask("status")["workers"]}
    before = ahead()

    guest.inject("clock-jump", by=86400.0, machine=True)
    try:
        guest.inject("clock-jump", by=1.0, machine=True)
    except client.Denied as error:
        say("twice", error)
    say("forward_off_by", off_by(before, 86400.0))
    time.sleep(4)  # longer than beat_within: whoever trusted the clock would have found somebody hung
    os.kill(guest.row("target")["pid"], signal.SIGKILL)
    until(
        lambda: guest.row("target")["spawn_id"] != spawns["target"] and guest.all_ready(),
        "a worker comes back meanwhile",
    )
    os.kill(guest.supervisor(), signal.SIGKILL)
    until(guest.all_ready, "another supervisor")
    guest.ask("halt")
    say("forward_undone_off_by", off_by(before, 0.0))

    guest.inject("clock-jump", by=-86400.0, machine=True, seconds=4.0)
    say("backward_off_by", off_by(before, -86400.0))
    until(lambda: off_by(before, 0.0) < 1, "it is over")
    say("backward_undone_off_by", off_by(before, 0.0))

    fault = guest.inject("clock-jump", by=3600.0, machine=True)
    time.clock_settime(
        time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_BOOTTIME) + before
    )  # a time server puts it right
    guest.ask("halt", chaos_ids=[fault["chaos_id"]])
    say("put_right_off_by", off_by(before, 0.0))

    guest.inject("clock-jump", by=3600.0, machine=True)
    untouched = {row["worker"]: row["spawn_id"] for row in guest.ask("status")["workers"] if row["worker"] != "target"}
    say("untouched", untouched == {name: spawn_id for name, spawn_id in spawns.items() if name != "target"})
    service.terminate()
    say("clock_service_stop", service.wait(PATIENCE))
    say("stopped_off_by", off_by(before, 0.0))
    log.close()


if __name__ == "__main__":
    (FOLDER / "acts.py").write_text(ACTS)
    (FOLDER / "demo.toml").write_text(CONFIG)
    in_the_unit()
    on_the_machine()
