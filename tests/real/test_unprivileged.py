"""A service of an ordinary user: it promises the same, with nothing that root could do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.real.service import RUN, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root  # who has no privileges to drop proves the same by running all the other tests

NOBODY = 65534
# It may read what root may, and nothing else: the interpreter under test can lie in root's home folder.
READS = "dac_read_search"
ORDINARY = (
    "setpriv",
    *(f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps=-all,+{READS}", f"--ambient-caps=+{READS}", f"--bounding-set=-all,+{READS}"),
)
CONFIG = """
[workers.ticker]
target = "workers.ticker:main"
standby = 1
beat_within = "5s"

[workers.forker]
target = "workers.forker:main"
args = { then = 0.05 }
restart = "temporary"

[workers.program]
command = ["sleep", "1000"]
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path, CONFIG, run=(*ORDINARY, *RUN))
    os.chown(made.runtime, NOBODY, NOBODY)
    with made as started:
        yield started


def test_every_process_is_the_users(service: Service) -> None:
    """Anchor, supervisor, pump, template, standby and workers: none has another uid, none gained a capability."""
    service.wait_for("standby.ready")
    living = service.living()
    assert len(living) >= 6
    for pid in living:
        with open(f"/proc/{pid}/status") as file:
            facts = dict(line.split(":\t", 1) for line in file)
        assert set(facts["Uid"].split()) == {str(NOBODY)}
        assert int(facts["CapBnd"], 16) == 1 << 2  # CAP_DAC_READ_SEARCH


def test_what_a_worker_left_behind_is_swept(service: Service) -> None:
    """A child, a daemon and a child with a cleared environment, each named."""
    ended = service.wait_for("worker.ended", worker="forker")
    service.wait_for("worker.orphan_swept", worker="forker", count=3)
    swept = service.seen("worker.orphan_swept")
    assert {each["spawn_id"] for each in swept} == {ended["spawn_id"]}
    assert not [pid for each in swept if (pid := each["orphan_pid"]) in service.living()]


def test_a_standby_takes_over_from_a_killed_worker(service: Service) -> None:
    """The pid of the standby is the worker's next."""
    standby = service.wait_for("standby.ready", worker="ticker")["pid"]
    service.wait_for("worker.ready", worker="ticker")
    since = service.mark
    service.kill(service.pid("ticker"))
    assert service.wait_for("worker.ready", since=since, worker="ticker")["pid"] == standby


def test_supervisor_pump_and_template_are_replaced(service: Service) -> None:
    """`kill -9` of all three at once costs no worker its life."""
    service.wait_for("worker.ready", worker="ticker")
    service.wait_for("worker.ready", worker="program")
    pids = {name: service.pid(name) for name in ("ticker", "program")}
    since = service.mark
    service.kill(service.supervisor, service.pump, service.template())
    service.wait_for("supervisor.resumed", since=since)
    service.wait_for("template.ready", since=since)
    assert {name: service.pid(name) for name in pids} == pids


def test_nothing_survives_the_anchor(service: Service) -> None:
    """Not even what the forker has scattered."""
    service.wait_for("worker.spawned", worker="forker")
    service.kill(service.anchor)
    service.process.wait()
    service.until(lambda: not service.living(), "nothing is alive", timeout=2)


@pytest.mark.parametrize("key", ["user", "group"])
def test_a_worker_of_another_account_cannot_be_born(tmp_path: Path, key: str) -> None:
    """The groups come first, as in systemd: it ends with its code for those, and the neighbour does not notice."""
    config = f"""
        [workers.other]
        target = "workers.ticker:main"
        {key} = "daemon"
        backoff = {{ first = "0s", initial = "50ms", max = "50ms" }}
        max_failures = 3
        [workers.mine]
        target = "workers.ticker:main"
    """
    service = Service(tmp_path, config, run=(*ORDINARY, *RUN))
    os.chown(service.runtime, NOBODY, NOBODY)
    with service:
        ended = service.wait_for("worker.ended", worker="other")
        assert (ended["exit_code"], ended["result"]) == (216, "resources")
        assert ended["why"] == "group: PermissionError: [Errno 1] Operation not permitted"
        service.wait_for("worker.quarantined", worker="other")
        assert service.worker("mine")["phase"] == "ready"
