"""What happened, put in order: the lives of each worker, when it was not ready, and what each fault led to. Pure.

The order is that of `monotonic_s`, not of `seq`: the pump holds the news of an ending back until it has read the dead
worker's last words, so the next life may stand before it in the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from supervisor.chaos.trace import Traced, stamp, trace_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from supervisor.chaos.record import Kind, Record, Row

Event = dict[str, Any]
Seen = tuple[float, "Row"]  # when a sample was taken, and a worker in it
DOWN_BY_WISH = "asked"  # a gap that somebody wished for: neither ready time nor missed time


@dataclass(slots=True)
class Life:
    """One life of a worker. What was before the record, or never came, is None."""

    worker: str
    spawn_id: str
    spawned_at: float | None = None
    ready_at: float | None = None
    ended_at: float | None = None
    endings: list[Event] = field(default_factory=list)

    @property
    def asked(self) -> bool:
        """Whether it ended because somebody wished so."""
        return bool(self.endings) and was_asked(self.endings[0])


@dataclass(frozen=True, slots=True)
class Gap:
    """When a worker was not ready, in seconds. why: asked | stopping | ended | quarantined | starting | done."""

    begin: float
    end: float
    why: str

    @property
    def counts(self) -> bool:
        """Whether it should have been ready."""
        return self.why not in {DOWN_BY_WISH, "done"}


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker: its lives and its gaps in order, and what samples saw of it.

    known: whether anything tells if it was ready when all began.
    """

    worker: str
    lives: tuple[Life, ...]
    gaps: tuple[Gap, ...]
    events: tuple[Event, ...]
    rows: tuple[Seen, ...]
    known: bool


@dataclass(frozen=True, slots=True)
class Away:
    """The supervisor was away from `begin` until `end`: died (or was upgraded), and resumed."""

    begin: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it. `events`: those that are stamped, in the order of their stamps."""

    record: Record
    events: tuple[Event, ...]
    lanes: Mapping[str, Lane]
    faults: tuple[Traced, ...]
    aways: tuple[Away, ...]
    kinds: Mapping[str, Kind]

    @property
    def deaf(self) -> tuple[Event, ...]:
        """What says that lines of the service's own may be missing."""
        return tuple(event for event in self.record.events if _says_lines_are_missing(event))

    @property
    def targets(self) -> frozenset[str]:
        """The workers that were hit."""
        return frozenset(traced.fault.worker for traced in self.faults if traced.fault.worker is not None)


def was_asked(ended: Event) -> bool:
    """Whether a `worker.ended` was wished for: a stop, a restart, a reload, a sibling of its group that failed."""
    return str(ended.get("how", "")).endswith(("(asked)", "(no longer in the config)"))


def lay_out(record: Record) -> Timeline:
    """The timeline of a record."""
    stamped = [event for event in record.events if isinstance(event.get("monotonic_s"), int | float)]
    events = tuple(sorted(stamped, key=lambda event: (stamp(event), event.get("seq", 0))))
    kinds = {kind.kind: kind for kind in record.kinds}
    of_worker: dict[str, list[Event]] = {}
    for event in events:
        if "worker" in event and str(event["event"]).startswith("worker."):
            of_worker.setdefault(event["worker"], []).append(event)
    rows: dict[str, list[Seen]] = {}
    for sample in record.samples:
        for row in sample.workers:
            rows.setdefault(row.worker, []).append((sample.at, row))
    names = {member.worker for member in record.workers} | set(of_worker)
    lanes = {
        name: _lane(record, name, tuple(of_worker.get(name, ())), tuple(rows.get(name, ()))) for name in sorted(names)
    }
    return Timeline(
        record=record,
        events=events,
        lanes=lanes,
        faults=trace_all(record, events, kinds),
        aways=tuple(_aways(events)),
        kinds=kinds,
    )


def _says_lines_are_missing(event: Event) -> bool:
    if event["event"] != "log.dropped" or "worker" in event:  # a worker's: lines of its output
        return False
    # What stdout did not take was still told to those who follow.
    return not str(event.get("reason", event.get("msg", ""))).startswith("cannot write to ")


