"""One fault, followed through the events: the first sign of it, the ending, the decision, the next life, its being ready. Pure.

An ending belongs to a fault when it carries its `chaos_id`; where it carries none, or that of another fault done to the same
life, when it is the ending of the life the fault was done to and no undoing came before it. Parts have pairs of their own.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from supervisor.chaos.record import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from supervisor.chaos.record import Injected, Record

Event = dict[str, Any]

SIGNS = frozenset(
    {"worker.ended", "worker.hung", "worker.frozen", "worker.starved", "worker.protocol_violated", "worker.killed",
     "worker.orphan_swept"}
)  # fmt: skip
"""Of what ails a worker, the first one after a fault is how it was noticed."""

PARTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    kind: (frozenset(signs), frozenset(ready))
    for kind, signs, ready in (
        ("kill-supervisor", ("supervisor.resumed",), ("supervisor.resumed",)),
        ("freeze-supervisor", ("supervisor.resumed", "supervisor.lagged"), ("supervisor.resumed", "supervisor.lagged")),
        ("upgrade", ("supervisor.upgraded", "supervisor.upgrade_failed"), ("supervisor.upgraded",)),
        ("kill-pump", ("pump.ended",), ("pump.ready",)),
        ("kill-template", ("template.ended",), ("template.ready",)),
        ("kill-standby", ("standby.ended",), ("standby.ready",)),
        ("reload-bad", ("config.rejected",), ("config.rejected",)),
        ("log-stall", ("log.dropped",), ()),
    )
}
"""Faults in the service's own parts: what is said when it is noticed, and when all is well again."""


class Outcome(StrEnum):
    """What became of it."""

    RECOVERED = "recovered"  # it had an effect, and the target was ready again
    PASSED = "passed"  # nothing ended; it was undone or left no trace
    BACKING_OFF = "backing off"  # the record ends before its next life was due
    QUARANTINED = "quarantined"
    STOPPED = "stopped"  # somebody stopped it, it is done, or the service was stopped
    STARTING = "starting"  # the record ends before it was ready
    LOST = "lost"  # nothing more was ever heard of it
    OPEN = "open"  # still in force when the record ends


@dataclass(frozen=True, slots=True)
class Traced:
    """A fault and what followed; None: did not happen, or was not seen. `delays`: backoffs until it was ready again."""

    fault: Injected
    kind: Kind
    sign: Event | None = None
    ending: Event | None = None
    decided: Event | None = None
    delays: tuple[float, ...] = ()
    spawned: Event | None = None
    ready: Event | None = None
    undone: Event | None = None
    ended_before: bool = False  # the life it was meant for had just ended by itself
    ended_otherwise: bool = False  # that life has ended since, and not by this
    outcome: Outcome = Outcome.PASSED

    @property
    def name(self) -> str:
        """What it was done to, for people."""
        return self.fault.worker or "the service"


def stamp(event: Event) -> float:
    """When it was said."""
    return float(event["monotonic_s"])


def after(events: Sequence[Event], at: float) -> Iterator[Event]:
    """Those from `at` on; without a look at each before it, for a day has millions."""
    return itertools.islice(events, bisect_left(events, at, key=stamp), None)


def trace_all(record: Record, events: Sequence[Event], kinds: Mapping[str, Kind]) -> tuple[Traced, ...]:
    """Each fault of a record, in its order. `events`: stamped, and in the order of their stamps."""
    near: dict[tuple[str, str], list[Event]] = {}
    undone: dict[str, Event] = {}
    for event in events:
        for key in ("worker", "group"):
            if key in event:
                near.setdefault((key, event[key]), []).append(event)
        if event["event"] == "chaos.undone":
            undone.setdefault(str(event.get("chaos_id")), event)
    groups = {member.worker: member.group for member in record.workers}
    next_at = _next_of_life(record)
    found = []
    for fault in record.faults:
        kind = kinds.get(fault.kind) or Kind(kind=fault.kind, place="part" if fault.worker is None else "outside")
        over = undone.get(fault.chaos_id)
        if kind.place == "part" or fault.kind in PARTS:
            found.append(_trace_part(record, fault, kind, events, over))
        else:
            own = near.get(("worker", fault.worker or ""), [])
            above = near.get(("group", groups.get(fault.worker or "") or ""), [])
            found.append(_Pursuit(record, fault, kind, own, above, over, next_at[fault.chaos_id]).result())
    return tuple(found)


