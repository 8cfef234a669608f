"""What a keeper asks of the rest of the world, and what it leaves to the next supervisor.

The algebra (keeper.py, group.py) is written against these protocols, so that it can be run in virtual time with fakes
that behave. Beside them stands what lets a cancelled coroutine keep its promises: `put_down` and `finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from supervisor.phase import Phase, Want
from supervisor.spec import ChildSpec, Ending, GroupSpec, Need, Noun, Policy, Verdict

if TYPE_CHECKING:
    from supervisor.account import Account
    from supervisor.keeper import Keeper

Settled = Callable[[], None]
"""Called when whoever starts after this one may start: it is ready, done, quarantined or stopped by wish."""


class Life(Protocol):
    """Something that lives: one member, one member kept, or many of them together."""

    @property
    def members(self) -> Sequence[Keeper]:
        """Whose life it is, in start order."""

    async def run(self, settled: Settled) -> None:
        """Live; never returns. Raises Failed or GivenUp; when it ends, even by cancellation, all in it are dead."""


class Child(Protocol):
    """What is kept: a worker (life.py) or a group (group.py)."""

    @property
    def name(self) -> str:
        """Unique among workers and groups."""

    @property
    def kind(self) -> str:
        """`worker` or `group`: the first word of its events."""

    @property
    def spec(self) -> ChildSpec | GroupSpec:
        """What it was made from; its name may be that of several replicas."""

    @property
    def policy(self) -> Policy:
        """How it is kept."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it waits for before it starts."""

    @property
    def members(self) -> Sequence[Keeper]:
        """A group's members in start order; a worker has none."""

    async def live(self, observed: Callable[[Phase], None]) -> Ending:
        """One life, from spawn to reaped and swept; calls observed(STARTING | READY | STOPPING) as it sees it.

        If the process runs already (the supervisor is a new one) it is adopted. When cancelled, the process is put
        down first (this may take `grace`); then the ending is returned (asked=True), or CancelledError raised if
        there never was a process. Not READY after STOPPING.
        """


class Ledger(Protocol):
    """The book. Everything between two awaits is one atomic commit."""

    def announce(self, event: str, /, **fields: object) -> None:
        """Log an event of the table in events.py."""

    def note(self, keeper: Account) -> None:
        """Write down keeper.memory(); called after every change of it."""

    def ended(self, ending: Ending, keeper: Account) -> None:
        """Announce worker.ended, acknowledge the exit; the streak is counted already, the phase moves next."""


class Gate(Protocol):
    """The rest of the world: needs, and the bound on how many start at once."""

    async def admit(self, child: Child) -> Callable[[], None]:
        """Wait for the child's needs, then (workers only: a group would starve its members) for a starting slot.

        Returns what gives the slot back; it is called exactly once, when the child is ready or has ended.
        When cancelled, nothing is taken.
        """


@dataclass(frozen=True, slots=True)
class World:
    """What every keeper of a service shares."""

    ledger: Ledger
    gate: Gate
    finished: Callable[[Account, Verdict], None]
    """A significant member ended for good, or one with on_quarantine = exit gave up. May be told more than once."""


class Failed(Exception):
    """A member's life ended in a way that asks for another; charged to the culprit alone."""

    def __init__(self, culprit: Keeper) -> None:
        super().__init__(f"{culprit.name} failed")
        self.culprit = culprit


class GivenUp(Exception):
    """A member escalated: a failure of the group above."""

    def __init__(self, culprit: Keeper) -> None:
        super().__init__(f"{culprit.kind} {culprit.name} gave up after {culprit.streak} failures in a row")
        self.culprit = culprit


class Memory(Noun, frozen=True):
    """What the next supervisor must know of a keeper; stamps are CLOCK_MONOTONIC seconds."""

    want: Want = Want.UP
    phase: Phase = Phase.DOWN
    streak: int = 0
    restarts: int = 0
    verdict: Verdict | None = None
    last_ending: Ending | None = None
    due_at: float | None = None  # when the backoff or the probation is over
    failing_since: float | None = None  # the first failure of the streak
    failed_at: float | None = None  # the last failure, until the recovery


async def finish(task: asyncio.Task[Any]) -> None:
    """Wait until the task has ended, however often we are cancelled meanwhile; then be cancelled, if we were.

    Its outcome is the caller's to look at.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def put_down(task: asyncio.Task[Any], why: str = "") -> None:
    """Cancel a task, which may read in its CancelledError why, and `finish` it."""
    cancel_soon(task, why)
    await finish(task)


def cancel_soon(task: asyncio.Task[Any], why: str = "") -> None:
    """Cancel a task after it had its first step, and only once."""
    # A task that is cancelled before its first step never takes it, and what it was to adopt would live on.
    # A second cancellation could cut the first one's putting down short.
    task.get_loop().call_soon(lambda: task.cancelling() or task.cancel(why))


def now() -> float:
    """Seconds on the loop's clock: CLOCK_MONOTONIC, unless the world is virtual."""
    return asyncio.get_running_loop().time()