def _aways(events: Iterable[Event]) -> Iterable[Away]:
    """A frozen one is away from the freezing on, whether it is continued or killed for its silence."""
    frozen: dict[str, float] = {}
    for event in events:
        if event["event"] == "chaos.injected" and event.get("kind") == "freeze-supervisor":
            frozen[event["chaos_id"]] = stamp(event)
        elif event["event"] == "chaos.undone" and event.get("chaos_id") in frozen:
            yield Away(frozen.pop(event["chaos_id"]), stamp(event), "frozen")
        if event["event"] == "supervisor.resumed":
            away = event.get("away_s") or 0.0
            yield Away(stamp(event) - away, stamp(event), str(event.get("reason", "")))


def _lane(record: Record, name: str, events: tuple[Event, ...], rows: tuple[Seen, ...]) -> Lane:
    lives = _lives(name, events)
    phase = _phase_at_start(record, events, rows)
    gaps = tuple(_gaps(record, events, rows, phase))
    return Lane(name, lives, gaps, events, rows, known=phase is not None)


def _lives(name: str, events: Iterable[Event]) -> tuple[Life, ...]:
    lives: dict[str, Life] = {}
    for event in events:
        spawn_id = event.get("spawn_id")
        if not spawn_id or str(spawn_id).endswith("#0"):  # 0: it never had a process
            continue
        life = lives.setdefault(spawn_id, Life(name, spawn_id))
        match event["event"]:
            case "worker.spawned":
                life.spawned_at = stamp(event)
            case "worker.ready":
                life.ready_at = stamp(event)
            case "worker.ended":
                life.endings.append(event)
                life.ended_at = life.ended_at or stamp(event)
    return tuple(lives.values())


_AFTER = {
    "worker.ready": "ready",
    "worker.spawned": "starting",
    "worker.stopping": "stopping",
    "worker.ended": "ended",
    "worker.quarantined": "quarantined",
    "worker.completed": "done",
}
_IMPLIES_BEFORE = {
    "worker.ready": "starting",
    "worker.spawned": "ended",
    "worker.backed_off": "ended",
    "worker.quarantined": "ended",
    "worker.released": "quarantined",
}


def _phase_at_start(record: Record, events: tuple[Event, ...], rows: tuple[Seen, ...]) -> str | None:
    """What it was when the record began: what came last before that, what the first sample says, or what the events imply."""
    before = [_AFTER[e["event"]] for e in events if stamp(e) <= record.began and e["event"] in _AFTER]
    if before:
        return before[-1]
    for at, row in rows[:1]:
        if not any(stamp(event) <= at for event in events):
            return _PHASES.get(row.phase, "starting")
    return _IMPLIES_BEFORE.get(events[0]["event"], "ready") if events else None


_PHASES = {
    "ready": "ready",
    "stopping": "stopping",
    "backing_off": "ended",
    "quarantined": "quarantined",
    "down": "asked",
}


def _gaps(record: Record, events: tuple[Event, ...], rows: tuple[Seen, ...], phase: str | None) -> Iterable[Gap]:
    """Stretches between two times of being ready, within the record; one reason each, the heaviest."""
    now, since, reasons = phase or "ready", record.began, [phase or "ready"]
    for event in events:
        then = _AFTER.get(event["event"])
        if then is None or stamp(event) <= record.began:
            continue
        at = min(stamp(event), record.ended)
        if then == "ready" and now != "ready":
            yield Gap(since, at, _why(record, rows, reasons, since, at))
        if then != "ready" and now == "ready":
            since, reasons = at, []
        now = then
        reasons.append("asked" if then == "ended" and was_asked(event) else then)
    if now != "ready":
        yield Gap(since, record.ended, _why(record, rows, reasons, since, record.ended))


def _why(record: Record, rows: tuple[Seen, ...], reasons: list[str], begin: float, end: float) -> str:
    if "quarantined" in reasons:
        return "quarantined"
    if "done" in reasons:
        return "done"
    if reasons == [DOWN_BY_WISH]:
        return DOWN_BY_WISH
    if DOWN_BY_WISH in reasons:  # a stop, or only a restart?
        at_rest = reasons[-1] == DOWN_BY_WISH and end >= record.ended
        seen_down = any(row.phase == "down" for at, row in rows if begin <= at <= end)
        return DOWN_BY_WISH if at_rest or seen_down else "stopping"
    return next((reason for reason in ("ended", "stopping", "starting") if reason in reasons), "starting")