def _next_of_life(record: Record) -> dict[str, float]:
    """By chaos_id: when the next fault was done to the same life; what is seen from then on may be the next one's doing."""
    found: dict[str, float] = {}
    later: dict[str | None, float] = {}
    for fault in sorted(record.faults, key=lambda fault: fault.at, reverse=True):
        found[fault.chaos_id] = later.get(fault.spawn_id, math.inf)
        if fault.spawn_id is not None:
            later[fault.spawn_id] = fault.at
    return found


def _trace_part(record: Record, fault: Injected, kind: Kind, events: Sequence[Event], undone: Event | None) -> Traced:
    signs, ready = PARTS.get(fault.kind, (frozenset(), frozenset()))
    behind = after(events, fault.at)
    sign = next((event for event in behind if event["event"] in signs and _fits(event, fault)), None)
    well = None
    if sign is not None:
        rest = itertools.chain([sign], behind)
        well = next((event for event in rest if event["event"] in ready and _same_part(event, sign)), None)
    if well is not None:
        outcome = Outcome.RECOVERED
    elif not ready or (sign is None and not fault.kind.startswith("kill-")):
        outcome = Outcome.PASSED
    else:
        due = (fault.at if sign is None else stamp(sign)) + PART_PATIENCE
        outcome = Outcome.LOST if due < record.ended else Outcome.STARTING
    return Traced(fault, kind, sign=sign, ready=well, undone=undone, outcome=outcome)


def _fits(event: Event, fault: Injected) -> bool:
    if fault.kind == "kill-standby" and fault.worker is not None:  # a standby is that of all replicas
        return event.get("worker") in (fault.worker, fault.worker.rpartition("-")[0])
    ends_process = str(event["event"]).endswith(".ended")
    return not (ends_process and fault.pid is not None and "pid" in event) or event["pid"] == fault.pid


def _same_part(event: Event, sign: Event) -> bool:
    return all(event.get(key) == sign.get(key) for key in ("template", "worker"))


