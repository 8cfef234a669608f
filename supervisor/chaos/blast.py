"""The blast radius: what happened to workers, and to lives, that no fault was meant for. Pure.

It is asked of lives, not of names: a worker that was hit a minute ago and was ready again since has an ending of its own now
that wants an explanation. Explained is: a wish (asked), a fault of its own that is not over, a fault of a member it restarts
with, its group's giving up after such a fault, and who was named as expected.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from supervisor.chaos.timeline import was_asked
from supervisor.chaos.trace import LATE_EFFECT, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from supervisor.chaos.record import Record
    from supervisor.chaos.timeline import Lane, Timeline
    from supervisor.chaos.trace import Traced

Event = dict[str, Any]

SILENT_TIMES, SILENT_LEAST_S, CHANGES = 10, 5.0, 5
"""Progress stood still: unchanged for ten times its usual interval and 5 s at least, of a worker that had changed 5 times."""

_HURTS = {
    "worker.hung": "missed its beat (hung)",
    "worker.starved": "missed its beat (starved)",
    "worker.frozen": "was stopped by a signal",
    "worker.protocol_violated": "wrote nonsense on its pipe",
    "worker.quarantined": "was quarantined",
}


@dataclass(frozen=True, slots=True)
class Hurt:
    """Something that should not have happened to a worker, at a moment of CLOCK_MONOTONIC."""

    worker: str
    at: float
    what: str


def blast(timeline: Timeline, expected: Iterable[str] = ()) -> tuple[Hurt, ...]:
    """All of it, in order of time. `expected`: names or globs of workers that may be hurt, besides the record's own."""
    globs = (*timeline.record.expected, *expected)
    spans = _spans(timeline)
    found: list[Hurt] = []
    for name, lane in timeline.lanes.items():
        if any(fnmatchcase(name, glob) for glob in globs):
            continue
        excused = spans.get(name, [])
        every = [*_told(timeline.record, lane), *_unannounced(timeline, lane), *_stood_still(lane)]
        found += [hurt for hurt in every if not any(begin <= hurt.at <= end for begin, end in excused)]
    return tuple(sorted(found, key=lambda hurt: (hurt.at, hurt.worker)))


def names(hurts: Iterable[Hurt]) -> tuple[str, ...]:
    """The workers among them, each once, in order of name."""
    return tuple(sorted({hurt.worker for hurt in hurts}))


def _spans(timeline: Timeline) -> dict[str, list[tuple[float, float]]]:
    """By worker: when what befalls it is the doing of a fault that was meant for it, or for one it restarts with."""
    members = {member.worker: member for member in timeline.record.workers}
    found: dict[str, list[tuple[float, float]]] = {}
    of_group: dict[str, list[tuple[float, float]]] = {}
    for traced in timeline.faults:
        name = traced.fault.worker
        if name is None or traced.kind.place == "part":
            continue
        span = (traced.fault.at, _end(timeline, traced))
        found.setdefault(name, []).append(span)
        if name in members:
            of_group.setdefault(members[name].group or "", []).append(span)
            for other in members[name].members_after:
                found.setdefault(other, []).append((span[0], _settled(timeline, other, span[1])))
    for event in timeline.events:
        if event["event"] in {"group.failed", "group.quarantined"}:
            spans = of_group.get(event.get("group", ""), [])
            if any(begin <= stamp(event) <= end for begin, end in spans):  # all of it restarts, or none does
                due = stamp(event) + float(event.get("delay_s") or 0.0) + RESTARTS_WITHIN
                for name, member in members.items():
                    if member.group == event["group"]:
                        found.setdefault(name, []).append((stamp(event), _settled(timeline, name, due)))
    return found


def _end(timeline: Timeline, traced: Traced) -> float:
    """Until when what befalls its target is this fault's doing."""
    ended = timeline.record.ended
    if traced.ending is not None and traced.ready is None:
        return ended
    moments = [stamp(event) for event in (traced.ready, traced.undone) if event is not None]
    if traced.ending is not None or traced.undone is not None:
        return max(moments) + JUST_AFTER
    if traced.kind.lasting:
        return ended
    return traced.fault.at + LATE_EFFECT


JUST_AFTER = 0.25
"""Seconds behind the end of a fault in which the last word of it may still come: a violation read, a beat judged."""

RESTARTS_WITHIN = 10.0
"""Seconds in which a group that has given up puts its members down, beyond the delay it asks for."""


def _settled(timeline: Timeline, name: str, end: float) -> float:
    """When a member that restarts with the one that was hit is ready again: it starts after that one."""
    lane = timeline.lanes.get(name)
    return max([end, *(gap.end for gap in lane.gaps if gap.begin <= end)]) if lane is not None else end


def _told(record: Record, lane: Lane) -> Iterator[Hurt]:
    reasons: dict[str, str] = {}
    for event in lane.events:
        if event["event"] == "worker.stopping":
            reasons[event.get("spawn_id", "")] = str(event.get("reason", ""))
        if stamp(event) < record.began or stamp(event) > record.ended:
            continue
        if event["event"] in _HURTS:
            yield Hurt(lane.worker, stamp(event), _HURTS[event["event"]])
        elif event["event"] == "worker.ended":
            why = reasons.get(event.get("spawn_id", ""), "asked")
            if not was_asked(event):
                yield Hurt(lane.worker, stamp(event), f"ended: {event.get('how', '?')}")
            elif why != "asked":
                yield Hurt(lane.worker, stamp(event), f"was stopped: {why}")


def _unannounced(timeline: Timeline, lane: Lane) -> Iterator[Hurt]:
    """Between two samples it has become another life, and no event says so."""
    if timeline.deaf:
        return  # it may have been said
    spawned = {life.spawn_id for life in lane.lives if life.spawned_at is not None}
    before: str | None = None
    for at, row in lane.rows:
        if row.spawn_id is None:
            continue
        if before is not None and row.spawn_id != before and row.spawn_id not in spawned:
            yield Hurt(lane.worker, at, f"became {row.spawn_id} (it was {before}), and no event says so")
        before = row.spawn_id


def _stood_still(lane: Lane) -> Iterator[Hurt]:
    """A ready worker whose progress used to change: how long it was seen to be the same, not how long nobody looked."""
    seen = [(at, row.progress) for at, row in lane.rows if row.phase == "ready" and row.progress is not None]
    changes = [seen[0][0], *(now[0] for last, now in pairwise(seen) if now[1] != last[1])] if seen else []
    if len(changes) <= CHANGES:
        return
    lengths = [later - earlier for earlier, later in pairwise(changes)]
    allowed = max(SILENT_LEAST_S, SILENT_TIMES * statistics.median(lengths))
    # From the first look at a value to the last look at it: between two looks that are far apart nothing was seen.
    for _, looks in groupby(seen, key=lambda one: one[1]):
        times = [at for at, _ in looks]
        begin, end = times[0], times[-1]
        if end - begin > allowed and not any(gap.begin < end and gap.end > begin for gap in lane.gaps):
            yield Hurt(lane.worker, begin + allowed, f"its progress stood still for {end - begin:.1f} s")
