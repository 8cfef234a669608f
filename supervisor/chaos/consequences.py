"""What should have followed a fault and did not: a word of it, a restart of who depends on it, a wait before a try. Pure.

Each function names what is missing, and names nothing where no fault was injected: so each can be asked before a method
and after it, as a steady-state hypothesis is.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from supervisor.chaos import figures
from supervisor.chaos.trace import Outcome, after, stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from supervisor.chaos.timeline import Timeline
    from supervisor.chaos.trace import Traced

Event = dict[str, Any]

ROUNDED = 0.002  # seconds: a delay in an event has three places, and a stamp is taken a moment after what it is of


def unnoticed(
    timeline: Timeline, events: Collection[str], *, kind: str | None = None, worker: str = "*"
) -> tuple[Traced, ...]:
    """Faults after which none of these events (names, or globs) came, of the worker that was hit or of the service."""
    return tuple(
        traced for traced in _meant(timeline, kind, worker)
        if not any(
            any(fnmatchcase(event["event"], glob) for glob in events) and _is_of(event, traced)
            for event in after(timeline.events, traced.fault.at)
        )
    )  # fmt: skip


def felled(timeline: Timeline, *, kind: str | None = None, worker: str = "*") -> tuple[Traced, ...]:
    """Faults that have ended the life they were done to."""
    return tuple(traced for traced in _meant(timeline, kind, worker) if traced.ending is not None)


def slow(
    timeline: Timeline, than: float, *, figure: str = "own_s", kind: str | None = None, worker: str = "*"
) -> tuple[Traced, ...]:
    """Faults that took longer than so many seconds, by one of the figures; those that have not come to that, too.

    Not those without an effect: nothing was noticed of them, and nothing ended.
    """
    meant = {id(traced) for traced in _meant(timeline, kind, worker)}
    found = []
    for measured in figures.measure(timeline).faults:
        took = getattr(measured.times, figure)
        if id(measured.traced) not in meant or measured.traced.outcome is Outcome.PASSED:
            continue
        if took is None or took > than:
            found.append(measured.traced)
    return tuple(found)


def spared(timeline: Timeline) -> tuple[str, ...]:
    """Members that did not restart, though their group restarts them when one fails that was hit and has ended."""
    members = {member.worker: member for member in timeline.record.workers}
    found = set()
    for traced in timeline.faults:
        member = members.get(traced.fault.worker or "")
        if traced.ending is None or member is None:
            continue
        until = timeline.record.ended if traced.ready is None else stamp(traced.ready)  # they go down before it is back
        for name in member.members_after:
            gaps = timeline.lanes[name].gaps if name in timeline.lanes else ()
            if not any(gap.begin <= until and gap.end >= traced.fault.at for gap in gaps):
                found.add(name)
    return tuple(sorted(found))


def impatient(timeline: Timeline, worker: str = "*") -> tuple[str, ...]:
    """Workers that were started again before their backoff was over, or whose backoffs did not grow within a streak.

    The last one may be as long as the one before: it has a ceiling.
    """
    return tuple(
        name for name, lane in timeline.lanes.items()
        if fnmatchcase(name, worker) and (_was_early(lane.events) or not _grew(lane.events))
    )  # fmt: skip


def _meant(timeline: Timeline, kind: str | None, worker: str) -> Iterator[Traced]:
    for traced in timeline.faults:
        if kind in (None, traced.fault.kind) and (worker == "*" or fnmatchcase(traced.fault.worker or "", worker)):
            yield traced


def _is_of(event: Event, traced: Traced) -> bool:
    name = traced.fault.worker
    if name is None or "worker" not in event:
        return True
    replicated = name.rpartition("-")[0] if str(event["event"]).startswith("standby.") else name  # one for all replicas
    return str(event["worker"]) in (name, replicated)


def _was_early(events: Iterable[Event]) -> bool:
    due: float | None = None
    for event in events:
        match event["event"]:
            case "worker.backed_off":
                due = stamp(event) + float(event.get("delay_s") or 0.0)
            case "worker.spawned":
                if due is not None and stamp(event) < due - ROUNDED:
                    return True
                due = None
            case "worker.stopping" | "worker.released":  # somebody did not want to wait
                due = None
    return False


def _grew(events: Iterable[Event]) -> bool:
    told = [event for event in events if event["event"] == "worker.backed_off"]
    for first, second in pairwise(told):
        shorter, longer = float(first.get("delay_s") or 0.0), float(second.get("delay_s") or 0.0)
        if second.get("streak") == (first.get("streak") or 0) + 1 and (longer < shorter or longer == 0):
            return False
    return True
