"""A run that does not go to its end: interrupted by a signal, or aborted because too little is left of the service."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.chaos import course
from supervisor.chaos.runner import Runner, Wishes
from tests.unit.chaos_files import Tree, acting, of_functions, probing, read, trying
from tests.unit.journal_rules import broken

if TYPE_CHECKING:
    from supervisor.chaos.performer import Step

SOON = 5.0


class World:
    """A service whose faults go on until they are undone."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.told: list[Step] = []
        self.undone = threading.Event()
        self.never = threading.Event()
        self.floor: str | None = None

    def run(self, tree: Tree, **wishes: Any) -> dict[str, Any]:
        providers = of_functions(self.act, self.look, self.hurt, self.block, self.kill, self.sink, self.heal)
        runner = Runner(
            read(tree, providers), providers, wishes=Wishes(**wishes), abort=lambda: self.floor, undo=self.undo,
            listener=self.told.append,
        )  # fmt: skip
        began = time.monotonic()
        with course.signals(runner.course):
            journal = runner.run()
        assert time.monotonic() - began < SOON + course.GRACE_S
        assert broken(journal) == []
        return journal

    def act(self) -> None:
        self.done.append("acted")

    def look(self) -> bool:
        return True

    def hurt(self) -> None:
        """Return when what it did has been undone."""
        self.done.append("hurt")
        assert self.undone.wait(SOON)
        self.done.append("healed")

    def block(self) -> None:
        """Return when the test is over."""
        self.done.append("blocked")
        self.never.wait(30)

    def kill(self, number: int) -> None:
        self.done.append("killed")
        os.kill(os.getpid(), number)

    def sink(self) -> None:
        self.floor = "1 of 4 workers is ready, and it is not to go below half"

    def heal(self) -> None:
        self.done.append("back")

    def undo(self) -> None:
        self.done.append("undone")
        self.undone.set()


@pytest.fixture
def world() -> Any:
    one = World()
    yield one
    one.never.set()


STEADY = [probing("look", True)]
BACK = [acting("heal")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_interrupts_the_run_and_everything_is_undone(world: World, number: int) -> None:
    """In the middle of an activity; nothing more is begun, nothing is judged, by default nothing is rolled back."""
    tree = trying(
        {**acting("hurt"), "background": True}, acting("kill", number=number), {**acting("act"), "pauses": {"before": 30}},
        probes=STEADY, rollbacks=BACK,
    )  # fmt: skip
    journal = world.run(tree)
    assert journal["status"] == "interrupted"
    assert world.done == ["hurt", "killed", "undone", "healed", "undone"]
    assert journal["steady_states"]["after"] is None
    assert [entry["status"] for entry in journal["run"]] == ["succeeded", "succeeded"]
    assert [(step.part, step.status, step.why) for step in world.told if step.part == "stop"] == [
        ("stop", "interrupted", "interrupted by a signal")
    ]


def test_a_signal_in_the_last_moment_interrupts_as_well(world: World) -> None:
    """When all that was to be done has been done, and nothing is waited for any more."""
    tree = trying({**acting("kill", number=signal.SIGINT)}, rollbacks=BACK)
    journal = world.run(tree)
    assert journal["status"] == "interrupted"
    assert world.done == ["killed", "undone", "undone"]


def test_rollbacks_are_applied_after_an_interrupt_if_they_always_are(world: World) -> None:
    """After what was done has been undone."""
    journal = world.run(
        trying(acting("kill", number=signal.SIGINT), acting("block"), rollbacks=BACK), rollbacks="always"
    )
    assert journal["status"] == "interrupted"
    assert world.done[-3:] == ["undone", "back", "undone"]


def test_sigusr2_leaves_at_once_without_any_rollbacks(world: World) -> None:
    """Whatever the strategy says; undone is everything all the same."""
    journal = world.run(
        trying(acting("kill", number=signal.SIGUSR2), acting("block"), rollbacks=BACK), rollbacks="always"
    )
    assert journal["status"] == "interrupted"
    assert "back" not in world.done
    assert world.done[-1] == "undone"


def test_a_second_signal_ends_the_rollbacks(world: World) -> None:
    """Those that are left are not begun."""
    tree = trying(
        acting("kill", number=signal.SIGINT), acting("block"),
        rollbacks=[acting("kill", number=signal.SIGTERM), {**acting("heal"), "pauses": {"before": 30}}],
    )  # fmt: skip
    journal = world.run(tree, rollbacks="always")
    assert journal["status"] == "interrupted"
    assert "back" not in world.done


def test_an_activity_that_does_not_return_is_left_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run does not hang with it, the journal says it had not ended, and nothing it does later changes that."""
    monkeypatch.setattr(course, "GRACE_S", 0.2)
    journal = world.run(
        trying({**acting("block"), "background": True}, acting("kill", number=signal.SIGINT), acting("act"))
    )
    (entry,) = [entry for entry in journal["run"] if entry["activity"]["name"] == "block"]
    assert (entry["status"], entry["exception"]) == ("failed", ["had not ended when the run was over"])
    assert journal["status"] == "interrupted"


def test_a_floor_that_is_reached_aborts_the_run(world: World) -> None:
    """Undone first, then rolled back: an abort is no reason to leave things as they are."""
    tree = trying(
        {**acting("hurt"), "background": True}, acting("sink"), {**acting("act"), "pauses": {"before": 30}},
        probes=STEADY, rollbacks=BACK,
    )  # fmt: skip
    journal = world.run(tree)
    assert journal["status"] == "aborted"
    assert world.done == ["hurt", "undone", "healed", "back", "undone"]
    assert [step.why for step in world.told if step.part == "stop"] == [world.floor]


def test_a_floor_that_is_reached_before_anything_was_done_aborts_too(world: World) -> None:
    """Nothing is injected into what has too little left already."""
    world.floor = "nothing is ready"
    journal = world.run(trying(acting("act"), probes=STEADY, rollbacks=BACK))
    assert (journal["status"], journal["run"]) == ("aborted", [])
    assert world.done == ["undone", "undone"]


def test_a_look_that_is_interrupted_is_not_met_and_no_deviation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not finished: the journal must say one or the other, and the status says why."""
    monkeypatch.setattr(course, "GRACE_S", 0.2)
    tree = trying(
        acting("kill", number=signal.SIGINT), acting("block"), probes=[probing("look", True), probing("block", True)]
    )
    journal = world.run(tree, hypothesis="during-method-only")
    assert (journal["status"], journal["deviated"]) == ("interrupted", False)
    assert [state["steady_state_met"] for state in journal["steady_states"]["during"]] == [False]


def test_handlers_are_put_back_when_the_run_is_over(world: World) -> None:
    """Ctrl-C is Python's own again."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]
    world.run(trying(acting("act")))
    assert [
        signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    ] == before
