"""Figures: how long each fault took to be noticed, decided upon and over, and how much of the time workers were ready. Pure.

A percentile is the nearest rank: of n values in order the ceil(q * n)-th, so that each is a value that was measured; with few
values the high ones are the largest. All in seconds, from CLOCK_MONOTONIC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from supervisor.chaos.trace import Outcome, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from supervisor.chaos.timeline import Lane, Timeline
    from supervisor.chaos.trace import Traced

METHOD = "nearest rank: the ceil(q * n)-th of n values"
POINTS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Times:
    """Of one fault, in seconds; None: it did not come to that.

    detect_s: injection -> first sign. decide_s: first sign -> what was decided (backoff, quarantine, or at once a next life).
    delay_s: the backoffs asked for until it was ready again, its group's among them. startup_s: spawned -> ready.
    recovery_s: injection -> ready again. own_s: recovery_s less delay_s, what the service itself took.
    """

    detect_s: float | None = None
    decide_s: float | None = None
    delay_s: float | None = None
    startup_s: float | None = None
    recovery_s: float | None = None
    own_s: float | None = None


NAMES = tuple(each.name for each in fields(Times))


@dataclass(frozen=True, slots=True)
class Spread:
    """How values lie; see the head of this file."""

    n: int
    min: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A fault with its times."""

    traced: Traced
    times: Times


@dataclass(frozen=True, slots=True)
class Figures:
    """All of one record. `kinds` and `total`: the spreads by name of a time; `availability`: None where nothing was seen."""

    faults: tuple[Measured, ...]
    kinds: Mapping[str, Mapping[str, Spread]]
    total: Mapping[str, Spread]
    availability: Mapping[str, float | None]
    available: float | None  # of all workers
    window_s: float


def measure(timeline: Timeline) -> Figures:
    """The figures of a timeline."""
    faults = tuple(Measured(traced, times(traced)) for traced in timeline.faults)
    of_kind: dict[str, list[Times]] = {}
    for each in faults:
        of_kind.setdefault(each.traced.fault.kind, []).append(each.times)
    window = timeline.record.ended - timeline.record.began
    shares = {name: _share(lane, window) for name, lane in timeline.lanes.items()}
    return Figures(
        faults=faults,
        kinds={kind: spreads(all_times) for kind, all_times in sorted(of_kind.items())},
        total=spreads(each.times for each in faults),
        availability={name: None if share is None else share[0] / share[1] for name, share in shares.items()},
        available=_total(share for share in shares.values() if share is not None),
        window_s=window,
    )


def times(traced: Traced) -> Times:
    """Of one fault. An effect that was there before the fault took none."""
    at = traced.fault.at
    if traced.sign is None:
        return Times()
    detect = max(0.0, stamp(traced.sign) - at)
    if traced.ready is None or traced.outcome is not Outcome.RECOVERED:
        delay = sum(traced.delays) if traced.delays else None
        return Times(detect_s=detect, decide_s=_decide(traced), delay_s=delay)
    recovery = max(0.0, stamp(traced.ready) - at)
    delay = sum(traced.delays)
    ends_a_life = traced.ending is not None
    return Times(
        detect_s=detect,
        decide_s=_decide(traced),
        delay_s=delay if ends_a_life else None,
        startup_s=None if traced.spawned is None else max(0.0, stamp(traced.ready) - stamp(traced.spawned)),
        recovery_s=recovery,
        own_s=max(0.0, recovery - delay),
    )


def _decide(traced: Traced) -> float | None:
    if traced.decided is None or traced.sign is None:
        return None
    return max(0.0, stamp(traced.decided) - stamp(traced.sign))


def percentile(ordered: Sequence[float], point: float) -> float:
    """Nearest rank of values in ascending order; point 0 to 1. Raises ValueError without values."""
    if not ordered:
        raise ValueError("no values have no percentile")
    # Rounded first: 0.95 * 20 is a little more than 19 in binary, and would be the 20th.
    return ordered[max(0, math.ceil(round(point * len(ordered), 9)) - 1)]


def spread(values: Iterable[float]) -> Spread | None:
    """How they lie; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p95, p99 = (percentile(ordered, point) for point in POINTS)
    return Spread(len(ordered), ordered[0], p50, p95, p99, ordered[-1])


def spreads(all_times: Iterable[Times]) -> dict[str, Spread]:
    """Of each time that was measured at least once."""
    listed = list(all_times)
    found = {name: spread(value for each in listed if (value := getattr(each, name)) is not None) for name in NAMES}
    return {name: each for name, each in found.items() if each is not None}


def availability(timeline: Timeline, workers: Iterable[str] | None = None) -> float | None:
    """The share of the time they should have been ready that they were, 0 to 1; None where nothing was seen."""
    window = timeline.record.ended - timeline.record.began
    names = timeline.lanes if workers is None else workers
    shares = (_share(timeline.lanes[name], window) for name in names if name in timeline.lanes)
    return _total(share for share in shares if share is not None)


def _share(lane: Lane, window: float) -> tuple[float, float] | None:
    """Seconds ready, and seconds it should have been; what somebody wished it down counts for nothing."""
    if not lane.known:
        return None
    wanted = window - sum(gap.end - gap.begin for gap in lane.gaps if not gap.counts)
    missed = sum(gap.end - gap.begin for gap in lane.gaps if gap.counts)
    return None if wanted <= 0 else (max(0.0, wanted - missed), wanted)


def _total(shares: Iterable[tuple[float, float]]) -> float | None:
    listed = list(shares)
    wanted = sum(share[1] for share in listed)
    return sum(share[0] for share in listed) / wanted if wanted > 0 else None
