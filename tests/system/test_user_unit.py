"""The user unit under a real systemd: what `systemctl` and the journal show, in good and in bad times."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from supervisor import notify
from tests.system.rig import COMMAND, Rig, Service, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.systemd]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One manager for all tests of this file."""
    started = Rig(tmp_path_factory.mktemp("rig"))
    yield started
    started.close()


@pytest.fixture
def service(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Service]:
    """An instance of its own, not started, with two workers that sleep; afterwards nothing is left."""
    name = re.sub(r"\W+", "-", request.node.name)[-40:].strip("-")
    made = Service(rig, name)
    made.config.write_text('[workers.sleeper]\ncommand = ["sleep", "1000"]\nreplicas = 2\n')
    yield made
    group = made.shown("ControlGroup")
    made.stop()
    left = rig.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").stdout if group else ""
    rig.systemctl("reset-failed", made.unit)
    assert not left, f"{made.unit} left processes behind: {left.split()}"


def restarted(service: Service, times: int = 1) -> None:
    until(
        lambda: service.shown("NRestarts") == str(times) and service.shown("ActiveState") == "active",
        what=f"{service.unit} restarted {times} times and active",
    )


def gone(service: Service, pids: dict[str, int]) -> None:
    until(lambda: not any(service.rig.alive(pid) for pid in pids.values()), what=f"{pids} gone", seconds=5)


def test_start_returns_when_every_worker_is_ready(service: Service) -> None:
    """`systemctl start` waits for READY=1, and `systemctl status` shows a sentence."""
    assert service.start() == 0
    assert service.shown("ActiveState") == "active"
    assert service.shown("StatusText").startswith("2 of 2 ready")
    assert 'Status: "2 of 2 ready' in service.rig.systemctl("status", service.unit).stdout
    assert service.shown("MainPID") == str(service.status()["supervisor"]["anchor_pid"])


def test_a_good_reload_changes_only_what_changed(service: Service) -> None:
    """`systemctl reload` returns when the new worker is there; the old ones keep their pids."""
    assert service.start() == 0
    before, main = service.pids(), service.shown("MainPID")
    with service.config.open("a") as file:
        file.write('[workers.third]\ncommand = ["sleep", "1000"]\n')
    assert service.reload() == 0
    after = service.pids()
    assert before.items() < after.items()
    assert set(after) - set(before) == {"third"}
    assert service.shown("MainPID") == main


def test_a_bad_reload_fails_and_changes_nothing(service: Service) -> None:
    """`systemctl reload` says that it failed; the service stays up with its old config."""
    assert service.start() == 0
    before = service.pids()
    service.config.write_text('[workers.sleeper]\ncomand = ["sleep", "1000"]\n')
    assert service.reload() != 0
    assert service.shown("ActiveState") == "active"
    assert service.pids() == before


def test_stop_is_clean_and_leaves_nothing(service: Service) -> None:
    """Result=success, and no process of the unit is alive."""
    assert service.start() == 0
    pids = service.pids()
    assert service.stop() == 0
    assert service.shown("Result") == "success"
    assert service.shown("ExecMainStatus") == "0"
    gone(service, pids)


def test_systemd_does_not_notice_the_death_of_the_supervisor(service: Service) -> None:
    """`kill -9` of the supervisor: same main process, no restart, same workers, and a new supervisor."""
    assert service.start() == 0
    before, pids, main = service.status()["supervisor"], service.pids(), service.shown("MainPID")
    service.rig.kill(signal.SIGKILL, before["pid"])
    until(
        lambda: service.status().get("supervisor", before)["pid"] != before["pid"],
        what="another supervisor answers",
    )
    assert service.pids() == pids
    assert service.shown("MainPID") == main
    assert service.shown("NRestarts") == "0"
    assert service.shown("ActiveState") == "active"


def test_systemd_does_not_notice_a_frozen_supervisor(service: Service) -> None:
    """The anchor replaces it long before the watchdog would; no worker is touched."""
    service.drop_in("WatchdogSec=8s")
    assert service.start() == 0
    before, pids, main = service.status()["supervisor"], service.pids(), service.shown("MainPID")
    service.rig.kill(signal.SIGSTOP, before["pid"])
    until(
        lambda: service.status().get("supervisor", before)["pid"] != before["pid"],
        what="another supervisor answers",
    )
    assert service.pids() == pids
    assert (service.shown("MainPID"), service.shown("NRestarts")) == (main, "0")


def test_a_supervisor_that_gets_nowhere_is_found_by_the_watchdog(service: Service) -> None:
    """One that dies again and again, however often it is started, is no progress: systemd starts everything anew."""
    service.drop_in("WatchdogSec=3s\nTimeoutAbortSec=2s")
    assert service.start() == 0
    main = service.shown("MainPID")

    def noticed() -> bool:
        for pid in service.rig.children(int(main)):
            if service.rig.name_of(pid) == "nl-supervisor":
                service.rig.kill(signal.SIGKILL, pid)
        return service.shown("MainPID") != main

    until(noticed, what="another main process")
    restarted(service)


