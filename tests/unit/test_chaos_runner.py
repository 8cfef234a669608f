"""A run: what is done in which order, what is judged, and what the journal says of it."""

from __future__ import annotations

import threading
import time

import pytest

from supervisor.chaos.runner import Unconfigured, Wishes
from tests.unit.chaos_files import acting, probing, trying
from tests.unit.chaos_world import World


@pytest.fixture
def world() -> World:
    return World()


STEADY = [probing("look", True)]
BACK = [acting("act", what="back")]


def test_the_hypothesis_is_looked_at_before_and_after_then_everything_is_put_back(world: World) -> None:
    """And undone at the very end, whatever the rollbacks did."""
    journal = world.run(trying(acting("act"), probes=STEADY, rollbacks=BACK))
    assert world.done == ["looked", "acted", "looked", "back", "undone"]
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert journal["steady_states"]["before"]["steady_state_met"]
    assert journal["steady_states"]["after"]["steady_state_met"]
    assert [entry["output"] for entry in journal["run"]] == ["acted"]
    assert [entry["status"] for entry in journal["rollbacks"]] == ["succeeded"]


def test_a_service_that_is_not_well_is_not_experimented_on(world: World) -> None:
    """The run has failed; nothing was done, so nothing is put back."""
    world.well = False
    journal = world.run(trying(acting("act"), probes=STEADY, rollbacks=BACK))
    assert world.done == ["looked", "undone"]
    assert (journal["status"], journal["deviated"], journal["run"]) == ("failed", False, [])
    assert not journal["steady_states"]["before"]["steady_state_met"]
    assert journal["steady_states"]["after"] is None


def test_a_service_that_is_not_well_afterwards_has_deviated(world: World) -> None:
    """The run is complete: finding that out was what it was for."""
    journal = world.run(trying(acting("hurt"), probes=STEADY, rollbacks=BACK))
    assert world.done == ["looked", "hurt", "looked", "back", "undone"]
    assert (journal["status"], journal["deviated"]) == ("completed", True)


@pytest.mark.parametrize(
    ("strategy", "done"),
    [
        ("default", ["looked", "acted", "looked"]),
        ("before-method-only", ["looked", "acted"]),
        ("after-method-only", ["acted", "looked"]),
        ("skip", ["acted"]),
    ],
)
def test_the_strategy_says_when_the_hypothesis_is_looked_at(world: World, strategy: str, done: list[str]) -> None:
    """As the file says, or whoever runs it, who goes before the file."""
    tree = trying(acting("act"), probes=STEADY, runtime={"hypothesis": {"strategy": strategy}})
    world.run(tree)
    assert world.done == [*done, "undone"]
    other = World()
    other.run(trying(acting("act"), probes=STEADY), wishes=Wishes(hypothesis=strategy))
    assert other.done == world.done


@pytest.mark.parametrize(("strategy", "outside"), [("during-method-only", 0), ("continuously", 2)])
def test_the_hypothesis_is_looked_at_again_and_again_while_the_method_runs(
    world: World, strategy: str, outside: int
) -> None:
    """Every `frequency` seconds."""
    tree = trying(acting("linger", seconds=0.3), probes=STEADY)
    journal = world.run(tree, wishes=Wishes(hypothesis=strategy, frequency=0.05))
    during = journal["steady_states"]["during"]
    assert 3 <= len(during) <= 7
    assert world.done.count("looked") == len(during) + outside
    assert not journal["deviated"]


def test_a_hypothesis_not_met_during_the_method_is_a_deviation(world: World) -> None:
    """Though nobody looks again afterwards."""
    tree = trying(acting("hurt"), acting("linger", seconds=0.15), acting("act"), probes=STEADY)
    journal = world.run(tree, wishes=Wishes(hypothesis="during-method-only", frequency=0.05))
    assert (journal["status"], journal["deviated"]) == ("completed", True)
    assert "acted" in world.done


def test_failing_fast_begins_nothing_more(world: World) -> None:
    """What is being done is done to its end; the next activity is not begun, and the run has failed."""
    tree = trying(
        acting("hurt"), acting("linger", seconds=0.2), acting("act"), probes=STEADY,
        runtime={"hypothesis": {"strategy": "during-method-only", "frequency": 0.02, "fail_fast": True}},
    )  # fmt: skip
    journal = world.run(tree)
    assert "lingered" in world.done
    assert "acted" not in world.done
    assert (journal["status"], journal["deviated"]) == ("failed", True)


