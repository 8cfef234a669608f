"""Who may start now: needs first, then a bound on how many start at once.

Starting is as parallel as needs allow, so that a service is up quickly; the bound keeps a machine from being stampeded
after boot. Workers that have lived before have a lane of their own: a crash does not queue behind a slow boot.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from supervisor.phase import Phase
from supervisor.spec import Until, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.keeper import Keeper
    from supervisor.spec import Need
    from supervisor.world import Child

STARTED = frozenset({Phase.STARTING, Phase.READY, Phase.STOPPING})


class Gate:
    """`homes(name)` are the keepers a need of that name waits for: a worker's replicas, or a group's own."""

    def __init__(self, homes: Callable[[str], list[Keeper]], starting_at_once: int) -> None:
        self._homes = homes
        self._starting_at_once = 0
        self.resize(starting_at_once)
        self._changed: dict[str, set[asyncio.Event]] = {}  # name of what is needed -> who waits for it
        self._lived: set[str] = set()
        self._open = True

    def note(self, name: str) -> None:
        """Something changed about the worker or group of this name: whoever waits for it looks again."""
        for event in self._changed.get(name, ()):
            event.set()

    async def admit(self, child: Child) -> Callable[[], None]:
        """Wait for its needs, then for its turn; see world.Gate."""
        if not self._open:
            await asyncio.get_running_loop().create_future()  # until it is cancelled
        while unmet := [need for need in child.needs if not self.is_met(need)]:  # all of them, at one moment
            await self._met(unmet[0])
        if child.kind != "worker":
            return lambda: None
        lane = self._lanes[child.name not in self._lived]
        await lane.acquire()
        self._lived.add(child.name)
        return lane.release

    def close(self) -> None:
        """Nobody starts any more."""
        self._open = False

    def resize(self, starting_at_once: int) -> None:
        """Another bound, for all who ask from now on."""
        if starting_at_once != self._starting_at_once:
            self._starting_at_once = starting_at_once
            self._lanes = {first: asyncio.Semaphore(starting_at_once) for first in (True, False)}

    async def _met(self, need: Need) -> None:
        changed = asyncio.Event()
        waiting = self._changed.setdefault(need.name, set())
        waiting.add(changed)
        try:
            while not self.is_met(need):
                changed.clear()
                await changed.wait()
        finally:
            waiting.discard(changed)
            if not waiting:
                self._changed.pop(need.name, None)

    def is_met(self, need: Need) -> bool:
        """Whether everything of that name has got so far."""
        keepers = self._homes(need.name)
        return bool(keepers) and all(_has_got(keeper, need.until) for keeper in keepers)


def _has_got(keeper: Keeper, until: Until) -> bool:
    if keeper.verdict is Verdict.DONE:
        return True  # it was ready, or it completed, which is more
    match until:
        case Until.STARTED:
            return keeper.phase in STARTED
        case Until.READY:
            return keeper.phase is Phase.READY
        case Until.COMPLETED:
            return False
