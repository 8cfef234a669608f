"""Random trees, random scripts of endings, random wishes: what must hold whatever happens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.group import everyone
from supervisor.phase import Phase
from supervisor.spec import Restart, Strategy
from tests.virtual.clock import play
from tests.virtual.world import CLEAN, CRASH, FINE, NEVER_READY, Fate, Scene, policy, stable

if TYPE_CHECKING:
    from supervisor.keeper import Keeper

FATES = st.sampled_from([CRASH, CLEAN, FINE, NEVER_READY, stable(), Fate(lives=3.0), Fate(code=78, lives=1.0)])
POLICIES = st.builds(
    lambda restart, wish, failures: policy(
        restart=restart, on_quarantine=wish, max_failures=failures, never_restart=(78,)
    ),
    st.sampled_from(Restart),
    st.sampled_from(["stay", "stay", "probation", "exit", "escalate"]),
    st.integers(1, 3),
)


@dataclass(frozen=True)
class Leaf:
    fates: tuple[Fate, ...]
    policy: Any


@dataclass(frozen=True)
class Branch:
    strategy: Strategy
    members: tuple[Any, ...]
    policy: Any


LEAVES = st.builds(Leaf, st.lists(FATES, max_size=6).map(tuple), POLICIES)


def branches(depth: int) -> st.SearchStrategy[Branch]:
    below = st.one_of(LEAVES, LEAVES, branches(depth - 1)) if depth > 1 else LEAVES
    return st.builds(
        Branch, st.sampled_from(Strategy), st.lists(below, min_size=1, max_size=3).map(tuple), POLICIES
    )


WISHES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.005, 0.01, 0.3, 2.0, 40.0]),
        st.sampled_from(["start", "stop", "restart", "release"]),
        st.integers(0, 30),
    ),
    max_size=8,
)


class Watched(Scene):
    """A scene that checks, at every spawn and every end, what must hold."""

    top: tuple[Keeper, ...] = ()

    def plant(self, shape: Leaf | Branch, name: str) -> Keeper:
        if isinstance(shape, Leaf):
            return self.worker(name, *shape.fates, policy=shape.policy)
        members = [self.plant(below, f"{name}{index}") for index, below in enumerate(shape.members)]
        return self.group(name, shape.strategy, *members, policy=shape.policy)

    def announce(self, event: str, /, **fields: object) -> None:
        super().announce(event, **fields)
        if event == "worker.recovered":
            assert float(str(fields["recovery_s"])) >= 0

    def ended(self, ending: Any, keeper: Any) -> None:
        before = self.notes.get(keeper.name)
        if ending.asked and before is not None:
            assert keeper.streak in {0, before.streak}, "an asked ending was charged"
        super().ended(ending, keeper)


def starts_in_order(scene: Scene, group: Any) -> None:
    """At the moment of a member's first life, all before it had been settled: they have a past."""
    firsts = [
        min((at for at, (what, name) in enumerate(scene.story) if what == "spawned" and name in names), default=None)
        for names in ([each.name for each in everyone([member])] for member in group.members)
    ]
    seen = [first for first in firsts if first is not None]
    assert seen == sorted(seen)


@settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(st.one_of(branches(3), LEAVES), min_size=1, max_size=3), WISHES)
def test_whatever_happens(shapes: list[Leaf | Branch], wishes: list[tuple[float, str, int]]) -> None:
    """No illegal move, never two lives of one, in order up and in reverse down, no stranger charged, every stop ends."""

    async def story() -> None:
        scene = Watched()
        top = [scene.plant(shape, "abc"[index]) for index, shape in enumerate(shapes)]
        service = scene.service(*top)
        keepers = list(everyone(top))
        life = asyncio.create_task(service.live(lambda _: None))
        for after, verb, number in wishes:
            await asyncio.sleep(after)
            if not life.done():
                getattr(keepers[number % len(keepers)], verb)()
        await asyncio.wait([life], timeout=500)
        for keeper in keepers if not wishes else ():
            if keeper.kind == "group":
                starts_in_order(scene, keeper.child)
        await end_in_order(scene, life, keepers)

    play(story())


async def end_in_order(scene: Scene, life: asyncio.Task[Any], keepers: list[Keeper]) -> None:
    """Put the service down: it ends, everybody is dead, and within a group the later ones were dead first."""
    began = len(scene.story)
    life.cancel()
    await asyncio.wait([life])
    life.cancelled() or life.result()
    assert scene.alive == set()
    assert scene.slots == 0
    reaped = [name for what, name in scene.story[began:] if what == "reaped"]
    for group in keepers:
        rank = {
            each.name: index
            for index, member in enumerate(group.child.members)
            for each in everyone([member])
        }
        order = [rank[name] for name in reaped if name in rank]
        assert order == sorted(order, reverse=True)
    assert {keeper.phase for keeper in keepers} <= {Phase.DOWN, Phase.QUARANTINED}
