"""Keepers in virtual time: one worker, its lives, its streak."""

from __future__ import annotations

import asyncio

import pytest

from supervisor.keeper import delays
from supervisor.phase import Phase
from supervisor.spec import Backoff, Result, Verdict
from tests.virtual.clock import play
from tests.virtual.world import CLEAN, CRASH, FINE, TRANSIENT, Fate, Living, Scene, policy, stable

QUARANTINED = Phase.QUARANTINED


def test_a_worker_that_crashed_once_is_back_at_once() -> None:
    """The first retry is immediate, and the recovery is told with the time from the end to ready."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", Fate(lives=5.0), FINE)
        async with Living(keeper):
            await asyncio.sleep(6)
            assert (keeper.phase, keeper.streak, keeper.restarts) == (Phase.READY, 1, 1)
            assert scene.named("worker.backed_off") == [
                {"worker": "w", "delay_s": 0.0, "streak": 1, "failures_left": 2}
            ]
            recovered = scene.named("worker.recovered")[0]
            assert recovered["recovery_s"] == pytest.approx(0.01)
        assert scene.alive == set()
        assert scene.slots == 0

    play(story())


def test_then_the_waits_grow_up_to_the_maximum() -> None:
    """first, initial, initial x multiplier …, at most max; each of the latter plus up to jitter."""

    async def story() -> list[float]:
        scene = Scene()
        backoff = Backoff(first=0.0, initial=0.1, multiplier=2.0, max=1.0, jitter=0.05)
        keeper = scene.worker("w", *[CRASH] * 8, policy=policy(backoff=backoff, max_failures=8))
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is QUARANTINED)
        return [float(str(told["delay_s"])) for told in scene.named("worker.backed_off")]

    waits = play(story())
    assert waits[0] == 0.0
    for wait, least in zip(waits[1:], (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
        assert least <= wait <= least + 0.05


def test_the_delays_are_tenacitys_and_survive_a_huge_streak() -> None:
    """No overflow after ten thousand failures: the wait is the maximum."""
    from tenacity import RetryCallState, Retrying  # noqa: PLC0415

    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = 10_000
    assert delays(Backoff(jitter=0.0))(state) == 30.0


def test_a_stable_life_is_forgiven() -> None:
    """The failure after a stable life is the first of a new streak, so the worker is never quarantined."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CRASH, CRASH, stable(), CRASH, stable(), CRASH, FINE)
        async with Living(keeper):
            await asyncio.sleep(200)
            assert keeper.phase is Phase.READY
        assert [told["streak"] for told in scene.named("worker.backed_off")] == [1, 2, 1, 2, 1, 2]

    play(story())


def test_a_worker_that_is_never_ready_is_never_forgiven() -> None:
    """Long lives that do not get ready count as failures in a row."""

    async def story() -> None:
        keeper = Scene().worker("w", *[Fate(ready_after=None, lives=60.0)] * 3)
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is QUARANTINED)
            assert keeper.streak == 3

    play(story())


def test_a_completed_worker_runs_again_when_started() -> None:
    """A transient worker that is done stays down until an operator wants it."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CLEAN, FINE, policy=TRANSIENT)
        async with Living(keeper):
            await asyncio.sleep(10)
            assert (keeper.phase, keeper.verdict) == (Phase.DOWN, Verdict.DONE)
            keeper.start()
            await asyncio.sleep(1)
            assert (keeper.phase, keeper.verdict) == (Phase.READY, None)

    play(story())


def test_stop_and_start_are_no_failures() -> None:
    """An operator's stop ends a life in an orderly way, and nothing is counted."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w")
        async with Living(keeper):
            await asyncio.sleep(1)
            keeper.stop()
            keeper.stop()
            assert scene.alive == {"w"}
            await keeper.until(lambda it: it.is_down)
            assert scene.alive == set()
            keeper.start()
            keeper.restart()
            await asyncio.sleep(1)
            keeper.restart()
            await asyncio.sleep(1)
            assert (keeper.phase, keeper.streak, keeper.restarts) == (Phase.READY, 0, 2)
        assert all(ending.asked for ending in scene.endings)

    play(story())


def test_restart_while_backing_off_starts_now() -> None:
    """Nobody who asks for a restart waits for a backoff."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CRASH, FINE, policy=policy(backoff=Backoff(first=1000.0, max=1000.0)))
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is Phase.BACKING_OFF)
            await asyncio.sleep(1)
            keeper.restart()
            await asyncio.sleep(1)
            assert (keeper.phase, keeper.streak) == (Phase.READY, 1)

    play(story())


def test_stop_while_backing_off_or_waiting_is_down_at_once() -> None:
    """What has no process is down as soon as it is asked; a start picks it up where it was."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w", CRASH, FINE, policy=policy(backoff=Backoff(first=1000.0, max=1000.0)))
        async with Living(keeper):
            await keeper.until(lambda it: it.phase is Phase.BACKING_OFF)
            keeper.stop()
            assert keeper.is_down
            scene.open.clear()
            keeper.start()
            await asyncio.sleep(5)
            assert (keeper.phase, keeper.streak) == (Phase.WAITING, 1)
            keeper.stop()
            await keeper.until(lambda it: it.is_down)

    play(story())


@pytest.mark.parametrize("at", [0.0, 0.005, 1.0, 5.2])
@pytest.mark.parametrize("times", [1, 5])
def test_a_cancelled_life_is_dead_when_it_returns(at: float, times: int) -> None:
    """During start, run, put down (5.0 to 5.5), however often: cancelled means dead, and no slot is lost."""

    async def story() -> None:
        scene = Scene()
        keeper = scene.worker("w")
        living = Living(keeper)
        await asyncio.sleep(at)
        if at > 5.0:
            keeper.stop()
            await asyncio.sleep(0.2)
        for _ in range(times):
            living.task.cancel()
            await asyncio.sleep(0.05)
        await asyncio.wait([living.task])
        assert scene.alive == set()
        assert scene.slots == 0
        assert keeper.phase is Phase.DOWN

    play(story())


def test_another_spec_takes_over_in_place() -> None:
    """A replaced worker ends its life in an orderly way and begins the next with the new spec and a fresh streak."""

    async def story() -> None:
        from tests.virtual.world import Fake  # noqa: PLC0415

        scene = Scene()
        keeper = scene.worker("w", CRASH, FINE)
        async with Living(keeper):
            await asyncio.sleep(1)
            new = Fake(scene, "w", [])
            keeper.replace(new)
            await asyncio.sleep(1)
            assert (new.living, keeper.streak, keeper.phase) == (1, 0, Phase.READY)

    play(story())


def test_a_hung_worker_that_left_cleanly_when_put_down_has_failed() -> None:
    """The watchdog's ending is a failure, whatever the exit code."""

    async def story() -> None:
        keeper = Scene().worker("w", Fate(code=0, result=Result.WATCHDOG), FINE, policy=TRANSIENT)
        async with Living(keeper):
            await asyncio.sleep(1)
            assert (keeper.phase, keeper.streak) == (Phase.READY, 1)

    play(story())
