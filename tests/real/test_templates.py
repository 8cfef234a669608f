"""Templates of every temper on a real service: whatever they do, the worker runs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import sys
def main(heart):
    heart.ready("preloaded" if "modules" in sys.modules else "bare")
    heart.wait(1000)
"""
CONFIG = """
[templates.odd]
preload = ["modules"]
[workers.a]
target = "job:main"
template = "odd"
standby = 1
"""


def test_a_template_with_threads_is_not_forked(tmp_path: Path) -> None:
    """Its workers are started by exec, standbys too, and it is told once."""
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    with Service(tmp_path, CONFIG, modules={"job": JOB, "modules": threads}) as service:
        service.wait_for("worker.ready")
        assert service.wait_for("worker.spawned")["from"] == "exec"
        assert "thread" in service.wait_for("template.failed")["why"]
        standby = service.wait_for("standby.ready")["pid"]
        for _ in range(2):
            since = service.mark
            service.kill(service.pid("a"))
            service.wait_for("worker.recovered", since=since)
            service.wait_for("standby.ready", since=since)
        assert service.pid("a") != standby
        assert service.worker("a")["status"] == "preloaded"
        assert len(service.seen("template.failed")) == 1


@pytest.mark.parametrize("source", ["import os\nos.abort()\n", "import os\nos._exit(3)\n", "raise SystemExit(4)\n", "1 / 0\n"])
def test_a_preload_that_fails(tmp_path: Path, source: str) -> None:
    """An error, an exit or a crash of the interpreter while preloading: a loud event, and the worker runs all the same."""
    with Service(tmp_path, CONFIG, modules={"job": JOB, "modules": source}) as service:
        service.tracebacks_are_fine = True
        service.wait_for("worker.ready", worker="a")
        assert service.worker("a")["status"] == "bare"
        loud = [event for event in service.events if event["event"] in ("template.failed", "template.ended")]
        assert loud
        assert loud[0]["template"] == "odd"
        assert loud[0]["level"] in ("error", "warning")
        service.kill(service.pid("a"))
        service.wait_for("worker.recovered")


def test_a_template_that_dies_hurts_nobody(tmp_path: Path) -> None:
    """SIGKILL and SIGSTOP of a template: its workers live on, and the next spawn comes from its successor."""
    with Service(tmp_path, CONFIG, modules={"job": JOB, "modules": ""}) as service:
        service.wait_for("standby.ready")
        pid = service.pid("a")
        for number in (signal.SIGKILL, signal.SIGSTOP):
            since = service.mark
            service.kill(service.template("odd"), number=number)
            service.wait_for("template.ready", since=since, template="odd")
            assert service.pid("a") == pid
        for _ in range(2):  # the second life cannot come from the shelf that was filled before
            since = service.mark
            service.kill(service.pid("a"))
            service.wait_for("worker.recovered", since=since)
        assert service.worker("a")["status"] == "preloaded"
