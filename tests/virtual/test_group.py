"""Groups in virtual time: who else restarts, in which order, and who pays."""

from __future__ import annotations

import asyncio

import pytest

from supervisor.group import Group
from supervisor.phase import Phase, Want
from supervisor.spec import Ending, Strategy, Verdict
from supervisor.world import Memory
from tests.virtual.clock import play
from tests.virtual.world import (
    CLEAN,
    CRASH,
    FINE,
    TRANSIENT,
    Fate,
    Living,
    Scene,
    policy,
)

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
LATER = Fate(lives=5.0)


@pytest.mark.parametrize("strategy", Strategy)
def test_members_start_in_order_and_stop_in_reverse(strategy: Strategy) -> None:
    """Each starts when the one before is ready; each is dead before the one before it is asked to stop."""

    async def story() -> None:
        scene = Scene()
        group = scene.group("g", strategy, *map(scene.worker, "abc"))
        async with Living(group) as living:
            await living.settled.wait()
            assert group.phase is Phase.READY
        up = [(what, name) for name in "abc" for what in ("spawned", "ready")]
        assert scene.story == [*up, *(("reaped", name) for name in "cba")]
        assert scene.notes["g"].phase is Phase.DOWN

    play(story())


@pytest.mark.parametrize(("strategy", "restarted"), [(ONE, "b"), (ALL, "abc"), (REST, "bc")])
def test_who_else_restarts_is_the_strategy(strategy: Strategy, restarted: str) -> None:
    """OTP's table; only the one that failed is charged."""

    async def story() -> None:
        scene = Scene()
        a, b, c = scene.worker("a"), scene.worker("b", LATER, FINE), scene.worker("c")
        async with Living(scene.group("g", strategy, a, b, c)):
            await asyncio.sleep(20)
            assert "".join(k.name for k in (a, b, c) if k.restarts) == restarted
            assert (a.streak, b.streak, c.streak) == (0, 1, 0)
            assert scene.alive == set("abc")

    play(story())


@pytest.mark.parametrize(("strategy", "held"), [(ONE, ""), (ALL, "ac"), (REST, "c")])
def test_a_quarantined_member_holds_down_whom_it_would_restart(strategy: Strategy, held: str) -> None:
    """The others wait until it is released (or stopped: then it is as settled as can be)."""

    async def story(verb: str) -> None:
        scene = Scene()
        a, b, c = scene.worker("a"), scene.worker("b", LATER, LATER, LATER, FINE), scene.worker("c")
        async with Living(scene.group("g", strategy, a, b, c)):
            await asyncio.sleep(1000)
            assert b.phase is Phase.QUARANTINED
            assert "".join(k.name for k in (a, b, c) if k.phase is Phase.WAITING) == held
            getattr(b, verb)()
            await asyncio.sleep(10)
            assert scene.alive == {"release": set("abc"), "stop": set("ac")}[verb]

    play(story("release"))
    play(story("stop"))


def test_a_member_that_escalates_is_one_failure_of_the_group() -> None:
    """The group is put down and begins a new life; its members have fresh streaks, its own streak counts one."""

    async def story() -> None:
        scene = Scene()
        bad = scene.worker("bad", *[CRASH] * 4, FINE, policy=policy(on_quarantine="escalate"))
        good = scene.worker("good")
        group = scene.group("g", ONE, good, bad)
        async with Living(group):
            await asyncio.sleep(20)
            assert (group.phase, group.streak, group.restarts) == (Phase.READY, 1, 1)
            assert (bad.streak, good.streak, good.restarts) == (1, 0, 1)
        assert "bad gave up" in str(scene.named("group.failed")[0]["why"])

    play(story())


def test_a_group_gives_up_to_the_group_above_and_so_to_the_service() -> None:
    """Budgets multiply: 3 failures of the worker x 3 of the inner x 3 of the outer group, then the service ends."""

    async def story() -> None:
        scene = Scene()
        up = policy(on_quarantine="escalate")
        bad = scene.worker("bad", *[CRASH] * 99, policy=up)
        other = scene.worker("other")
        outer = scene.group("outer", ALL, scene.group("inner", REST, bad, policy=up), other, policy=up)
        ending = await asyncio.wait_for(scene.service(outer, scene.worker("free")).live(lambda _: None), 1e6)
        assert not ending.asked
        assert "group outer gave up" in str(ending.why)
        assert sum(ending.worker == "bad" for ending in scene.endings) == 27
        assert scene.alive == set()

    play(story())


def test_a_looping_member_cannot_have_its_group_forgiven() -> None:
    """A streak that takes longer than stable_after to end does not make the group stable meanwhile."""

    async def story() -> None:
        scene = Scene()
        slow = Fate(lives=9.0)
        bad = scene.worker("bad", *[slow] * 99, policy=policy(on_quarantine="escalate"))
        group = scene.group("g", ONE, bad)
        async with Living(group):
            await asyncio.sleep(1000)
            assert (group.phase, group.streak) == (Phase.QUARANTINED, 3)
            group.release()
            await asyncio.sleep(5)
            assert group.phase is Phase.READY

    play(story())


def test_a_group_is_done_when_all_its_members_are() -> None:
    """Cleanly only if every one of them ended cleanly; starting one of them revives it."""

    async def story(second: Fate, verdict: Verdict) -> None:
        from supervisor.spec import Restart  # noqa: PLC0415

        scene = Scene()
        temporary = policy(restart=Restart.TEMPORARY)
        one, two = scene.worker("a", CLEAN, policy=TRANSIENT), scene.worker("b", second, policy=temporary)
        group = scene.group("g", ONE, one, two, policy=policy(significant=True))
        async with Living(group):
            await asyncio.sleep(1)
            assert scene.finals == [("g", verdict)]
            assert {group.verdict} == {verdict}
            one.start()
            await asyncio.sleep(1)
            revived: Verdict | None = group.verdict
            assert (revived, one.phase) == (None, Phase.READY)

    play(story(CLEAN, Verdict.DONE))
    play(story(CRASH, Verdict.FAILED))


