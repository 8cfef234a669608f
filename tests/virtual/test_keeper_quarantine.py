"""Keepers in virtual time: when they give up, and what follows."""

from __future__ import annotations

import asyncio

import pytest

from supervisor.keeper import Keep
from supervisor.phase import Phase
from supervisor.spec import Verdict
from supervisor.world import GivenUp
from tests.virtual.clock import play
from tests.virtual.world import CLEAN, CRASH, FINE, NEVER_READY, Fate, Living, Scene, policy, stable

QUARANTINED = Phase.QUARANTINED


def test_quarantine_stays_until_release() -> None:
    """After max_failures in a row nothing starts; release gives a fresh streak."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CRASH, NEVER_READY, CRASH, FINE)
        async with Living(keeper) as living:
            await keeper.until(lambda it: it.phase is QUARANTINED)
            await asyncio.sleep(100_000)
            assert living.settled.is_set()
            assert scene.alive == set()
            keeper.release()
            await keeper.until(lambda it: it.phase is Phase.READY)
            assert keeper.streak == 0
        assert scene.named("worker.released") == [{"worker": "w", "reason": "asked"}]
        assert scene.finals == []

    play(story())


@pytest.mark.parametrize("way", ["start", "restart", "stop, start"])
def test_starting_a_quarantined_worker_releases_it(way: str) -> None:
    """Whichever way an operator starts it, the streak is fresh."""

    async def story() -> None:
        keeper = Scene().worker("w", CRASH, CRASH, CRASH, FINE)
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is QUARANTINED)
            for verb in way.split(", "):
                getattr(keeper, verb)()
                await asyncio.sleep(1)
            assert (keeper.phase, keeper.streak) == (Phase.READY, 0)

    play(story())


def test_probation_is_one_try() -> None:
    """After the probation it may try once: failing means quarantine again, at once; a stable life means forgiveness."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker(
            "w", CRASH, CRASH, CRASH, CRASH, stable(), FINE, policy=policy(on_quarantine="probation")
        )
        async with Living(keeper):
            await asyncio.sleep(99)
            assert (keeper.phase, len(scene.endings)) == (QUARANTINED, 3)
            await asyncio.sleep(2)
            assert (keeper.phase, len(scene.endings)) == (QUARANTINED, 4)
            await asyncio.sleep(200)
            assert (keeper.phase, keeper.streak) == (Phase.READY, 1)
        assert {str(told["reason"]) for told in scene.named("worker.released")} == {"probation"}

    play(story())


def test_exit_brings_the_service_down() -> None:
    """on_quarantine = exit tells the service that the worker was given up."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CRASH, CRASH, CRASH, policy=policy(on_quarantine="exit"))
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is QUARANTINED)
            await asyncio.sleep(1)
        assert set(scene.finals) == {("w", Verdict.GIVEN_UP)}

    play(story())


def test_escalate_raises_to_the_group_above() -> None:
    """Escalating is an exception of its own: no loop retries it, nobody takes it for a clean end."""

    async def story() -> None:
        keeper = Scene().worker("w", CRASH, CRASH, CRASH, policy=policy(on_quarantine="escalate"))
        with pytest.raises(GivenUp, match="worker w gave up after 3 failures in a row"):
            await Keep(keeper, [keeper]).run(lambda: None)

    play(story())


@pytest.mark.parametrize(
    ("fate", "verdict"),
    [(CLEAN, Verdict.DONE), (CRASH, Verdict.FAILED)],
)
def test_a_significant_temporary_worker_ends_the_service_with_its_verdict(fate: Fate, verdict: Verdict) -> None:
    """A clean end is done, an unclean one is failed; neither is restarted."""

    async def story() -> None:
        from supervisor.spec import Restart  # noqa: PLC0415

        scene = Scene()
        keeper = scene.worker("w", fate, policy=policy(restart=Restart.TEMPORARY, significant=True))
        async with Living(keeper):
            await asyncio.sleep(10)
        assert set(scene.finals) == {("w", verdict)}
        assert len(scene.endings) == 1
        assert len(scene.named("worker.completed")) == (verdict is Verdict.DONE)

    play(story())


def test_a_significant_worker_in_quarantine_is_given_up() -> None:
    """Even with on_quarantine = stay: a service must not idle without what it is for."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CRASH, CRASH, CRASH, policy=policy(significant=True))
        async with Living(keeper):
            await asyncio.sleep(10)
        assert set(scene.finals) == {("w", Verdict.GIVEN_UP)}

    play(story())


def test_never_restart_goes_straight_to_quarantine() -> None:
    """One ending with such a code is enough."""

    async def story() -> None:
        keeper = Scene().worker("w", Fate(code=78), policy=policy(never_restart=(78,)))
        async with Living(keeper):
            await asyncio.sleep(1)
            assert (keeper.phase, keeper.streak) == (QUARANTINED, 1)

    play(story())
