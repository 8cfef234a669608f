"""Lives in a row: one life of a member, and the loop that waits, counts and gives up.

The rules kept here:
- tenacity's attempt number *is* the streak of the member that failed. The streak lives in the account, for it must
  outlast a collective restart and the supervisor itself.
- Only `Failed`, by name, is retried: a negated predicate would retry cancellation too.
- When a coroutine of this file ends, for whatever reason and however often it was cancelled, its processes are
  dead.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_random,
)

from supervisor.account import Account
from supervisor.phase import Phase, Want
from supervisor.policy import Judgement, is_stable, judge
from supervisor.spec import Verdict
from supervisor.world import Failed, GivenUp, now, put_down

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenacity.wait import wait_base

    from supervisor.spec import Backoff, Ending
    from supervisor.world import Life, Settled


class Keeper(Account):
    """One member and its account. As a life it is this member's alone, unkept."""

    @property
    def members(self) -> Sequence[Keeper]:
        """As a life: itself."""
        return (self,)

    async def run(self, settled: Settled) -> None:
        """Live while wanted; never returns. Raises Failed; when cancelled, the process is dead first."""
        while True:
            if self._adopts and self._was_stopping_group():
                await self.abandon()
            elif self._adopts or (self.want is Want.UP and self.verdict is None):
                await self._live_once(settled)
            else:
                self.tell()
                settled()
                await self._wait_turn(None)

    async def _live_once(self, settled: Settled) -> None:
        adopted, self._adopts = self._adopts, False
        if self.phase is Phase.DOWN:
            self._move(Phase.WAITING)
        life = self._life = asyncio.create_task(self._live(settled, adopted=adopted), name=self.name)
        # The supervisor died while stopping it, or before it had begun to restart it: adopt it and go on.
        if self.want is Want.DOWN or (adopted and self._is_outdated):
            self._interrupt()
        try:
            await asyncio.wait([life])
        except asyncio.CancelledError as cancelled:
            try:
                await put_down(life, str(cancelled))
            finally:
                self._book(life)
            raise
        if self._book(life):
            raise Failed(self)

    async def _live(self, settled: Settled, *, adopted: bool) -> Ending:
        def observed(phase: Phase) -> None:
            if phase is self.phase or (adopted and phase is Phase.STARTING):
                return
            self.restarts += phase is Phase.STARTING and self.last_ending is not None
            self._move(phase)
            if phase is Phase.READY:
                slot.close()
                self._recovered()
                settled()

        with ExitStack() as slot:
            if not adopted:
                slot.callback(await self._world.gate.admit(self.child))
            elif self.phase is Phase.READY:
                settled()
            return await self.child.live(observed)

    def _book(self, life: asyncio.Task[Ending]) -> bool:
        """Count, announce and move, in one step without an await; whether it is a failure to be answered."""
        self._life = None
        if life.cancelled():  # before there was a process
            self._move(Phase.DOWN)
            return False
        ending = self.last_ending = life.result()
        if stable := is_stable(self.policy, ending):
            self.streak = 0
        judgement = None if ending.asked else judge(self.policy, ending, stable=stable)
        fails = judgement in {Judgement.RETRY, Judgement.RENEW, Judgement.QUARANTINE}
        if fails:
            self.streak += 1
            self._failed_at = ending.ended_at if self.want is Want.UP else None
            self.failing_since = ending.ended_at if self.streak == 1 else self.failing_since
        if self.kind == "worker":
            self._world.ledger.ended(ending, self)
        if judgement in {Judgement.DONE, Judgement.FAILED}:
            self.conclude(Verdict(judgement.value))
        self._move(Phase.BACKING_OFF if fails and self.want is Want.UP else Phase.DOWN)
        return self.phase is Phase.BACKING_OFF

    async def sit_out(self, settled: Settled) -> None:
        """Wait until a backoff or quarantine is over, or wished away; raises GivenUp if it is the group's affair."""
        self._sitting = True
        try:
            while self.phase is Phase.QUARANTINED or (
                self.phase is Phase.BACKING_OFF and self.due_at is not None
            ):
                if self.phase is Phase.QUARANTINED:
                    if self.policy.on_quarantine.action == "escalate":
                        raise GivenUp(self)
                    self.tell()
                    settled()
                if self.due_at is None or self.due_at > now():
                    await self._wait_turn(self.due_at)
                elif self.phase is Phase.QUARANTINED:
                    self.streak = max(self.streak, self.policy.max_failures - 1)  # one try, not a new streak
                    self._leave_quarantine("probation")
                else:
                    self.due_at = None
                    self._move(Phase.WAITING)
        finally:
            self._sitting = False

    async def abandon(self) -> None:
        """Put down what an earlier supervisor left running: another member's failure has to be sat out."""
        if not self._adopts:
            return
        if self.kind == "group":  # it is its members, and nothing besides
            for member in reversed(self.child.members):
                await member.abandon()
                member.lower()
            self._adopts = False
            self._move(Phase.DOWN)
        else:
            await put_down(asyncio.create_task(self.run(_ignore), name=self.name))

    def _was_stopping_group(self) -> bool:
        return self.kind == "group" and (self.phase is Phase.STOPPING or self.want is Want.DOWN)

    async def _wait_turn(self, until: float | None) -> None:
        self._turn.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._turn.wait()
        except TimeoutError:
            return