@pytest.mark.parametrize(
    ("strategy", "well", "deviated", "gate"),
    [
        ("default", True, True, False), ("always", True, True, True), ("never", False, False, False),
        ("deviated", False, True, False),
    ],
)  # fmt: skip
def test_the_rollbacks_strategy_says_when_they_are_applied(
    strategy: str, well: bool, deviated: bool, gate: bool
) -> None:
    """After a run in which all was well, one that deviated, and one that was not begun."""
    applied = []
    for action, before in (("act", True), ("hurt", True), ("act", False)):
        world = World()
        world.well = before
        world.run(trying(acting(action), probes=STEADY, rollbacks=BACK), wishes=Wishes(rollbacks=strategy))
        applied.append("back" in world.done)
    assert applied == [well, deviated, gate]


def test_an_activity_that_fails_does_not_stop_the_method_and_fails_the_run(world: World) -> None:
    """The journal has its traceback; rollbacks are applied all the same."""
    journal = world.run(trying(acting("fail"), acting("act"), probes=STEADY, rollbacks=BACK))
    assert world.done == ["looked", "failed", "acted", "looked", "back", "undone"]
    assert (journal["status"], journal["deviated"]) == ("failed", False)
    assert journal["run"][0]["status"] == "failed"
    assert "RuntimeError: no such luck" in "".join(journal["run"][0]["exception"])


def test_a_rollback_that_fails_does_not_keep_the_next_from_being_applied(world: World) -> None:
    """The specification demands it."""
    journal = world.run(trying(rollbacks=[acting("fail"), *BACK], probes=STEADY))
    assert world.done == ["looked", "looked", "failed", "back", "undone"]
    assert [entry["status"] for entry in journal["rollbacks"]] == ["failed", "succeeded"]


def test_a_probe_that_fails_is_not_within_any_tolerance(world: World) -> None:
    """Before the method it ends the run, after it it is a deviation and a failure."""
    journal = world.run(trying(acting("act"), probes=[probing("fail", True)]))
    assert (journal["status"], world.done) == ("failed", ["failed", "undone"])
    journal = World().run(trying(probes=[probing("fail", True)]), wishes=Wishes(hypothesis="after-method-only"))
    assert (journal["status"], journal["deviated"]) == ("failed", True)


def test_the_first_probe_that_is_not_tolerated_ends_the_look(world: World) -> None:
    """And the listener is told which one and why."""
    journal = world.run(trying(probes=[probing("act", "acted"), probing("act", "other", name="second"), *STEADY]))
    probes = journal["steady_states"]["before"]["probes"]
    assert [entry["tolerance_met"] for entry in probes] == [True, False]
    ended = [step for step in world.told if step.part == "before" and step.name is None and step.ended]
    assert [step.why for step in ended] == ['second answered "acted" where "other" is tolerated']


def test_background_activities_go_on_beside_the_next_and_are_waited_for(world: World) -> None:
    """Their entries stand where they began."""
    tree = trying({**acting("linger", seconds=0.15), "background": True}, acting("act"), probes=STEADY)
    journal = world.run(tree)
    assert world.done == ["looked", "acted", "lingered", "looked", "undone"]
    assert {entry["activity"]["name"] for entry in journal["run"]} == {"linger", "act"}


def test_pauses_are_kept_before_and_after_and_are_no_part_of_the_duration(world: World) -> None:
    """They may be variables."""
    tree = trying({**acting("act"), "pauses": {"before": "${wait}", "after": 0.1}}, configuration={"wait": 0.15})
    began = time.monotonic()
    journal = world.run(tree)
    assert time.monotonic() - began > 0.24
    assert journal["run"][0]["duration"] < 0.1


def test_arguments_have_their_variables_and_functions_get_what_they_ask_for(world: World) -> None:
    """Configuration whole, secrets by name; the journal keeps the activity as it stands in the file."""
    tree = trying(
        acting("echo", value="${who}"), configuration={"who": 3}, secrets={"s": {"k": "hush"}, "t": {"l": "other"}}
    )
    tree["method"][0]["provider"]["secrets"] = ["s"]
    entry = world.run(tree, given={"who": [1]})["run"][0]
    assert entry["output"] == [[1], {"who": [1]}, {"k": "hush"}]
    assert entry["activity"]["provider"]["arguments"] == {"value": "${who}"}


