"""Invariants with a number in them: the budgets of faults, and what the service's own programs may take. Pure.

Each rule states its slack, and the sentence says what was measured against what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.chaos import amounts, invariants, leash
from supervisor.chaos.invariants import Invariant, State, count, listed
from supervisor.chaos.trace import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.chaos.amounts import Amount
    from supervisor.chaos.timeline import Timeline

HANDOVER = 0.1  # seconds by which two faults may seem to overlap: an end is told of after it has come


def check(timeline: Timeline) -> tuple[Invariant, ...]:
    """Every invariant there is, in the order of a report."""
    return tuple(rule(timeline) for rule in RULES)


def no_orphan(timeline: Timeline) -> Invariant:
    """No process is left of a life that is over."""
    claim = "no process outlives its life"
    after = timeline.record.after
    if after is None or after.anchor is None:
        return Invariant("no_orphan", claim, State.UNKNOWN, _NOBODY_LOOKED)
    left = set(after.strangers) - set(timeline.record.before.strangers if timeline.record.before else ())
    if left:
        return Invariant(
            "no_orphan", claim, State.BROKEN, f"of no life and no part: pid {listed(map(str, sorted(left)))}"
        )
    swept = sum(event["event"] == "worker.orphan_swept" for event in timeline.events)
    return Invariant(
        "no_orphan",
        claim,
        State.HELD,
        f"{count(after.workers, 'life', 'lives')} at the end; {count(swept, 'orphan')} swept",
    )


def no_zombie(timeline: Timeline) -> Invariant:
    """Whoever died was reaped."""
    claim = "no zombie is left"
    after = timeline.record.after
    if after is None or after.anchor is None:
        return Invariant("no_zombie", claim, State.UNKNOWN, _NOBODY_LOOKED)
    if after.zombies:
        return Invariant("no_zombie", claim, State.BROKEN, f"not reaped: pid {listed(map(str, after.zombies))}")
    return Invariant("no_zombie", claim, State.HELD, "none below the anchor at the end")


_NOBODY_LOOKED = "nobody looked at the processes at the end"


def descriptors(timeline: Timeline) -> Invariant:
    """The service's own programs have as many open as before."""
    return _back(timeline, amounts.DESCRIPTORS)


def threads(timeline: Timeline) -> Invariant:
    """And as many threads."""
    return _back(timeline, amounts.THREADS)


def memory(timeline: Timeline) -> Invariant:
    """And no more memory than a stated share above."""
    return _back(timeline, amounts.MEMORY)


def _back(timeline: Timeline, amount: Amount) -> Invariant:
    name, claim = amount.name, amount.claim
    before, after = timeline.record.before, timeline.record.after
    if before is None or after is None or after.anchor is None:
        return Invariant(name, claim, State.UNKNOWN, _NOBODY_LOOKED)
    found = amounts.compare(amount, before, after)
    if found.above:
        return Invariant(name, claim, State.BROKEN, listed(found.above))
    if found.dark:
        told = f"; {listed(found.within)}" if found.within else ""
        return Invariant(name, claim, State.UNKNOWN, f"could not be read at both ends: {listed(found.dark)}{told}")
    return Invariant(name, claim, State.HELD, listed(found.within))


def budgets(timeline: Timeline) -> Invariant:
    """Never more workers under a fault at one time than max_count and max_percent allow."""
    claim = "never more workers under a fault at once than the budgets allow"
    settings = timeline.record.settings
    if settings is None:
        return Invariant("budgets", claim, State.UNKNOWN, "the service's settings are not in the record")
    may_hit = [
        member.worker for member in timeline.record.workers
        if member.chaos and not leash.is_protected(settings, member.worker)
    ]  # fmt: skip
    allowed = leash.bound(settings, len(may_hit))
    most, when = _most_at_once(timeline)
    here = {member.worker for member in timeline.record.workers}  # who came later may have come with chaos = true
    outlaws = sorted(timeline.targets & here - set(may_hit))
    if outlaws:
        return Invariant("budgets", claim, State.BROKEN, f"hit, though it may not be: {listed(outlaws)}")
    rule = f"{allowed} (max_count {settings.max_count}, max_percent {settings.max_percent:g} of {len(may_hit)})"
    seen = f"at most {count(most, 'worker')} at once; allowed: {rule}"
    if most > allowed:
        return Invariant(
            "budgets", claim, State.BROKEN, f"{seen}; {when - timeline.record.began:.1f} s after the beginning"
        )
    return Invariant("budgets", claim, State.HELD, seen)


def _most_at_once(timeline: Timeline) -> tuple[int, float]:
    """How many workers were under a fault at one time, and when."""
    marks = sorted(
        (at, step, worker) for begin, end, worker in _spans(timeline) for at, step in ((begin, 1), (end, -1))
    )
    under: dict[str, int] = {}
    most, when = 0, timeline.record.began
    for at, step, worker in marks:  # at one moment: who is over leaves before who comes is counted
        under[worker] = under.get(worker, 0) + step
        now = sum(number > 0 for number in under.values())
        if now > most:
            most, when = now, at
    return most, when


def _spans(timeline: Timeline) -> Iterator[tuple[float, float, str]]:
    for traced in timeline.faults:
        fault = traced.fault
        if fault.worker is None or traced.kind.place == "part":
            continue
        if fault.spawn_id is None and not traced.kind.lasting:
            continue  # done to its standbys: the worker itself is under no fault
        ends = [stamp(event) for event in (traced.ending, traced.undone) if event is not None]
        # What is over at once is remembered for a moment, by the supervisor that did it and by no other.
        forgotten = [away.begin for away in timeline.aways if away.end > fault.at]
        last = [timeline.record.ended] if traced.kind.lasting else [fault.at + leash.HIT_FOR, *forgotten]
        end = min([*last, *ends])
        # Shortened, for what is told late must not count; but never to nothing.
        yield fault.at, max(fault.at + 1e-6, end - HANDOVER), fault.worker


def same_anchor(timeline: Timeline) -> Invariant:
    """It is one service from beginning to end."""
    claim = "the anchor is the same process at the end"
    service = timeline.record.service
    others = {str(e["instance_id"]) for e in timeline.events if "instance_id" in e} - {str(service.instance_id)}
    if service.instance_id is not None and others:
        return Invariant("same_anchor", claim, State.BROKEN, f"events of another instance: {listed(sorted(others))}")
    before, after = service.anchor_pid_before, service.anchor_pid_after
    if before is None or after is None:
        return Invariant(
            "same_anchor", claim, State.UNKNOWN, f"anchor {before or '?'} at the beginning, {after or '?'} at the end"
        )
    if before != after:
        return Invariant("same_anchor", claim, State.BROKEN, f"anchor {before} at the beginning, {after} at the end")
    return Invariant("same_anchor", claim, State.HELD, f"anchor {before}")


RULES = (
    invariants.one_ending,
    invariants.one_life,
    invariants.none_lost,
    invariants.all_undone,
    no_orphan,
    no_zombie,
    descriptors,
    threads,
    memory,
    budgets,
    invariants.no_gap,
    same_anchor,
)
