"""Whatever dies or freezes, the workers go on, nothing runs twice, and every ending is told once with its true code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path


BEATING = """
[workers.one]
target = "workers.ticker:main"
args = { every = 0.05, lines_every = 1000000 }
beat_within = "1s"
"""


def test_a_killed_supervisor_is_back_and_its_workers_have_not_noticed(tmp_path: Path) -> None:
    """kill -9 of an idle supervisor: the same worker process, a new supervisor within 500 ms."""
    with Service(tmp_path, BEATING) as service:
        pid = service.wait_for("worker.ready", worker="one")["pid"]
        resumed = service.kill_supervisor()
        assert resumed["adopted"] == 1
        assert service.pid("one") == pid
        assert not service.seen("worker.ended")
