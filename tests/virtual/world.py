"""A world of fakes that behave: workers that live by a script, a book that keeps everything, a gate that can be shut."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from supervisor.group import Group, kept
from supervisor.keeper import Keeper
from supervisor.phase import Phase
from supervisor.spec import (
    Backoff,
    ChildSpec,
    Ending,
    GroupSpec,
    Need,
    Policy,
    Quarantine,
    Restart,
    Result,
    Strategy,
    Verdict,
)
from supervisor.world import Child, Memory, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from supervisor.account import Account

FOREVER = 1e9
PLAIN = Policy(stable_after=10.0, backoff=Backoff(jitter=0.0), max_failures=3)


@dataclass(frozen=True)
class Fate:
    """One life of a fake: how long until it is ready (None: it ends before), how long then, and how it ends."""

    code: int | None = 1
    ready_after: float | None = 0.01
    lives: float = 0.0
    result: Result = Result.EXIT_CODE


CRASH = Fate()
CLEAN = Fate(code=0, result=Result.SUCCESS)
FINE = Fate(lives=FOREVER)
NEVER_READY = Fate(ready_after=None, lives=0.01)


def stable(fate: Fate = CRASH) -> Fate:
    """The same, but after a stable life."""
    return Fate(code=fate.code, lives=60.0, result=fate.result)


@dataclass
class Scene:
    """Everything that happened, in order; also Ledger and Gate."""

    story: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[float, str, dict[str, object]]] = field(default_factory=list)
    notes: dict[str, Memory] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    finals: list[tuple[str, Verdict]] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    admitted: list[str] = field(default_factory=list)
    slots: int = 0

    def __post_init__(self) -> None:
        self.open.set()
        self.world = World(ledger=self, gate=self, finished=self._finished)

    def _finished(self, keeper: Account, verdict: Verdict) -> None:
        self.finals.append((keeper.name, verdict))

    def announce(self, event: str, /, **fields: object) -> None:
        self.events.append((asyncio.get_running_loop().time(), event, fields))

    def note(self, keeper: Account) -> None:
        self.notes[keeper.name] = keeper.memory()

    def ended(self, ending: Ending, keeper: Account) -> None:
        self.endings.append(ending)
        self.announce("worker.ended", worker=keeper.name, streak=keeper.streak)

    async def admit(self, child: Child) -> Callable[[], None]:
        await self.open.wait()
        self.admitted.append(child.name)
        if child.kind == "group":
            return lambda: None
        self.slots += 1

        def give_back() -> None:
            self.slots -= 1

        return give_back

    def named(self, event: str) -> list[dict[str, object]]:
        return [fields for _, name, fields in self.events if name == event]

    def worker(self, name: str, *fates: Fate, remembered: Memory | None = None, **how: Any) -> Keeper:
        return Keeper(Fake(self, name, list(fates), **how), self.world, remembered=remembered)

    def group(
        self,
        name: str,
        strategy: Strategy,
        *members: Keeper,
        policy: Policy = PLAIN,
        remembered: Memory | None = None,
    ) -> Keeper:
        spec = GroupSpec(name=name, members=tuple(m.name for m in members), strategy=strategy, policy=policy)
        return kept(Group(spec, members), self.world, remembered=remembered)

    def service(self, *members: Keeper) -> Group:
        return Group(GroupSpec(name="", members=()), members, parallel=True)


class Fake:
    """A worker of no substance; its process is a name in `scene.alive`."""

    kind = "worker"
    members: Sequence[Keeper] = ()

    def __init__(
        self,
        scene: Scene,
        name: str,
        fates: list[Fate],
        *,
        policy: Policy = PLAIN,
        needs: Iterable[str] = (),
        grace: float = 0.5,
    ) -> None:
        self.scene, self.fates, self.grace = scene, fates, grace
        self.spec = ChildSpec(name=name, policy=policy, needs=tuple(Need(name=need) for need in needs))
        self.name, self.policy, self.needs = name, policy, self.spec.needs
        self.living = 0

    async def live(self, observed: Callable[[Phase], None]) -> Ending:
        assert not self.living, f"two lives of {self.name}"
        self.living += 1
        adopted = self.name in self.scene.alive
        self.scene.story.append(("adopted" if adopted else "spawned", self.name))
        self.scene.alive.add(self.name)
        fate = self.fates.pop(0) if self.fates else FINE
        began, self.ready_at = _now(), None
        try:
            try:
                await self._live(fate, observed)
                return self._ending(fate, began)
            except asyncio.CancelledError:
                observed(Phase.STOPPING)
                await self._grace()
                return self._ending(None, began)
        finally:
            self.living -= 1
            self.scene.alive.discard(self.name)
            self.scene.story.append(("reaped", self.name))

    async def _live(self, fate: Fate, observed: Callable[[Phase], None]) -> None:
        observed(Phase.STARTING)
        if fate.ready_after is not None:
            await asyncio.sleep(fate.ready_after)
            self.ready_at = _now()
            self.scene.story.append(("ready", self.name))
            observed(Phase.READY)
        await asyncio.sleep(fate.lives)

    async def _grace(self) -> None:
        over = asyncio.create_task(asyncio.sleep(self.grace))
        while not over.done():
            try:
                await asyncio.wait([over])
            except asyncio.CancelledError:  # being cancelled again does not make it die sooner
                continue

    def _ending(self, fate: Fate | None, began: float) -> Ending:
        return Ending(
            worker=self.name,
            spawn_id=f"{self.name}#",
            result=fate.result if fate else Result.SIGNAL,
            exit_code=fate.code if fate else None,
            signal=None if fate else "SIGTERM",
            asked=fate is None,
            was_ready=self.ready_at is not None,
            uptime_s=_now() - began,
            ready_s=0.0 if self.ready_at is None else _now() - self.ready_at,
            ended_at=_now(),
        )

    ready_at: float | None = None


class Living:
    """A keeper (or a service) that runs for the length of a block, and is put down at its end."""

    def __init__(self, what: Keeper | Group) -> None:
        from supervisor.keeper import Keep  # noqa: PLC0415

        self.settled = asyncio.Event()
        if isinstance(what, Keeper):
            run: Any = Keep(what, [what]).run(self.settled.set)
        else:
            run = what.live(lambda phase: self.settled.set() if phase is Phase.READY else None)
        self.task: asyncio.Task[Any] = asyncio.create_task(run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.result()


def policy(**changes: Any) -> Policy:
    """PLAIN, changed."""
    fields = {name: getattr(PLAIN, name) for name in PLAIN.__struct_fields__}
    if isinstance(wish := changes.get("on_quarantine"), str):
        changes["on_quarantine"] = Quarantine(action=wish, probation=100.0 if wish == "probation" else None)
    return Policy(**{**fields, **changes})


TRANSIENT = policy(restart=Restart.TRANSIENT)


def _now() -> float:
    return asyncio.get_running_loop().time()