class Keep:
    """keep(life): a life again and again, every failure charged to the member that failed.

    keep(a, keep(b, life)) is keep(a and b, life), for a failure names its culprit: one loop keeps a whole group.
    """

    def __init__(self, life: Life, charged: Sequence[Keeper]) -> None:
        self.life = life
        self.charged = charged

    @property
    def members(self) -> Sequence[Keeper]:
        """The life's."""
        return self.life.members

    async def run(self, settled: Settled) -> None:
        """See Life. A quarantine of one of the charged holds the whole life down."""

        async def sit_out(_seconds: float = 0) -> None:
            for member in self.charged:
                await member.sit_out(settled)

        async def once() -> None:
            for member in self.charged:
                if member.owes_answer():  # the supervisor died between the failure and the answer
                    raise Failed(member)
            await self.life.run(settled)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Failed), after=_charge, wait=_delay, stop=_enough,
            before_sleep=self._back_off, sleep=sit_out, reraise=True,
        )  # fmt: skip
        while True:
            try:
                if any(member.phase in {Phase.BACKING_OFF, Phase.QUARANTINED} for member in self.charged):
                    for member in reversed(self.life.members):
                        await member.abandon()
                    self._hold()
                await sit_out()
                await retrying(once)
            except Failed as failure:
                failure.culprit.quarantine()

    def _back_off(self, state: RetryCallState) -> None:
        _culprit(state).back_off(state.upcoming_sleep)
        self._hold()

    def _hold(self) -> None:
        for member in self.life.members:
            member.hold()


@lru_cache(maxsize=1000)
def delays(backoff: Backoff) -> wait_base:
    """`first`, then initial x multiplier^n up to max, the latter plus up to jitter (so the capped spread too).

    tenacity's exponent is the attempt number less one, and ours begins with the second attempt: hence the quotient.
    """
    growing = wait_exponential(
        backoff.initial / backoff.multiplier, max=backoff.max, exp_base=backoff.multiplier
    )
    return wait_chain(wait_fixed(backoff.first), growing + wait_random(0, backoff.jitter))


def _culprit(state: RetryCallState) -> Keeper:
    failure = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(failure, Failed)
    return failure.culprit


def _charge(state: RetryCallState) -> None:
    state.attempt_number = _culprit(state).streak


def _delay(state: RetryCallState) -> float:
    return delays(_culprit(state).policy.backoff)(state)


def _enough(state: RetryCallState) -> bool:
    culprit = _culprit(state)
    return culprit.is_hopeless() or stop_after_attempt(culprit.policy.max_failures)(state)


def _ignore() -> None:
    pass
