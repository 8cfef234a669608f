"""The one word about a run, and why. Pure.

Held: nothing but the targets was hurt, no invariant is broken, and the hypothesis held before and after. Deviated: one of them
did not. What could not be judged makes no verdict; it is told beside it. Aborted and interrupted come from whoever ran it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from supervisor.chaos import blast
from supervisor.chaos.invariants import State, count, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from supervisor.chaos.blast import Hurt
    from supervisor.chaos.invariants import Invariant


class Word(StrEnum):
    """What is said of a run."""

    HELD = "held"
    DEVIATED = "deviated"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """reasons: why it deviated; beside: what could not be judged, or was cut short."""

    word: Word
    reasons: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def judge(
    hurts: Sequence[Hurt],
    checked: Iterable[Invariant],
    *,
    hypothesis: Sequence[str] = (),
    status: str = "completed",
) -> Verdict:
    """The verdict. hypothesis: a sentence for each part of it that did not hold; status: the journal's word."""
    invariants = list(checked)
    reasons = list(hypothesis)
    if hurts:
        names = blast.names(hurts)
        seen = listed(f"{hurt.worker} {hurt.what}" for hurt in hurts)
        reasons.append(f"blast radius of {count(len(names), 'worker')}: {seen}")
    reasons += [f"{each.claim}: broken ({each.sentence})" for each in invariants if each.state is State.BROKEN]
    beside = [f"{each.claim}: unknown ({each.sentence})" for each in invariants if each.state is State.UNKNOWN]
    if status == "failed" and not hypothesis:
        reasons.append("an activity of the experiment failed")
    if status in (Word.ABORTED, Word.INTERRUPTED):
        return Verdict(Word(status), tuple(reasons), tuple(beside))
    return Verdict(Word.DEVIATED if reasons else Word.HELD, tuple(reasons), tuple(beside))