def test_stopping_a_group_stops_its_members_and_starting_it_starts_them() -> None:
    """A wish about the group is no wish about its members: who was stopped by wish stays stopped."""

    async def story() -> None:
        scene = Scene()
        a, b = scene.worker("a"), scene.worker("b")
        group = scene.group("g", ALL, a, b)
        async with Living(group):
            await asyncio.sleep(1)
            a.stop()
            await a.until(lambda it: it.is_down)
            assert b.restarts == 0
            group.stop()
            await group.until(lambda it: it.is_down)
            assert scene.alive == set()
            group.start()
            await asyncio.sleep(1)
            assert scene.alive == {"b"}

    play(story())


@pytest.mark.parametrize("strategy", Strategy)
def test_members_come_and_go_without_their_siblings_noticing(strategy: Strategy) -> None:
    """grow and shrink touch one member; only a living chain takes a new link in with its next life."""

    async def story() -> None:
        scene = Scene()
        a, b, c = map(scene.worker, "abc")
        keeper = scene.group("g", strategy, a, b)
        group = keeper.child
        assert isinstance(group, Group)
        async with Living(keeper):
            await asyncio.sleep(1)
            assert group.grow(c, 1) is (strategy is not REST)
            await asyncio.sleep(1)
            if strategy is REST:
                keeper.restart()
                await asyncio.sleep(5)
            assert scene.alive == set("abc")
            restarts = b.restarts
            await group.shrink(a)
            assert (scene.alive, b.restarts, [m.name for m in group.members]) == (set("bc"), restarts, ["c", "b"])
        assert scene.alive == set()

    play(story())


def test_the_service_starts_abreast_and_stops_by_needs() -> None:
    """Nobody waits for a stranger's start or stop, but what is needed outlives who needs it."""

    async def story() -> None:
        scene = Scene()
        slow = scene.worker("slow", Fate(ready_after=50.0))
        feed, reader = scene.worker("feed"), scene.worker("reader", needs=["feed"])
        async with Living(scene.service(slow, feed, reader)):
            await asyncio.sleep(1)
            assert scene.alive == {"slow", "feed", "reader"}
            assert reader.phase is Phase.READY
        reaped = [name for what, name in scene.story if what == "reaped"]
        assert reaped.index("reader") < reaped.index("feed")

    play(story())


def test_what_runs_is_adopted_before_anybody_waits_for_his_turn() -> None:
    """A new supervisor adopts the last member at once, though the first one backs off for a long time yet."""

    async def story() -> None:
        scene = Scene(alive={"b"})
        away = Memory(phase=Phase.BACKING_OFF, streak=1, due_at=1500.0)
        a, b = scene.worker("a", remembered=away), scene.worker("b", remembered=Memory(phase=Phase.READY))
        async with Living(scene.group("g", ONE, a, b, remembered=Memory(phase=Phase.READY))):
            await asyncio.sleep(1)
            assert scene.story == [("adopted", "b"), ("ready", "b")]

    play(story())


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_a_collective_restart_is_carried_on(strategy: Strategy) -> None:
    """The supervisor died after the failure and before all others were down: the next puts them down, then starts."""

    async def story() -> None:
        scene = Scene(alive={"b"})
        a = scene.worker("a", remembered=Memory(phase=Phase.BACKING_OFF, streak=1))
        b = scene.worker("b", remembered=Memory(phase=Phase.READY))
        async with Living(scene.group("g", strategy, a, b, remembered=Memory(phase=Phase.READY))):
            await asyncio.sleep(5)
            assert scene.story[:3] == [("adopted", "b"), ("reaped", "b"), ("spawned", "a")]
            assert (scene.alive, a.streak, b.streak) == ({"a", "b"}, 1, 0)

    play(story())


@pytest.mark.parametrize(("want", "alive"), [(Want.UP, {"a", "b"}), (Want.DOWN, set[str]())])
def test_a_group_found_stopping_is_put_down_first(want: Want, alive: set[str]) -> None:
    """It was stopped or restarted when the supervisor died: that is finished before anything else."""

    async def story() -> None:
        scene = Scene(alive={"a"})
        a, b = scene.worker("a", remembered=Memory(phase=Phase.READY)), scene.worker("b")
        stopping = Memory(phase=Phase.STOPPING, want=want)
        async with Living(scene.group("g", ALL, a, b, remembered=stopping)):
            await asyncio.sleep(5)
            assert scene.story[:2] == [("adopted", "a"), ("reaped", "a")]
            assert scene.alive == alive

    play(story())


def test_an_orderly_end_of_the_service_is_asked_for() -> None:
    """However often it is cancelled, the service returns an ending that says so, and nothing is alive."""

    async def story() -> None:
        scene = Scene()
        inner = scene.group("g", REST, *map(scene.worker, "abc"))
        service = asyncio.create_task(scene.service(inner).live(lambda _: None))
        await asyncio.sleep(1)
        service.cancel()
        await asyncio.sleep(0.7)
        assert scene.alive == {"a", "b"}
        service.cancel()
        await asyncio.wait([service])
        assert service.cancelled() or isinstance(service.result(), Ending)
        assert scene.alive == set()

    play(story())