def test_the_death_of_the_anchor_is_a_restart_of_everything(service: Service) -> None:
    """`kill -9` of the main process: systemd starts it again, and nothing of the old one is alive."""
    assert service.start() == 0
    pids = service.pids()
    service.rig.kill(signal.SIGKILL, int(service.shown("MainPID")))
    restarted(service)
    gone(service, pids)
    assert set(service.pids()) == set(pids)


def test_a_frozen_anchor_is_found_by_the_watchdog(service: Service) -> None:
    """A stopped main process sends no WATCHDOG=1: systemd ends it and starts another."""
    service.drop_in("WatchdogSec=2s\nTimeoutAbortSec=2s")
    assert service.start() == 0
    pids = service.pids()
    service.rig.kill(signal.SIGSTOP, int(service.shown("MainPID")))
    restarted(service)
    gone(service, pids)
    assert set(service.pids()) == set(pids)


def test_the_watchdog_is_fed(service: Service) -> None:
    """Left alone for three watchdog periods, the service is not restarted."""
    service.drop_in("WatchdogSec=1s")
    assert service.start() == 0

    def fed() -> int:
        return int(service.shown("WatchdogTimestampMonotonic"))

    begun = fed()
    until(lambda: fed() - begun > 3_000_000, what="three seconds of pings", seconds=10)
    assert service.shown("NRestarts") == "0"


def test_a_bad_config_is_not_tried_again(service: Service) -> None:
    """Exit status 78, once."""
    service.config.write_text("[workers.sleeper]\ncomand = 1\n")
    assert service.start() != 0
    until(lambda: service.shown("ActiveState") == "failed", what="failed")
    assert service.shown("ExecMainStatus") == "78"
    assert service.shown("NRestarts") == "0"


def test_a_second_service_of_the_name_is_refused(service: Service) -> None:
    """Exit status 3 and a sentence; the first goes on."""
    assert service.start() == 0
    second = service.rig.run(COMMAND, "run", "--name", service.name, str(service.config))
    assert second.returncode == 3
    assert service.name in second.stderr
    assert service.shown("ActiveState") == "active"


def test_a_long_start_is_extended_while_it_makes_progress(service: Service) -> None:
    """Five workers that take a second each, one after the other, outlast a TimeoutStartSec of two."""
    service.drop_in("TimeoutStartSec=2s")
    tables = []
    for number in range(5):
        needs = f'needs = ["w{number - 1}"]\n' if number else ""
        program = '["sh", "-c", "sleep 1; echo >&3; exec sleep 1000"]'
        tables.append(f'[workers.w{number}]\ncommand = {program}\nready = "newline"\n{needs}')
    service.config.write_text("\n".join(tables))
    assert service.start() == 0
    assert service.shown("StatusText").startswith("5 of 5 ready")


def test_a_worker_that_cannot_start_does_not_keep_the_unit_from_it(service: Service) -> None:
    """Given up, it is named in the sentence of `systemctl status`; the others are what was waited for."""
    with service.config.open("a") as file:
        file.write('[workers.broken]\ncommand = ["false"]\nready = "newline"\nmax_failures = 2\n')
    assert service.start() == 0
    assert service.shown("StatusText") == "2 of 3 ready, 1 quarantined: broken"


def test_a_long_stop_is_extended_for_as_long_as_the_config_allows(service: Service) -> None:
    """A worker that needs three seconds of its grace outlasts a TimeoutStopSec of one, and ends as it wants to."""
    service.drop_in("TimeoutStopSec=1s")
    done = service.rig.folder / f"{service.name}.done"
    program = f"trap 'sleep 3; touch {done}; exit 0' TERM; echo >&3; while :; do sleep 0.1; done"
    service.config.write_text(f'[workers.slow]\ncommand = ["sh", "-c", "{program}"]\nready = "newline"\ngrace = "20s"\n')
    assert service.start() == 0
    assert service.stop() == 0
    assert service.shown("Result") == "success"
    assert done.exists()


def test_workers_see_nothing_of_the_units_environment(service: Service) -> None:
    """No worker may think that it is the unit's main process."""
    seen = service.rig.folder / f"{service.name}.env"
    service.config.write_text(
        f'[workers.env]\ncommand = ["sh", "-c", "env > {seen}.new; mv {seen}.new {seen}; exec sleep 1000"]\n'
    )
    assert service.start() == 0
    until(seen.exists, what="the worker wrote down its environment")
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "NINELIVES_NAME" in names
    assert not names & notify.SCRUB


def test_events_are_in_the_journal_with_their_priorities(service: Service) -> None:
    """journald knows a warning from an information, and the message is the JSON line without any prefix."""
    assert service.start() == 0
    service.rig.kill(signal.SIGKILL, service.pids()["sleeper-0"])

    def events() -> dict[str, str]:
        found = {}
        for entry in service.rig.journal(service.unit):
            if isinstance(entry["MESSAGE"], str) and entry["MESSAGE"].startswith("{"):
                found[json.loads(entry["MESSAGE"])["event"]] = entry["PRIORITY"]
        return found

    until(lambda: "worker.ended" in events(), what="worker.ended in the journal")
    assert events()["supervisor.ready"] == "6"
    assert events()["worker.ended"] == "4"