@dataclass(frozen=True, slots=True)
class _Pursuit:
    """A fault done to a worker. `near`: the events of that worker, `above`: those of its group."""

    record: Record
    fault: Injected
    kind: Kind
    near: list[Event]
    above: list[Event]
    undone: Event | None
    next_at: float

    def result(self) -> Traced:
        """What followed from it."""
        if self._had_ended():
            sign = self._sign(None)
            return Traced(self.fault, self.kind, sign, undone=self.undone, ended_before=True, outcome=Outcome.PASSED)
        end = self._end_of_life()
        ending = end if end is not None and self._is_mine(end) else None
        sign = self._sign(ending)
        if ending is None:
            outcome, otherwise = self._without_ending(), end is not None
            return Traced(self.fault, self.kind, sign, undone=self.undone, ended_otherwise=otherwise, outcome=outcome)
        behind = [event for event in after(self.near, stamp(ending)) if event is not ending]
        ready = next((event for event in behind if event["event"] == "worker.ready"), None)
        until = list(itertools.takewhile(lambda event: event is not ready, behind))
        spawns = [event for event in until if event["event"] == "worker.spawned"]
        return Traced(
            self.fault,
            self.kind,
            sign=sign or ending,
            ending=ending,
            decided=next((event for event in until if event["event"] in _DECISIONS), None),
            delays=tuple(self._delays(until, ending, ready)),
            spawned=spawns[-1] if spawns else None,
            ready=ready,
            undone=self.undone,
            outcome=Outcome.RECOVERED if ready is not None else self._unfinished([ending, *until]),
        )

    def _without_ending(self) -> Outcome:
        fault = self.fault
        if self.undone is not None:
            return Outcome.PASSED
        if self.kind.ends == "ending":
            due = fault.at + (fault.seconds or 0.0) + PATIENCE
            return Outcome.LOST if due < self.record.ended else Outcome.OPEN
        is_open = self.kind.lasting and (fault.until is None or fault.until > self.record.ended)
        return Outcome.OPEN if is_open else Outcome.PASSED

    def _of_life(self, event: Event) -> bool:
        return self.fault.spawn_id is None or event.get("spawn_id") in (None, self.fault.spawn_id)

    def _sign(self, ending: Event | None) -> Event | None:
        last = ending or self.undone
        limit = stamp(last) if last is not None else self.fault.at + LATE_EFFECT
        if ending is None:
            limit = min(limit, self.next_at)
        for event in after(self.near, self.fault.at):
            if stamp(event) > limit:
                return None
            if event["event"] in SIGNS and self._of_life(event):
                return event
        return None

    def _had_ended(self) -> bool:
        """Whether its life had ended before: a supervisor may not yet have heard of that."""
        mine = self.fault.spawn_id
        return mine is not None and any(end.get("spawn_id") == mine and stamp(end) < self.fault.at for end in self._ends())

    def _end_of_life(self) -> Event | None:
        """The ending of the life it was done to; if one is named after it, that one."""
        named = [event for event in self._ends() if event.get("chaos_id") == self.fault.chaos_id]
        among = (end for end in named or self._ends() if stamp(end) >= self.fault.at and self._of_life(end))
        return next(among, None)

    def _ends(self) -> list[Event]:
        return [event for event in self.near if event["event"] == "worker.ended"]

    def _is_mine(self, ending: Event) -> bool:
        by = ending.get("chaos_id")
        # Two that both end a life share its ending: one of them is named.
        if by is not None and by != self.fault.chaos_id:
            return self.fault.spawn_id is not None and self.kind.ends == "ending"
        # What was asked for carries the name of what was last done to that life, though that may have been over since.
        asked = str(ending.get("how", "")).endswith("(asked)")
        return stamp(ending) <= self._felt_until() if asked or by is None else True

    def _felt_until(self) -> float:
        if self.undone is not None and self.undone.get("reason") != "ended":
            return stamp(self.undone)
        return math.inf if self.kind.lasting or self.kind.ends == "ending" else self.fault.at + LATE_EFFECT

    def _delays(self, until: list[Event], ending: Event, ready: Event | None) -> Iterator[float]:
        """Every backoff that was asked for before it was ready again, its own and its group's."""
        for event in until:
            if event["event"] == "worker.backed_off":
                yield float(event.get("delay_s") or 0.0)
        for event in after(self.above, stamp(ending)):
            if ready is not None and stamp(event) > stamp(ready):
                return
            if event["event"] == "group.failed":
                yield float(event.get("delay_s") or 0.0)

    def _unfinished(self, behind: list[Event]) -> Outcome:
        """Not ready again: what it was at when the record ended."""
        last = next(event for event in reversed(behind) if event["event"] in _LAST)
        outcome = _LAST[last["event"]]
        if outcome is not Outcome.LOST and outcome is not Outcome.BACKING_OFF:
            return outcome
        due = stamp(last) + float(last.get("delay_s") or 0.0) + PATIENCE
        if str(last.get("how", "")).endswith("(asked)") or self._is_down(due):
            return Outcome.STOPPED
        if due < self.record.ended:
            return Outcome.LOST
        return Outcome.BACKING_OFF if outcome is Outcome.BACKING_OFF else Outcome.STARTING

    def _is_down(self, due: float) -> bool:
        """Whether nobody wants it up any more: it was stopped, or its policy says that it has ended for good."""
        latest = self.record.events[-STOPPING_WITHIN:]
        if any(event["event"] == "supervisor.stopping" and event.get("monotonic_s", due) < due for event in latest):
            return True
        rows = self.record.samples[-1].workers if self.record.samples else ()
        row = next((row for row in rows if row.worker == self.fault.worker), None)
        return row is not None and row.phase == "down" and (row.want != "up" or row.verdict is not None)


LATE_EFFECT = 10.0  # seconds in which a fault that ended nothing may still be felt: a beat it made late, lines in a pipe
PATIENCE = 5.0  # seconds from when a next life is due until silence means that it is lost; no start we know waits that long
PART_PATIENCE = 15.0  # the same for a part: a template has modules to import, and a service a supervisor to start again
STOPPING_WITHIN = 20_000  # events between a service's beginning to stop and its end, at most: a few of each worker

_DECISIONS = frozenset({"worker.backed_off", "worker.spawned", "worker.quarantined"})
_LAST = {
    "worker.ended": Outcome.LOST,
    "worker.backed_off": Outcome.BACKING_OFF,
    "worker.spawned": Outcome.STARTING,
    "worker.quarantined": Outcome.QUARANTINED,
    "worker.completed": Outcome.STOPPED,
    "worker.released": Outcome.STARTING,
}
