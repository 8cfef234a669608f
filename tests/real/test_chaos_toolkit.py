"""The same files under the Chaos Toolkit itself: it runs them, comes to the same verdict, and writes a journal of our shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.chaos import course, experiment, findings, jsonpath, record
from supervisor.chaos import journal as journals
from supervisor.chaos.providers import Providers
from supervisor.chaos.reading import BadExperiment
from supervisor.chaos.runner import Runner, Wishes
from supervisor.chaos.verdict import Word
from tests.real.chaos_service import at_hand, service
from tests.real.control_world import ROOT
from tests.unit.chaos_files import Tree, trying
from tests.unit.journal_rules import broken, shape
from tests.unit.test_chaos_jsonpath import PATHS, TREE
from tests.unit.test_chaos_tolerance import NOT_TOLERATED, RANGE, REGEX, TOLERATED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.chaos_service import Hand

pytestmark = [pytest.mark.chaostoolkit, pytest.mark.timeout(120)]

THEIRS_ALONE = {".experiment.dry: NoneType"}  # their runner notes its own option in the experiment
OURS_ALONE: set[str] = set()


def acts(func: str, **arguments: Any) -> Tree:
    provider = {"type": "python", "module": "supervisor.chaos.actions", "func": func, "arguments": arguments}
    return {"type": "action", "name": func, "provider": provider}


def asks(func: str, tolerance: Any, **arguments: Any) -> Tree:
    provider = {"type": "python", "module": "supervisor.chaos.probes", "func": func, "arguments": arguments}
    return {"type": "probe", "name": func, "tolerance": tolerance, "provider": provider}


READY = asks("all_ready", True, within=10)
KILL = acts("inject", kind="kill", worker="${who}")
HELD = trying(
    KILL, {"ref": "count"}, {**acts("rest", seconds=0.2), "background": True, "pauses": {"before": 0.1}},
    probes=[READY, asks("hurt", {"type": "jsonpath", "path": "$[*]", "count": 0}), asks("count", [0, 5], event="worker.ended"),
            asks("phase", {"type": "regex", "pattern": "^ready$"}, worker="w-0")],
    rollbacks=[acts("halt")], configuration={"who": "w-*"}, tags=["kill"], contributions={"reliability": "high"},
)  # fmt: skip
DEVIATED = trying(KILL, probes=[READY, asks("count", 0, event="worker.ended")], configuration={"who": "w-*"})
FAILED = trying(acts("inject", kind="kill", worker="calm"), probes=[READY])


def under_the_toolkit(hand: Hand, tree: Tree, folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """`chaos run` in a process of its own: its exit code and its journal."""
    (folder / "x.json").write_text(json.dumps(tree))
    done = subprocess.run(
        [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", "--settings", str(folder / "none"),
         "run", "--journal-path", "theirs.json", *options, "x.json"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NINELIVES_SOCKET": hand.service.socket},
    )  # fmt: skip
    assert (folder / "theirs.json").exists(), done.stderr
    return done.returncode, json.loads((folder / "theirs.json").read_text())


def under_ours(tree: Tree, folder: Path, **wishes: Any) -> dict[str, Any]:
    """The same file, by our runner. It goes first: what it has seen since it began to look is what it judges."""
    (folder / "x.json").write_text(json.dumps(tree))
    providers = Providers()
    runner = Runner(experiment.load(str(folder / "x.json"), providers.check), providers, wishes=Wishes(**wishes))
    with course.signals(runner.course):
        return runner.run()


def verdict(journal: dict[str, Any]) -> tuple[str, bool]:
    return journal["status"], journal["deviated"]


def keys(journal: dict[str, Any]) -> set[str]:
    """The shape of a journal, without what an activity answered: that is its own affair."""
    return {one for one in shape(journal) if ".output" not in one}


@pytest.mark.parametrize(
    ("tree", "code", "said"), [(HELD, 0, ("completed", False)), (DEVIATED, 1, ("completed", True))]
)
def test_the_same_file_has_the_same_verdict_and_a_journal_of_the_same_shape(
    tmp_path: Path, tree: Tree, code: int, said: tuple[str, bool]
) -> None:
    """Exit code 0 for what held and 1 for what deviated, as with ours."""
    with at_hand(service(tmp_path)) as hand:
        ours = under_ours(tree, tmp_path)
        returned, theirs = under_the_toolkit(hand, tree, tmp_path)
    assert (returned, verdict(theirs)) == (code, said), theirs
    assert verdict(ours) == said
    assert keys(theirs) ^ keys(ours) == THEIRS_ALONE | OURS_ALONE
    assert [list(one) for one in (theirs, theirs["run"][0])] == [list(one) for one in (ours, ours["run"][0])]
    assert broken(theirs) == broken(ours) == []


def test_what_is_refused_fails_its_action_in_both_and_our_run_as_well(tmp_path: Path) -> None:
    """Nobody may touch this worker. There the run is "completed": nothing deviated, and that is all it looks at."""
    with at_hand(service(tmp_path)) as hand:
        ours = under_ours(FAILED, tmp_path)
        returned, theirs = under_the_toolkit(hand, FAILED, tmp_path)
        assert hand.service.worker("calm")["restarts"] == 0
    for journal in (theirs, ours):
        assert journal["run"][0]["status"] == "failed"
        assert "matches no worker that may be hit" in "".join(journal["run"][0]["exception"])
    assert (returned, verdict(theirs)) == (0, ("completed", False))
    assert verdict(ours) == ("failed", False)
    assert keys(theirs) ^ keys(ours) == THEIRS_ALONE


def test_the_hypothesis_is_looked_at_meanwhile_in_both(tmp_path: Path) -> None:
    """With the same word for it, and the same entries."""
    tree = trying(acts("rest", seconds=0.6), probes=[READY])
    with at_hand(service(tmp_path)) as hand:
        options = ("--hypothesis-strategy", "continuously", "--hypothesis-frequency", "0.1")
        ours = under_ours(tree, tmp_path, hypothesis="continuously", frequency=0.1)
        returned, theirs = under_the_toolkit(hand, tree, tmp_path, *options)
    assert returned == 0
    for journal in (theirs, ours):
        assert len(journal["steady_states"]["during"]) >= 3
    assert keys(theirs) ^ keys(ours) == THEIRS_ALONE


@pytest.mark.parametrize(
    ("strategy", "ours_is"), [("default", ("failed", False)), ("during-method-only", ("completed", True))]
)
def test_a_steady_state_that_never_was_passes_there_and_not_here(
    tmp_path: Path, strategy: str, ours_is: tuple[str, bool]
) -> None:
    """Not met before the method, or not met during it: their exit code is 0 (docs/experiments.md says so)."""
    tree = trying(acts("rest", seconds=0.1), probes=[asks("phase", "nowhere", worker="w-0")])
    with at_hand(service(tmp_path)) as hand:
        ours = under_ours(tree, tmp_path, hypothesis=strategy)
        returned, theirs = under_the_toolkit(hand, tree, tmp_path, "--hypothesis-strategy", strategy)
    assert verdict(ours) == ours_is
    assert (returned, verdict(theirs)) == (0, ("completed", False))


def test_the_toolkit_checks_our_experiments_as_we_do(tmp_path: Path) -> None:
    """What ours reads theirs accepts; what ours refuses for an argument theirs refuses, too."""
    from chaoslib.exceptions import ChaosException  # noqa: PLC0415 - there where this test runs
    from chaoslib.experiment import ensure_experiment_is_valid  # noqa: PLC0415

    for tree in (HELD, DEVIATED, FAILED):
        ensure_experiment_is_valid(json.loads(json.dumps(tree)))
    bad = trying(acts("inject", kind="kill", wroker="w-*"), probes=[READY])
    (tmp_path / "x.json").write_text(json.dumps(bad))
    with pytest.raises(ChaosException, match="wroker"):
        ensure_experiment_is_valid(bad)
    with pytest.raises(BadExperiment, match='inject has no such argument; did you mean "worker"'):
        experiment.load(str(tmp_path / "x.json"), Providers().check)


DIFFERENT: list[tuple[Any, Any]] = [
    ([200, 299], {"status": 204}),  # bounds, says the specification; there a choice (a warning tells)
    (RANGE, b"6"), (REGEX, b"200"),  # an error there
    (True, 1), (False, 0), (1, True), ([1, 0, 2], True), ([True, "x", "y"], 1),  # "strict", says the specification
]  # fmt: skip


def test_tolerances_are_judged_alike_but_for_what_is_listed() -> None:
    """An answer of the wrong type is an error there that ends the run, and not tolerated here."""
    from chaoslib.hypothesis import within_tolerance  # noqa: PLC0415

    def tolerated(wanted: Any, answer: Any) -> bool:
        try:
            return bool(within_tolerance(wanted, answer))
        except (TypeError, ArithmeticError):
            return False

    differ = [pair for pair in TOLERATED if not tolerated(*pair)] + [pair for pair in NOT_TOLERATED if tolerated(*pair)]
    assert sorted(map(repr, differ)) == sorted(map(repr, DIFFERENT))


@pytest.mark.parametrize("path", sorted({*PATHS} - {"foo[*].baz", " $.list "}))
def test_json_paths_lead_to_the_same(path: str) -> None:
    """With their library, wherever it understands them."""
    from jsonpath2.path import Path as Theirs  # noqa: PLC0415

    found = [match.current_value for match in Theirs.parse_str(path.replace("'a b'", '"a b"')).match(TREE)]
    assert found == jsonpath.find(jsonpath.parse(path), TREE)


def test_what_there_is_can_be_discovered() -> None:
    """Every action and probe with its arguments and what it says of itself, as `chaos discover` asks for it."""
    from chaoslib.discovery.package import get_discover_function  # noqa: PLC0415

    import supervisor  # noqa: PLC0415
    from supervisor.chaos import actions, probes  # noqa: PLC0415

    found = get_discover_function(supervisor)(discover_system=True)
    assert found["extension"] == {"name": "ninelives", "version": supervisor.__version__}
    listed = {(one["type"], one["name"]) for one in found["activities"]}
    assert listed == {("action", name) for name in actions.__all__} | {("probe", name) for name in probes.__all__}
    inject = next(one for one in found["activities"] if one["name"] == "inject")
    assert inject["doc"].startswith("Inject a fault")
    arguments = {one["name"]: one.get("type") for one in inject["arguments"]}
    assert {"kind": "string", "worker": "string", "wait": "boolean"}.items() <= arguments.items()
    assert isinstance(found["system"]["services"], list)


MEASURED = {"controls": [{"name": "measure", "provider": {"type": "python", "module": "supervisor.chaos.controls"}}]}


@pytest.mark.parametrize(("tree", "word"), [(HELD, Word.HELD), (DEVIATED, Word.DEVIATED)])
def test_with_our_control_their_journal_has_our_record_and_our_report(tmp_path: Path, tree: Tree, word: Word) -> None:
    """The fault, how long it took, and the verdict: as if our own runner had written it."""
    with at_hand(service(tmp_path)) as hand:
        under_the_toolkit(hand, {**tree, **MEASURED}, tmp_path)
    journal = journals.loaded(str(tmp_path / "theirs.json"))
    assert broken(journal) == []
    found = findings.of_journal(journal)
    assert found.verdict.word is word
    assert [fault.kind for fault in record.within(journal).faults] == ["kill"]
