"""A pool in a control group (v2) with a limit of memory, on a booted systemd: one boot, then one claim a test."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.system.rig import booted

KILLED = "killed by the kernel, which was out of memory"
pytestmark = [
    pytest.mark.root,
    pytest.mark.systemd,
    pytest.mark.timeout(200),
    pytest.mark.skipif(shutil.which("linux.uml") is None, reason="systemd: needs the package user-mode-linux"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program in the guest saw."""
    folder = tmp_path_factory.mktemp("boot")
    assert booted("pool_memory.sh", folder)["exit"] == "0"
    seen: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return seen


def test_two_tasks_that_do_not_fit_beside_each_other_both_succeed(found: dict[str, Any]) -> None:
    """One is killed by the kernel, and done when nothing else is at work."""
    assert found["kills_of_pair"] - found["kills_before"] == 1
    assert [one["kind"] for one in found["pair"]] == ["value", "value"]


def test_a_task_that_passes_the_limit_alone_is_told_what_it_died_of(found: dict[str, Any]) -> None:
    """Twice, the second time alone; then it is out of memory."""
    assert found["kills"] - found["kills_of_pair"] == 2
    assert found["growing"] == {"kind": "TaskOutOfMemory", "causes": [KILLED, KILLED]}


def test_nothing_is_at_work_beside_the_second_attempt(found: dict[str, Any]) -> None:
    """What had begun before is over, and what comes begins behind it."""
    log = found["log"]
    begun = [at for at, word in enumerate(log) if word == "grow"]
    assert len(begun) == 2
    for part in (log[: begun[1]], log[begun[1] + 1 :]):
        assert part.count("nap") == part.count("woke")


def test_all_others_complete(found: dict[str, Any]) -> None:
    """Those beside it, those behind it, and those after it."""
    assert found["naps"] == ["value"] * 20
    assert found["doubles"] == [2 * number for number in range(50)]
    assert found["after"] == [0, 2, 4, 6]


def test_what_the_kernel_kills_elsewhere_explains_nothing_here(found: dict[str, Any]) -> None:
    """Somebody is killed for want of memory in another group; a worker that is killed then was killed by SIGKILL."""
    assert found["elsewhere"] != 0
    assert found["kills_elsewhere"] == 1
    assert found["kills_at_end"] == found["kills"]
    assert found["killed"] == {"kind": "TaskFailed", "causes": ["killed by SIGKILL"]}
