"""The system unit, with its whole sandbox, on a booted systemd: one boot, then one claim a test."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from supervisor.cli import systemd
from tests.system.rig import COMMAND, booted

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.root,
    pytest.mark.systemd,
    pytest.mark.timeout(200),
    pytest.mark.skipif(shutil.which("linux.uml") is None, reason="systemd: needs the package user-mode-linux"),
]


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the guest leaves what it sees."""
    folder = tmp_path_factory.mktemp("boot")
    (folder / systemd.NAME).write_text(systemd.unit(command=COMMAND))
    return folder


@pytest.fixture(scope="module")
def seen(boot: Path) -> dict[str, str]:
    return booted("system_unit.sh", boot, NINELIVES=COMMAND)


def test_it_starts_inside_its_sandbox(seen: dict[str, str]) -> None:
    """No capability, a filtered kernel and a read-only system are enough."""
    assert seen["start"] == "0"
    assert seen["status"].startswith("2 of 2 ready")


def test_its_cgroup_is_delegated(seen: dict[str, str]) -> None:
    """The controllers for limits are the unit's to hand on."""
    assert {"cpu", "memory", "pids"} <= set(seen["controllers"].split())


def test_reload_tells_good_from_bad(seen: dict[str, str]) -> None:
    """A good file is taken while everything runs; a bad one fails `systemctl reload` and changes nothing."""
    assert (seen["reload_good"], seen["sleepers"]) == ("0", "3")
    assert seen["reload_bad"] != "0"
    assert seen["still"] == "active"
    assert seen["same_main"] == "yes"


def test_a_killed_anchor_leaves_nothing_and_comes_back(seen: dict[str, str]) -> None:
    """Restarted by systemd, with as many workers as before and none of the old ones."""
    assert seen["restarted"] == "yes"
    assert "left" not in seen
    assert seen["sleepers_again"] == "3"


@pytest.mark.usefixtures("seen")
def test_events_have_their_priorities_in_the_journal(boot: Path) -> None:
    """An information is 6, a worker's unexpected end is 4, and no prefix is left in the message."""
    entries = [json.loads(line) for line in (boot / "journal").read_text().splitlines()]
    events = {
        json.loads(entry["MESSAGE"])["event"]: entry["PRIORITY"]
        for entry in entries
        if isinstance(entry["MESSAGE"], str) and entry["MESSAGE"].startswith('{"')
    }
    assert events["supervisor.ready"] == "6"
    assert events["worker.ended"] == "4"


def test_stop_is_clean(seen: dict[str, str]) -> None:
    """Success, and nothing left."""
    assert (seen["stop"], seen["result"], seen["after"]) == ("0", "success", "0")
