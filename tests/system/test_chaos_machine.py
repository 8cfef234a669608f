"""Faults that take a machine of their own, on one that is booted for them: one boot, then one claim a test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor.cli import systemd
from tests.system.rig import COMMAND

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
pytestmark = [
    pytest.mark.root,
    pytest.mark.systemd,
    pytest.mark.alone,  # a guest with one CPU, whose supervisor must not come late
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("linux.uml") is None, reason="systemd: needs the package user-mode-linux"),
]


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the guest left what it saw. It steps its clock; ours must not have moved."""
    folder = tmp_path_factory.mktemp("boot")
    (folder / systemd.NAME).write_text(systemd.unit(command=COMMAND))
    ahead = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    subprocess.run(
        [HERE / "boot.sh", HERE / "chaos.sh", folder],
        env=os.environ
        | {
            "BOOT_KEEP": f"{PROJECT} {sys.prefix}",
            "BOOT_SECONDS": "240",
            "BOOT_ENV": f"NINELIVES={COMMAND} PYTHON={sys.executable} PROJECT={PROJECT} PYTHONDONTWRITEBYTECODE=1",
        },
        check=True,
        timeout=260,
    )
    assert abs(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - ahead) < 5
    return folder


@pytest.fixture(scope="module")
def seen(boot: Path) -> dict[str, str]:
    lines = (boot / "output").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert "timeout" not in found, found
    return found


@pytest.fixture(scope="module")
def events(boot: Path) -> list[dict[str, object]]:
    """Of the service whose machine's clock was stepped."""
    return [json.loads(line) for line in (boot / "events").read_text().splitlines()]


def test_a_worker_is_frozen_in_the_delegated_cgroup(seen: dict[str, str]) -> None:
    """Within the unit's whole sandbox; undone, it is where it was, and the cgroup is gone."""
    assert (seen["freeze_possible"], seen["frozen"], seen["undone"]) == ("True", "True", "1")
    assert (seen["same_pid"], seen["home_again"], seen["groups_left"]) == ("True", "True", "0")


def test_the_next_supervisor_thaws(seen: dict[str, str]) -> None:
    """At its time, the same worker, in the same place."""
    assert seen["thawed_by_the_next"] == "True"


def test_a_frozen_worker_is_found_hung_and_replaced(seen: dict[str, str]) -> None:
    """It dies though it is frozen, and its neighbour does not notice."""
    assert (seen["hung_is_dead"], seen["groups_after_hang"], seen["neighbour_same"]) == ("True", "0", "True")


def test_the_unit_stops_cleanly_while_a_worker_is_frozen(seen: dict[str, str]) -> None:
    """Success, and it is dead."""
    assert (seen["stop"], seen["result"], seen["alive_after_stop"]) == ("0", "success", "False")


def test_the_sandbox_keeps_the_clock(seen: dict[str, str]) -> None:
    """Said before anybody tries."""
    assert "CAP_SYS_TIME" in seen["clock_in_sandbox"]


@pytest.mark.parametrize("step", ["forward", "backward"])
def test_the_clock_is_stepped_and_put_back(seen: dict[str, str], step: str) -> None:
    """By a day, to within a second; also after the supervisor that did it is dead."""
    assert float(seen[f"{step}_off_by"]) < 1
    assert float(seen[f"{step}_undone_off_by"]) < 1


def test_the_clock_is_stepped_once_at_a_time(seen: dict[str, str]) -> None:
    """Of two steps it could not be told, at the end of one, which is whose."""
    assert "stepped already" in seen["twice"]


def test_a_clock_that_was_put_right_meanwhile_is_left_alone(seen: dict[str, str]) -> None:
    """To undo it once more would be a fault of ours."""
    assert float(seen["put_right_off_by"]) < 1


def test_the_end_of_the_service_puts_the_clock_back(seen: dict[str, str]) -> None:
    """In an orderly stop."""
    assert (seen["clock_service_stop"], float(seen["stopped_off_by"]) < 1) == ("0", True)


def test_no_worker_notices_that_the_clock_jumps(seen: dict[str, str], events: list[dict[str, object]]) -> None:
    """Nobody is found hung, starved or late; who is killed meanwhile is back at once."""
    assert seen["untouched"] == "True"
    told = [event["event"] for event in events]
    assert told.count("chaos.injected") == told.count("chaos.undone") == 4
    assert not {"worker.hung", "worker.quarantined", "supervisor.lagged"} & set(told)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
