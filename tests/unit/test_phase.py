"""The table of phases."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.phase import LEGAL, IllegalMove, Phase, diagram, move


def test_the_table_is_total() -> None:
    """Every phase is in it, and none leads to itself or to nowhere."""
    assert set(LEGAL) == set(Phase)
    assert all(after and before not in after for before, after in LEGAL.items())


@pytest.mark.parametrize("before", Phase)
def test_every_phase_can_be_reached_from_every_other(before: Phase) -> None:
    """There is no dead end: an operator can get a worker from anywhere to anywhere."""
    reached = {before}
    while more := {after for phase in reached for after in LEGAL[phase]} - reached:
        reached |= more
    assert reached == set(Phase)


@settings(derandomize=True, database=None)
@given(st.sampled_from(Phase), st.sampled_from(Phase))
def test_a_move_is_legal_or_names_who_tried_what(before: Phase, after: Phase) -> None:
    """move gives the phase it was asked for, or raises with worker, before and after."""
    if after in LEGAL[before]:
        assert move("w", before, after) is after
        return
    with pytest.raises(IllegalMove, match=f"w: {before} -> {after} is no legal move") as caught:
        move("w", before, after)
    assert (caught.value.name, caught.value.before, caught.value.after) == ("w", before, after)


def test_only_what_failed_is_quarantined() -> None:
    """Nobody gets into quarantine but through a failure that was counted."""
    assert [before for before, after in LEGAL.items() if Phase.QUARANTINED in after] == [Phase.BACKING_OFF]


def test_the_diagram_shows_every_move() -> None:
    """One arrow for each, made from the table."""
    arrows = [line for line in diagram().splitlines() if "-->" in line and "[*]" not in line]
    assert len(arrows) == sum(map(len, LEGAL.values()))
    assert "    ready --> stopping" in arrows


def test_the_documentation_shows_the_diagram_as_it_is() -> None:
    """Whoever changes the table pastes the new one."""
    assert diagram() in (Path(__file__).parents[2] / "docs/architecture.md").read_text()
