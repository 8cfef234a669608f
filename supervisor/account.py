"""The account of one member: what is wanted of it, where it is, and how often it failed in a row.

A phase changes through `_move` only, when something was seen. What an operator wishes is `want`, and stays inside:
a wish is never a failure, never counts, never touches a sibling, and never waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from supervisor.phase import RUNNING, Phase, Want, move
from supervisor.policy import Judgement, judge
from supervisor.spec import Verdict
from supervisor.world import Memory, cancel_soon, now

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.spec import Ending, Policy
    from supervisor.world import Child, World


class Account:
    """One worker's or group's: what operators and `status` deal with."""

    def __init__(self, child: Child, world: World, *, remembered: Memory | None = None) -> None:
        memory = remembered or Memory()
        self.child = child
        self.name = child.name
        self.kind = child.kind
        self.want = memory.want
        self.phase = memory.phase
        self.streak = memory.streak
        self.restarts = memory.restarts
        self.verdict = memory.verdict
        self.last_ending = memory.last_ending
        self.due_at = memory.due_at
        self.failing_since = memory.failing_since
        self.above: Account | None = None  # the group's, set by the group
        self._failed_at = memory.failed_at
        self._adopts = memory.phase in RUNNING
        self._is_outdated = False  # what it adopts is to be replaced, as soon as it is adopted
        self._world = world
        self._life: asyncio.Task[Ending] | None = None
        self._sitting = False
        self._turn = asyncio.Event()  # an operator changed something
        self._watchers: set[asyncio.Event] = set()

    def __repr__(self) -> str:
        return f"<Keeper of {self.kind} {self.name}: {self.phase}, wanted {self.want}, streak {self.streak}>"

    @property
    def policy(self) -> Policy:
        """The child's policy."""
        return self.child.policy

    @property
    def adopting(self) -> bool:
        """Whether it runs already, started by an earlier supervisor, and waits to be adopted."""
        return self._adopts

    @property
    def life(self) -> object:
        """Something that is another one in its next life; None between two."""
        return self._life

    @property
    def settled(self) -> bool:
        """Whether those that start after it may start."""
        return self.verdict is not None or self.phase in {Phase.READY, Phase.QUARANTINED} or self.is_down

    @property
    def is_down(self) -> bool:
        """Whether it is stopped by wish, and dead."""
        return self.want is Want.DOWN and self.phase is Phase.DOWN

    def memory(self) -> Memory:
        """What the next supervisor must know."""
        return Memory(
            want=self.want,
            phase=self.phase,
            streak=self.streak,
            restarts=self.restarts,
            verdict=self.verdict,
            last_ending=self.last_ending,
            due_at=self.due_at,
            failing_since=self.failing_since,
            failed_at=self._failed_at,
        )

    async def until(self, condition: Callable[[Account], bool]) -> None:
        """Wait until the condition holds of this keeper."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            while not condition(self):
                changed.clear()
                await changed.wait()
        finally:
            self._watchers.discard(changed)

    # What an operator may wish. No wish is a failure, none touches a sibling, and all return at once.

    def start(self) -> None:
        """Want it up; a completed one runs again, a quarantined one is released."""
        self.want = Want.UP
        self.release()
        self.revive()

    def stop(self) -> None:
        """Want it down; `await keeper.until(lambda k: k.is_down)` to see it dead."""
        self.want, self._failed_at = Want.DOWN, None
        if self.phase in {Phase.BACKING_OFF, Phase.QUARANTINED} or (
            self.phase is Phase.WAITING and self._life is None
        ):
            self.due_at = None
            self._move(Phase.DOWN)
        self._note()
        self._interrupt()

    def restart(self) -> None:
        """A new life: for a running one after an orderly end, for one that backs off without further waiting."""
        if self.want is Want.DOWN or self.verdict is not None or self.phase is Phase.QUARANTINED:
            self.start()
        elif self.phase is Phase.BACKING_OFF and self.due_at is not None:
            self.due_at = now()
            self._turn.set()
        elif self.phase in {Phase.STARTING, Phase.READY}:
            self._is_outdated = self._adopts
            self._interrupt()

    def release(self) -> None:
        """Out of quarantine, with a fresh streak; nothing if it is in none (if stopped while in it, it still is)."""
        stopped_in_it = self.phase is Phase.DOWN and self.streak >= self.policy.max_failures
        if self.phase is Phase.QUARANTINED or stopped_in_it:
            self.streak = 0
            self._leave_quarantine("asked")

    def replace(self, child: Child) -> None:
        """Another spec of the same name: from the next life on, which begins now if it is wanted up."""
        self.child = child
        if self.want is Want.UP:
            self.restart()
        self.streak, self.verdict = 0, None
        if self.phase is Phase.WAITING:
            self._interrupt()  # the new one may need something else
        self._note()
        self._turn.set()

    def revive(self) -> None:
        """Not done after all: it, or one of its members, is to run again."""
        self.verdict = None
        self._note()
        self._turn.set()
        if self.above is not None:
            self.above.revive()

    # What is seen, counted and told.

    def conclude(self, verdict: Verdict) -> None:
        """It ended for good (until somebody starts it again)."""
        self.verdict = verdict
        if verdict is Verdict.DONE and self.kind == "worker":
            self._announce("completed", restarts=self.restarts)
        self._note()
        if self.above is not None:
            self.above.consider()

    def consider(self) -> None:
        """A group ends for good with the last of its members: cleanly only if all of them did."""
        verdicts = {member.verdict for member in self.child.members}
        if None not in verdicts and self.verdict is None:
            self.conclude(Verdict.DONE if verdicts == {Verdict.DONE} else Verdict.FAILED)
            self.tell()

    def owes_answer(self) -> bool:
        """Whether its last failure was counted, but is neither waited for nor given up on."""
        return self.phase is Phase.BACKING_OFF and self.due_at is None

    def is_hopeless(self) -> bool:
        """Whether its last life ended in a way that restarting does not help."""
        ending = self.last_ending
        return ending is not None and judge(self.policy, ending, stable=False) is Judgement.QUARANTINE

    def back_off(self, delay: float) -> None:
        """The next life comes after `delay` seconds (unless an operator settled the matter meanwhile)."""
        if not self.owes_answer():
            return
        self.due_at = now() + delay
        if self.kind == "group":
            self._announce("failed", why=self._why(), streak=self.streak, delay_s=delay)
        else:
            self._announce(
                "backed_off",
                delay_s=delay,
                streak=self.streak,
                failures_left=self.policy.max_failures - self.streak,
            )
        self._note()

    def quarantine(self) -> None:
        """No next life until it is released, or its probation comes (unless an operator settled the matter)."""
        if not self.owes_answer():
            return
        wish = self.policy.on_quarantine
        self._move(Phase.QUARANTINED)
        self.due_at = None if wish.probation is None else now() + wish.probation
        self._announce(
            "quarantined", streak=self.streak, action=wish.action, why=self._why(), probation_s=wish.probation
        )
        # A significant one that waits for release would leave a service without what it is for.
        if wish.action == "exit" or (wish.action == "stay" and self.policy.significant):
            self.conclude(Verdict.GIVEN_UP)
        self._note()

    def hold(self) -> None:
        """Its turn will come: it waits for the others of its group."""
        if self.phase is Phase.DOWN and self.want is Want.UP and self.verdict is None:
            self._move(Phase.WAITING)

    def renew(self) -> None:
        """Its group begins a new life, so what made it escalate is over and done with."""
        if self.phase is Phase.QUARANTINED and self.policy.on_quarantine.action == "escalate":
            self.streak = 0
            self._move(Phase.WAITING)

    def lower(self) -> None:
        """Its group is down, and so is it."""
        if self.phase in {Phase.WAITING, Phase.BACKING_OFF}:
            self.due_at = None
            self._move(Phase.DOWN)

    def _move(self, phase: Phase) -> None:
        self.phase = move(self.name, self.phase, phase)
        self._note()

    def _note(self) -> None:
        self._world.ledger.note(self)
        for changed in self._watchers:
            changed.set()

    def _announce(self, what: str, **fields: object) -> None:
        self._world.ledger.announce(f"{self.kind}.{what}", **{self.kind: self.name}, **fields)

    def _leave_quarantine(self, reason: str) -> None:
        self.due_at, self.verdict = None, None
        self._announce("released", reason=reason)
        if self.phase is Phase.QUARANTINED:
            self._move(Phase.WAITING if self._sitting else Phase.DOWN)
        self._turn.set()

    def _interrupt(self) -> None:
        self._turn.set()
        if self._life is not None:
            cancel_soon(self._life)

    def tell(self) -> None:
        """Let the service know of an ending for good that matters to it; more than once does no harm."""
        if self.verdict is Verdict.GIVEN_UP or (self.verdict is not None and self.policy.significant):
            self._world.finished(self, self.verdict)

    def _why(self) -> str:
        ending = self.last_ending
        if ending is None:
            return ""
        return ending.why or f"{ending.result} {ending.signal or ending.exit_code or ''}".rstrip()

    def _recovered(self) -> None:
        if self._failed_at is not None and self.last_ending is not None and self.kind == "worker":
            self._announce(
                "recovered",
                recovery_s=now() - self._failed_at,
                detect_s=self.last_ending.detect_s,
                streak=self.streak,
            )
        if self._failed_at is not None:
            self._failed_at = None
            self._note()  # or the next supervisor would tell of it once more
