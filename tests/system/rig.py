"""A real systemd to test against: a user's manager in namespaces (`boot.sh`: a whole boot).

Rule: nothing a test does can reach the machine it runs on. The manager lives in its own PID, mount and cgroup
namespaces and sees the machine's files read-only, but for the test's own folder. A *system* manager is never
started in namespaces on the machine's own root: what it does there first includes emptying /tmp.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor import kernel
from supervisor.cli import systemd

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = os.environ.get("NINELIVES_COMMAND", str(Path(sys.executable).parent / "ninelives"))
INSIDE = """
set -eu
mount --bind $HOME $HOME; mount -o remount,bind,ro /
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/log
mkdir -p /run/u /run/systemd/system
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$RIG; echo $$ > /sys/fs/cgroup/$RIG/cgroup.procs
# As a namespace's journald it leaves the kernel's log and audit alone, which are the machine's.
mkdir -p /run/systemd/journal.rig; ln -s journal.rig /run/systemd/journal
(while :; do /lib/systemd/systemd-journald rig; done) >/dev/null 2>&1 &
while [ ! -S /run/systemd/journal/stdout ]; do sleep 0.02; done
/lib/systemd/systemd --user --unit=basic.target >/dev/null 2>&1 &
while ! systemctl --user is-system-running >/dev/null 2>&1; do sleep 0.05; done
echo up
wait  # a shell reaps orphans, which is the first duty of a first process
"""


class Rig:
    """`systemd --user` of this machine's version, by itself; `folder` holds its configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._name = f"rig-{os.getpid()}"
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_RUNTIME_DIR": "/run/u",
            "LC_ALL": "C.UTF-8",
        }
        self._outer = subprocess.Popen(
            ["unshare", "-m", "-p", "-f", "--mount-proc", "-C", "bash", "-c", INSIDE],
            env=self._env | {"RIG": self._name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._outer.stdout is not None
        assert self._outer.stdout.readline() == b"up\n"
        self._init = kernel.children(self._outer.pid)[0]
        (folder / "ninelives").mkdir()
        (folder / "systemd" / "user").mkdir(parents=True)
        (folder / "systemd" / "user" / systemd.NAME).write_text(systemd.unit(user=True, command=COMMAND))
        self.systemctl("daemon-reload")

    def run(self, *command: str, seconds: float = 50) -> subprocess.CompletedProcess[str]:
        """A command inside, as a user's shell would run it."""
        enter = ["nsenter", "-t", str(self._init), "-m", "-p", "-C", "--"]
        return subprocess.run(
            [*enter, *command], env=self._env, capture_output=True, text=True, timeout=seconds, check=False
        )

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--user", "--no-pager", *arguments)

    def journal(self, unit: str) -> list[dict[str, Any]]:
        """Everything the unit logged, as journald stored it."""
        said = self.run("journalctl", "--namespace=rig", "--no-pager", "-o", "json", f"_SYSTEMD_UNIT={unit}")
        return [json.loads(line) for line in said.stdout.splitlines()]

    def alive(self, pid: int) -> bool:
        return self.run("test", "-d", f"/proc/{pid}").returncode == 0

    def children(self, pid: int) -> list[int]:
        return [int(child) for child in self.run("cat", f"/proc/{pid}/task/{pid}/children").stdout.split()]

    def name_of(self, pid: int) -> str:
        return self.run("cat", f"/proc/{pid}/comm").stdout.strip()

    def kill(self, number: signal.Signals, pid: int) -> None:
        assert self.run("kill", f"-{number.value}", str(pid)).returncode == 0

    def close(self) -> None:
        """The end of a PID namespace's first process is the end of all of them."""
        os.kill(self._init, signal.SIGKILL)
        self._outer.communicate()
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            for folder, _, _ in os.walk(f"{root}/{self._name}", topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


class Service:
    """One instance of the user unit, with its config file."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig, self.name, self.unit = rig, name, f"ninelives@{name}.service"
        self.config = rig.folder / "ninelives" / f"{name}.toml"

    def drop_in(self, text: str) -> None:
        folder = self.rig.folder / "systemd" / "user" / f"{self.unit}.d"
        folder.mkdir()
        (folder / "test.conf").write_text(f"[Service]\n{text}\n")
        self.rig.systemctl("daemon-reload")

    def start(self) -> int:
        return self.rig.systemctl("start", self.unit).returncode

    def reload(self) -> int:
        return self.rig.systemctl("reload", self.unit).returncode

    def stop(self) -> int:
        return self.rig.systemctl("stop", self.unit).returncode

    def shown(self, name: str) -> str:
        return self.rig.systemctl("show", "--value", "-p", name, self.unit).stdout.strip()

    def status(self) -> dict[str, Any]:
        """`ninelives status --json`; empty while nobody answers."""
        said = self.rig.run(COMMAND, "status", "--name", self.name, "--json")
        found: dict[str, Any] = json.loads(said.stdout) if said.returncode == 0 else {}
        return found

    def pids(self) -> dict[str, int]:
        """Of the workers, by name."""
        return {worker["worker"]: worker["pid"] for worker in self.status().get("workers", ())}


def booted(script: str, folder: Path, **variables: object) -> dict[str, str]:
    """Run one of the scripts beside this file in a boot of its own: the `name=value` lines it printed."""
    here = Path(__file__).parent
    project = here.parent.parent
    variables |= {"PROJECT": project, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": 1}
    subprocess.run(
        [here / "boot.sh", here / script, folder],
        env=os.environ
        | {
            "BOOT_KEEP": f"{project} {sys.prefix}",
            "BOOT_ENV": " ".join(f"{name}={value}" for name, value in variables.items()),
        },
        check=True,
        timeout=180,
    )
    lines = (folder / "output").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def until(condition: Callable[[], bool], *, seconds: float = 20, what: str) -> None:
    """Ask again until it is so; systemctl and the command line have no event to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
