"""What an operator wishes of several workers at once, in virtual time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from supervisor.wishes import Wishes
from tests.virtual.clock import play
from tests.virtual.world import FINE, Fate, Living, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervisor.keeper import Keeper
    from supervisor.roster import Roster


async def as_it_is(_meant: Iterable[Keeper]) -> None:
    """No template to renew."""


def test_a_start_waits_for_what_is_restarted_meanwhile() -> None:
    """Ready when it was asked, and on its way down when the last of the others is ready: that is no failed start."""

    async def story() -> None:
        scene = Scene()
        quick, slow = scene.worker("quick", FINE, FINE), scene.worker("slow", Fate(ready_after=5.0, lives=100.0))
        roster = SimpleNamespace(
            keepers={"quick": quick, "slow": slow}, config=SimpleNamespace(workers={}, groups={}), homes=None
        )
        async with Living(quick), Living(slow):
            asked = asyncio.create_task(Wishes(cast("Roster", roster), as_it_is).start(["quick", "slow"], wait=True))
            await asyncio.sleep(4.8)
            quick.restart()
            answer = await asked
            assert answer["phases"] == {"quick": "ready", "slow": "ready"}
            assert quick.restarts == 1

    play(story())