def test_a_value_of_the_configuration_may_be_told_by_a_probe(world: World) -> None:
    """It is asked once, before anything else."""
    tree = trying(
        acting("act", what="${x}"), acting("act", what="${x}"), configuration={"x": probing("act", what="told")}
    )
    world.run(tree)
    assert world.done == ["told", "told", "told", "undone"]


def test_a_probe_of_the_configuration_that_fails_is_told_before_anything_is_done(world: World) -> None:
    """There is no run then, and no journal."""
    with pytest.raises(Unconfigured, match=r"configuration.x: no such luck"):
        world.run(trying(acting("act"), configuration={"x": probing("fail")}))
    assert world.done == ["failed", "undone"]


def test_a_tolerance_may_be_a_probe(world: World) -> None:
    """It is given the answer, and what it returns is the judgement."""
    for answer, met in ((4, True), (5, False)):
        judge = probing("is_even")
        journal = world.run(trying(probes=[probing("act", judge, what=answer)]))
        assert journal["steady_states"]["before"]["steady_state_met"] is met


def test_an_output_json_cannot_say_becomes_text(world: World) -> None:
    """A journal can always be written."""
    output = world.run(trying(acting("explode")))["run"][0]["output"]
    assert output == {"1": ["a", "b"], "x": "\ufffd", "y": "nan", "z": "<class 'object'>"}


@pytest.mark.parametrize(
    ("dry", "done"),
    [
        ("probes", ["acted"]), ("actions", ["looked", "looked", "looked"]), ("activities", []),
        ("pause", ["looked", "acted", "looked", "looked"]),
    ],
)  # fmt: skip
def test_a_dry_run_does_all_but_what_it_was_told_not_to_do(world: World, dry: str, done: list[str]) -> None:
    """What is not done succeeds, without its pauses, and is not judged."""
    tree = trying(
        {**acting("act"), "pauses": {"before": 30 if dry != "actions" else 0}}, probing("look"), probes=STEADY
    )
    if dry == "probes":
        tree["method"][0]["pauses"] = {}
    journal = world.run(tree, wishes=Wishes(dry=dry))
    assert world.done == [*done, "undone"]
    assert (journal["status"], journal["deviated"]) == ("completed", False)


def test_a_listener_is_told_of_every_part_and_activity_when_it_begins_and_when_it_ends(world: World) -> None:
    """One call at a time, in the order of what happens."""
    world.run(trying(acting("act"), acting("fail"), probes=STEADY))
    assert [(step.part, step.name, step.ended, step.status) for step in world.told] == [
        ("before", None, False, None), ("before", "look", False, None), ("before", "look", True, "succeeded"),
        ("before", None, True, "met"),
        ("method", None, False, None), ("method", "act", False, None), ("method", "act", True, "succeeded"),
        ("method", "fail", False, None), ("method", "fail", True, "failed"), ("method", None, True, "ended"),
        ("after", None, False, None), ("after", "look", False, None), ("after", "look", True, "succeeded"),
        ("after", None, True, "met"),
        ("undo", None, False, None), ("undo", None, True, "succeeded"),
    ]  # fmt: skip
    failed = world.told[8]
    assert failed.why == "no such luck"
    assert isinstance(failed.error, RuntimeError)


def test_undoing_that_fails_is_told_and_does_not_cost_the_journal(world: World) -> None:
    """A service that is gone cannot be asked to undo anything."""

    def gone() -> None:
        raise OSError("no service")

    world.undo = gone  # type: ignore[method-assign]
    journal = world.run(trying(acting("act"), probes=STEADY))
    assert journal["status"] == "completed"
    assert (world.told[-1].status, world.told[-1].why) == ("failed", "no service")


def test_no_thread_is_left_of_a_run_that_ended_by_itself(world: World) -> None:
    """Not even the one that looked on."""
    before = set(threading.enumerate())
    world.run(
        trying({**acting("linger", seconds=0.1), "background": True}, probes=STEADY),
        wishes=Wishes(hypothesis="continuously"),
    )
    assert set(threading.enumerate()) <= before
