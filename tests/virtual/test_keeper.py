"""Keepers in virtual time: one worker, its lives, its streak."""

from __future__ import annotations

import asyncio

import pytest

from supervisor.keeper import Keep, delays
from supervisor.phase import Phase, Want
from supervisor.spec import Backoff, Result, Verdict
from supervisor.world import GivenUp, Memory
from tests.virtual.clock import play
from tests.virtual.world import CLEAN, CRASH, FINE, NEVER_READY, TRANSIENT, Fate, Living, Scene, policy, stable

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
