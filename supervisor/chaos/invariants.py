"""What must hold whatever is done to a service: each held, broken or unknown, with a sentence that has the facts. Pure.

Broken is said only of what was seen; where the record is too short to tell, ends too soon, or says that lines are missing, it
is unknown. Budgets and the service's own resources are in `allowances`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from supervisor.chaos.trace import PATIENCE, Outcome, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from supervisor.chaos.timeline import Life, Timeline
    from supervisor.chaos.trace import Traced

Event = dict[str, Any]
NAMED = 5  # facts told in a sentence, then only how many more
UNDONE_WITHIN = 2.0  # seconds behind its time in which a lasting fault is undone


class State(StrEnum):
    """What is known of an invariant."""

    HELD = "held"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Invariant:
    """One of them. claim: what must hold; sentence: what was seen."""

    name: str
    claim: str
    state: State
    sentence: str


def one_ending(timeline: Timeline) -> Invariant:
    """Every fault that ends a life has one ending, and every life one at most."""
    twice = [
        f"{life.spawn_id} {len(life.endings)} times"
        for lane in timeline.lanes.values() for life in lane.lives if len(life.endings) > 1
    ]  # fmt: skip
    lost: list[str] = []
    untold: list[str] = []
    ends = 0
    for traced in timeline.faults:
        if traced.kind.ends != "ending" or traced.kind.place == "part":
            continue
        ends += 1
        if traced.ending is not None or traced.ended_before:
            continue
        (lost if _has_waited(timeline, traced) else untold).append(_named(traced))
    claim = "every fault that ends a life has exactly one ending"
    unended = [life.spawn_id for lane in timeline.lanes.values() for life in _unended(lane.lives)]
    if twice:
        return Invariant("one_ending", claim, State.BROKEN, f"ended more than once: {listed(twice)}")
    if timeline.deaf and (lost or unended):
        return Invariant(
            "one_ending", claim, State.UNKNOWN, _deaf(timeline, f"no ending seen of {listed(lost + unended)}")
        )
    if lost:
        return Invariant("one_ending", claim, State.BROKEN, f"no ending was ever told of {listed(lost)}")
    if unended:
        return Invariant(
            "one_ending", claim, State.BROKEN, f"a next life began, and no ending was told of {listed(unended)}"
        )
    if untold:
        return Invariant("one_ending", claim, State.UNKNOWN, f"the record ends too soon after {listed(untold)}")
    return Invariant("one_ending", claim, State.HELD, f"{count(ends, 'such fault')}, {_endings(timeline)}")


def _endings(timeline: Timeline) -> str:
    return count(sum(bool(life.endings) for lane in timeline.lanes.values() for life in lane.lives), "ending")


def _has_waited(timeline: Timeline, traced: Traced) -> bool:
    """Whether the record goes on long enough for the ending to have come, with a supervisor there to tell of it."""
    grace = (traced.fault.seconds or 0.0) + PATIENCE
    away = sum(away.end - away.begin for away in timeline.aways if away.end > traced.fault.at)
    return traced.fault.at + grace + away < timeline.record.ended


def _unended(lives: Sequence[Life]) -> Iterable[Life]:
    """Lives of one worker that were followed by another, and never ended."""
    for life, following in pairwise(lives):
        if not life.endings and following.spawned_at is not None:
            yield life


def one_life(timeline: Timeline) -> Invariant:
    """No worker has two lives at once."""
    claim = "no worker has two lives at once"
    doubles = [name for look in (timeline.record.before, timeline.record.after) if look for name in look.doubles]
    overlaps = [
        f"{later.spawn_id} began {life.ended_at - later.spawned_at:.3f} s before {life.spawn_id} ended"
        for lane in timeline.lanes.values()
        for life, later in pairwise(lane.lives)
        if life.ended_at is not None and later.spawned_at is not None and later.spawned_at < life.ended_at
    ]
    if doubles or overlaps:
        seen = [f"two processes of {name} were alive" for name in doubles]
        return Invariant("one_life", claim, State.BROKEN, listed(seen + overlaps))
    lives = sum(len(lane.lives) for lane in timeline.lanes.values())
    if not lives and timeline.record.after is None:
        return Invariant(
            "one_life", claim, State.UNKNOWN, "no life was seen to begin or end, and nobody looked at processes"
        )
    return Invariant("one_life", claim, State.HELD, f"{count(lives, 'life', 'lives')} seen, one after another")


def none_lost(timeline: Timeline) -> Invariant:
    """What was hit is ready again, or its policy says why not."""
    claim = "what was hit is ready again, or its policy says why not"
    lost = [traced for traced in timeline.faults if traced.outcome is Outcome.LOST]
    waiting = [t for t in timeline.faults if t.outcome in {Outcome.STARTING, Outcome.OPEN}]
    if lost and timeline.deaf:
        return Invariant(
            "none_lost", claim, State.UNKNOWN, _deaf(timeline, f"nothing heard of {listed(map(_named, lost))}")
        )
    if lost:
        return Invariant("none_lost", claim, State.BROKEN, f"nothing more was heard of {listed(map(_named, lost))}")
    if waiting:
        seen = listed(f"{_named(traced)} ({traced.outcome})" for traced in waiting)
        return Invariant("none_lost", claim, State.UNKNOWN, f"the record ends before it was over for {seen}")
    outcomes = Counter(str(traced.outcome) for traced in timeline.faults)
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    return Invariant("none_lost", claim, State.HELD, told or "no fault was injected")


def all_undone(timeline: Timeline) -> Invariant:
    """Every lasting fault is undone at its time, or went with the life it was done to."""
    claim = "every lasting fault is undone when its time is over"
    lasting = [t for t in timeline.faults if t.kind.lasting]
    late: list[str] = []
    untold: list[str] = []
    left: list[str] = []
    for traced in lasting:
        until = traced.fault.until
        if traced.undone is not None and "could not be undone" in str(traced.undone.get("how", "")):
            left.append(f"{_named(traced)} ({traced.undone['how']})")
        elif (
            traced.undone is not None and until is not None and stamp(traced.undone) > until + _allowed(timeline, until)
        ):
            late.append(f"{_named(traced)}, {stamp(traced.undone) - until:.1f} s late")
        elif traced.undone is None and traced.ending is None:
            over = until is not None and until + _allowed(timeline, until) < timeline.record.ended
            (left if over else untold).append(_named(traced))
    if left and timeline.deaf:
        return Invariant("all_undone", claim, State.UNKNOWN, _deaf(timeline, f"no undoing seen of {listed(left)}"))
    if left or late:
        seen = [f"not undone: {listed(left)}"] * bool(left) + [f"undone late: {listed(late)}"] * bool(late)
        return Invariant("all_undone", claim, State.BROKEN, "; ".join(seen))
    if untold:
        return Invariant("all_undone", claim, State.UNKNOWN, f"still in force when the record ends: {listed(untold)}")
    return Invariant("all_undone", claim, State.HELD, count(len(lasting), "lasting fault"))


def _allowed(timeline: Timeline, until: float) -> float:
    """A supervisor that was away undoes what fell due as soon as it is back."""
    away = [away.end - until for away in timeline.aways if away.begin <= until + UNDONE_WITHIN and away.end > until]
    return UNDONE_WITHIN + max([0.0, *away])


def no_gap(timeline: Timeline) -> Invariant:
    """No number of a log line is missing or given twice."""
    claim = "no gap in the numbers of the log that log.dropped does not explain"
    record = timeline.record
    numbers = [event["seq"] for event in record.events if isinstance(event.get("seq"), int)]
    twice = [str(number) for number, times in Counter(numbers).items() if times > 1]
    if twice:
        return Invariant("no_gap", claim, State.BROKEN, f"given twice: {listed(twice)}")
    if not numbers:
        return Invariant("no_gap", claim, State.UNKNOWN, "no event was seen")
    if record.missing is None:
        return Invariant(
            "no_gap", claim, State.UNKNOWN, "output was not followed, so a missing number may have been output"
        )
    excused = sum(int(event.get("count") or 0) for event in timeline.deaf)
    lost = sum(last - first + 1 for first, last in record.missing)
    if lost > excused:
        seen = listed(f"{first}" if first == last else f"{first} to {last}" for first, last in record.missing)
        return Invariant(
            "no_gap", claim, State.BROKEN, f"never came: {seen}; log.dropped tells of {count(excused, 'line')}"
        )
    told = f", {count(lost, 'line')} missed and told of" if lost else ""
    return Invariant("no_gap", claim, State.HELD, f"{min(numbers)} to {max(numbers)}{told}")


def _deaf(timeline: Timeline, what: str) -> str:
    reasons = {str(event.get("reason") or event.get("msg", "")) for event in timeline.deaf}
    return f"{what}, but lines are missing ({listed(sorted(reasons))})"


def _named(traced: Traced) -> str:
    return f"{traced.fault.kind} of {traced.name} ({traced.fault.chaos_id})"


def listed(facts: Iterable[str]) -> str:
    """The first few, and how many more."""
    every = list(facts)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more


def count(number: int, noun: str, plural: str = "") -> str:
    """1 line, 2 lines, no line."""
    return f"{number or 'no'} {noun if number in (0, 1) else plural or f'{noun}s'}"
