"""The journal of a run: held to its specification, written whole, read back."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.chaos import journal as journals
from tests.unit.chaos_files import acting, probing, trying
from tests.unit.chaos_world import World
from tests.unit.journal_rules import broken

if TYPE_CHECKING:
    from pathlib import Path

FULL = trying(acting("act"), acting("fail"), probes=[probing("look", True)], rollbacks=[acting("act", what="back")])


@pytest.fixture
def journal() -> dict[str, Any]:
    return World().run(FULL)


def test_a_journal_keeps_the_specification_and_has_what_the_chaos_toolkit_s_has(journal: dict[str, Any]) -> None:
    """Key for key, in its order."""
    assert broken(journal) == []
    assert list(journal) == [
        "chaoslib-version", "platform", "node", "experiment", "start", "status", "deviated", "steady_states", "run",
        "rollbacks", "end", "duration",
    ]  # fmt: skip
    assert journal["chaoslib-version"].startswith("ninelives ")
    entry = journal["run"][1]
    assert list(entry) == ["activity", "output", "start", "status", "exception", "end", "duration"]


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        (lambda one: one.pop("experiment"), "the journal MUST declare experiment"),
        (lambda one: one.update(status="held"), "status MUST be one of"),
        (lambda one: one.update(start="2026-01-01T00:00:00"), "start MUST be RFC 3339 in UTC"),
        (lambda one: one.update(duration=-1), "duration MUST be a number"),
        (lambda one: one["run"][0].pop("output"), r"run\[0\] MUST declare output"),
        (lambda one: one["run"][1].pop("exception"), r"run\[1\].exception MUST be there"),
        (lambda one: one["rollbacks"][0].update(status="done"), r"rollbacks\[0\].status MUST be"),
        (
            lambda one: one["steady_states"]["after"]["probes"][0].update(tolerance_met=None),
            r".*tolerance_met MUST be",
        ),
        (
            lambda one: one["steady_states"]["before"].update(steady_state_met=None),
            ".*steady_state_met MUST be a",
        ),
    ],
)
def test_the_rules_notice_a_journal_that_breaks_them(journal: dict[str, Any], break_it: Any, rule: str) -> None:
    """Or they would hold for anything."""
    break_it(journal)
    assert [one for one in broken(journal) if re.match(rule, one)] != []


def test_a_duration_is_the_difference_of_its_two_stamps(journal: dict[str, Any]) -> None:
    """As the specification has it, to the microsecond."""
    for one in (journal, *journal["run"]):
        assert one["duration"] == pytest.approx(journals.between(one["start"], one["end"]), abs=1e-6)


def test_our_facts_stand_among_the_extensions_and_leave_others_alone(journal: dict[str, Any]) -> None:
    """Once, whatever was there of ours before; the experiment stays as it was."""
    journal["extensions"] = [{"name": "other", "x": 1}]
    journals.extend(journal, {"seed": 1})
    journals.extend(journal, {"seed": 42, "figures": {}})
    assert journal["extensions"] == [{"name": "other", "x": 1}, {"name": "ninelives", "seed": 42, "figures": {}}]
    assert journals.extension(journal) == {"name": "ninelives", "seed": 42, "figures": {}}
    assert journals.extension(journal, "none") is None
    assert journal["experiment"] == FULL
    assert broken(journal) == []


def test_a_journal_is_written_and_read_back(journal: dict[str, Any], tmp_path: Path) -> None:
    """As it was, readable for whom the umask allows, and nothing lies beside it."""
    path = tmp_path / "journal.json"
    path.write_text("an older one")
    journals.written(journal, str(path))
    assert journals.loaded(str(path)) == journal
    assert os.listdir(tmp_path) == ["journal.json"]
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_journal_that_cannot_be_written_leaves_the_older_one(journal: dict[str, Any], tmp_path: Path) -> None:
    """All or nothing."""
    path = tmp_path / "journal.json"
    path.write_text("an older one")
    journal["duration"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        journals.written(journal, str(path))
    assert path.read_text() == "an older one"
    assert os.listdir(tmp_path) == ["journal.json"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no JSON"), ("[]", "is no journal .* it has no experiment, status, start, end, duration"),
        ('{"experiment": {}, "start": "", "end": "", "duration": 1}', "it has no status"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_journal_is_refused_with_its_name(tmp_path: Path, text: str, why: str) -> None:
    """`chaos report` of the wrong file."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(journals.NotAJournal, match=why) as refused:
        journals.loaded(str(path))
    assert str(path) in str(refused.value)


ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
    | st.frozensets(st.integers(), max_size=3) | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(ANYTHING)
def test_whatever_an_activity_answers_can_be_written(output: Any) -> None:
    """What JSON cannot say becomes text."""
    json.dumps(journals.plain(output), allow_nan=False)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_json_can_say_is_kept_as_it_is(output: Any) -> None:
    """Nothing is turned into text that need not be."""
    assert journals.plain(output) == output
