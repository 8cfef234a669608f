"""A template rehearses the life of a worker: nothing of it shows, and its workers own less memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.processes import memory
from tests.real.template_world import ROOT, World

if TYPE_CHECKING:
    from pathlib import Path

NOTHING_CHANGES = """
import faulthandler, os, resource, signal, sys
from supervisor import template
from supervisor.rehearsal import Rehearsal

def state():
    return {
        "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in sorted(os.listdir("/proc/self/fd"), key=int)[:-1]},
        "handlers": {int(number): signal.getsignal(number) for number in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "environ": (dict(os.environ), open("/proc/self/environ", "rb").read()),
        "argv": sys.argv[:], "path": sys.path[:], "faults": faulthandler.is_enabled(),
        "place": (os.getcwd(), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)),
        "who": (os.getresuid(), os.getresgid(), os.getgroups(), resource.getrlimit(15)),
    }

template.birth.warm_up()
signal.signal(signal.SIGINT, signal.SIG_IGN)
faulthandler.enable()
rehearsal = Rehearsal("one")
before = state()
rehearsal.warm_up()
after = state()
print({key: (before[key], after[key]) for key in before if before[key] != after[key]})
"""


IDLE = """
def main(heart):
    heart.ready()
    while not heart.wait(30):
        heart.beat()
"""


def test_a_rehearsal_leaves_everything_as_it_was() -> None:
    """Descriptors, signals, environment, arguments, limits, session: the same before and after."""
    argv = [sys.executable, "-c", NOTHING_CHANGES, "an", "argument"]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, "A": "b"}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{}\n", "")


@pytest.mark.numpy
def test_an_idle_worker_owns_little_memory(tmp_path: Path) -> None:
    """With NumPy preloaded less than 2.2 MiB are its own alone: 1.9; 2.4 with half a rehearsal and holes in the heap."""
    (tmp_path / "idle.py").write_text(IDLE)
    with World("numpy", path=(str(tmp_path),)) as world:
        owned = []
        for _ in range(4):
            life = world.ask(target="idle:main")
            life.until("ready")
            owned.append(memory(life.pid)["Private_Dirty"])
    assert min(owned) > 0.1  # MiB; it was measured at all
    assert max(owned) < 2.2


def test_a_template_that_cannot_rehearse_has_workers_all_the_same(folder: str) -> None:
    """Where the descriptors' places above all others do not exist, a worker is born without, and it is said."""
    with World("odd", "crowded", path=(folder,)) as world:
        life = world.ask(target="odd:plain", args={"number": 9})
        life.until("ready")
        assert life.read(life.out) == "number 9\n"
        assert "the rehearsal failed" in os.read(world.said.err, 65536).decode()
