"""Faults that a worker does to itself and that go on: each can be seen, and is undone without a trace in the same life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from supervisor.chaos import catalogue
from supervisor.chaos.fault import INSIDE
from tests.real.chaos_rig import rig
from tests.real.inside_acts import LASTING, MIB, Case, beats, look, rss

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.chaos_rig import Rig
    from tests.real.inside_acts import Sight

# Nobody reads its pipe once it is ready, so that a test can see what comes.
UNWATCHED = '[workers.target]\ntarget = "acts:steady"\nchaos = true\n'


def begin(service: Rig, case: Case, seconds: float | None = None) -> tuple[dict[str, Any], int, Sight]:
    """It goes on, and shows."""
    pid = service.pid("target")
    before = look(service, pid)
    service.until(lambda: beats(pid), "it beats")
    fault = service.inject(case.kind, "target", seconds=seconds, **case.parameters)
    service.until(lambda: case.shows(service, pid, before), f"{case} shows")
    return fault, pid, before


def assert_restored(service: Rig, case: Case, fault: dict[str, Any], pid: int, before: Sight) -> None:
    """It has what it had, does what it did, and is the same."""
    service.until(lambda: beats(pid), "it beats again")
    service.until(lambda: look(service, pid).threads == before.threads, "a thread that ends has ended")
    assert look(service, pid) == before
    if case.kind == "leak":
        assert rss(pid) < 30 * MIB
    assert service.worker("target")["spawn_id"] == fault["spawn_id"]
    assert not service.seen("worker.ended", worker="target")


def test_each_lasting_kind_is_in_the_table() -> None:
    """Of those a worker does to itself."""
    found = {kind for kind in catalogue.kinds() if (fault := catalogue.fault(kind)).place == INSIDE and fault.lasting}
    assert {case.kind for case in LASTING} == found


@pytest.mark.parametrize("case", LASTING, ids=repr)
def test_undone_when_asked(case: Case, tmp_path: Path) -> None:
    """The worker is as it was before, in the same life: threads, children, descriptors, limits, beats."""
    with rig(tmp_path, UNWATCHED) as service:
        fault, pid, before = begin(service, case)
        assert service.halt() == [fault["chaos_id"]]
        undone = service.undone(fault)
        assert (undone["reason"], undone["how"]) == ("asked", catalogue.fault(case.kind).undone)
        assert_restored(service, case, fault, pid, before)


@pytest.mark.parametrize("case", LASTING, ids=repr)
def test_undone_by_the_next_supervisor(case: Case, tmp_path: Path) -> None:
    """One was killed with SIGKILL meanwhile: the next undoes it at its time."""
    with rig(tmp_path, UNWATCHED) as service:
        fault, pid, before = begin(service, case, seconds=2.5)
        service.kill_supervisor()
        undone = service.undone(fault)
        assert (undone["reason"], undone["how"]) == ("over", catalogue.fault(case.kind).undone)
        assert 2.5 <= undone["lasted_s"] < 5
        assert_restored(service, case, fault, pid, before)
