"""Keepers in virtual time: what they remember of an earlier supervisor, and what they make of it."""

from __future__ import annotations

import asyncio

import pytest

from supervisor.phase import Phase, Want
from supervisor.spec import Verdict
from supervisor.world import Memory
from tests.virtual.clock import play
from tests.virtual.world import CRASH, Living, Scene

QUARANTINED = Phase.QUARANTINED


def test_a_running_worker_is_adopted_at_once() -> None:
    """A new supervisor asks neither needs nor slots for what runs already, and keeps its streak."""

    async def story(phase: Phase) -> None:
        scene = Scene(alive={"w"})
        scene.open.clear()
        keeper = scene.worker("w", remembered=Memory(phase=phase, streak=2))
        async with Living(keeper) as living:
            await asyncio.wait_for(living.settled.wait(), 1)
            assert scene.story[0] == ("adopted", "w")
            assert (keeper.phase, keeper.streak, keeper.restarts) == (Phase.READY, 2, 0)

    for phase in (Phase.STARTING, Phase.READY):
        play(story(phase))


def test_a_remembered_stop_is_carried_on() -> None:
    """The supervisor died between the wish and the reap: the next adopts the process and puts it down."""

    async def story(phase: Phase) -> None:
        scene = Scene(alive={"w"})
        keeper = scene.worker("w", remembered=Memory(phase=phase, want=Want.DOWN))
        async with Living(keeper):
            await keeper.until(lambda it: it.is_down)
        assert scene.story == [("adopted", "w"), ("reaped", "w")]

    for phase in (Phase.READY, Phase.STOPPING):
        play(story(phase))


def test_only_what_remains_of_a_backoff_is_waited_for() -> None:
    """The deadline is remembered, not the delay."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", remembered=Memory(phase=Phase.BACKING_OFF, streak=1, due_at=1007.0))
        async with Living(keeper):
            await asyncio.sleep(6.9)
            assert scene.alive == set()
            await asyncio.sleep(0.2)
            assert (scene.alive, keeper.streak) == ({"w"}, 1)

    play(story())


def test_a_failure_that_was_counted_but_not_answered_is_answered_now() -> None:
    """The supervisor died between the two: the streak it left says whether to back off or to give up."""

    async def story(streak: int, phase: Phase) -> None:
        scene = Scene()
        keeper = scene.worker("w", remembered=Memory(phase=Phase.BACKING_OFF, streak=streak))
        async with Living(keeper):
            await asyncio.sleep(0.05)
            assert (keeper.phase, keeper.streak) == (phase, streak)

    play(story(2, Phase.BACKING_OFF))
    play(story(3, Phase.QUARANTINED))


@pytest.mark.parametrize(
    "memory",
    [
        Memory(phase=Phase.QUARANTINED, streak=3),
        Memory(want=Want.DOWN),
        Memory(verdict=Verdict.DONE),
    ],
)
def test_what_was_parked_stays_parked(memory: Memory) -> None:
    """Quarantined, stopped by wish or done: a new supervisor starts none of them."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", remembered=memory)
        async with Living(keeper) as living:
            await asyncio.sleep(1000)
            assert living.settled.is_set()
            assert keeper.settled
        assert scene.story == []

    play(story())


def test_the_note_is_what_the_keeper_remembers() -> None:
    """After every change the book holds the keeper's memory, and it goes through JSON unharmed."""

    async def story() -> None:
        import msgspec  # noqa: PLC0415

        scene = Scene()
        keeper = scene.worker("w", CRASH, CRASH, CRASH)
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is QUARANTINED)
            await asyncio.sleep(0)
            assert scene.notes["w"] == keeper.memory()
            assert msgspec.json.decode(msgspec.json.encode(keeper.memory()), type=Memory) == keeper.memory()

    play(story())
