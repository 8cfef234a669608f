"""What has become of a fault so far, for somebody who waits for its end or looks on. Pure: what `trace` finds, by now.

The report traces all faults when everything is over; here one is traced again and again while it is going on, so the
record it is traced in holds nothing but what was done to that life and the events of its target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor.chaos.record import Record, Service
from supervisor.chaos.trace import PARTS, Outcome, Traced, stamp, trace_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from supervisor.chaos.record import Injected, Kind, Member

Event = dict[str, Any]

UNSEEN_S = 1.0
_NO_PART: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
SETTLED = frozenset({Outcome.RECOVERED, Outcome.QUARANTINED, Outcome.STOPPED})


def trace(
    fault: Injected,
    events: Iterable[Event],
    *,
    now: float,
    kinds: Mapping[str, Kind],
    member: Member | None = None,
    others: Iterable[Injected] = (),
) -> Traced:
    """What became of it by `now` (monotonic). events: of its worker; all, if it was done to a part of the service.

    others: faults of which some may have been done to the same life; what is seen after those is not this one's doing.
    """
    rivals = [
        one for one in others
        if one.spawn_id is not None and one.spawn_id == fault.spawn_id and one.chaos_id != fault.chaos_id
    ]  # fmt: skip
    stamped = sorted((event for event in events if "monotonic_s" in event), key=stamp)
    record = Record(
        service=Service(name=""), began=fault.at, ended=now, began_wall="", events=tuple(stamped), faults=(fault, *rivals),
        workers=() if member is None else (member,),
    )  # fmt: skip
    return trace_all(record, stamped, kinds)[0]


def unseen_after(traced: Traced, member: Member | None) -> float:
    """Seconds after which a fault that neither lasts nor must end a life has done nothing, for all that is seen.

    One that can end it may do so by silence: that of a worker is noticed after `beat_within`, and once more that long
    when it was given the benefit of the doubt.
    """
    beat_within = member.beat_within if member is not None else None
    return UNSEEN_S if traced.kind.ends == "never" or beat_within is None else UNSEEN_S + 2 * beat_within


def is_over(traced: Traced, now: float, member: Member | None = None) -> bool:
    """Whether nothing more can come of it. member: its worker, as it was when the record began."""
    if traced.outcome in SETTLED:
        return True
    if traced.outcome is not Outcome.PASSED or traced.kind.ends == "ending":
        return traced.ended_before
    if traced.sign is not None and traced.sign["event"] == "worker.hung":
        return traced.ended_otherwise  # it is being put down
    if traced.undone is not None:  # with the end of its life, before anybody has told what became of that
        return traced.undone.get("reason") != "ended" or traced.kind.place == "part" or traced.ended_before
    if traced.kind.lasting or PARTS.get(traced.fault.kind, _NO_PART)[1]:
        return False  # it is still to be undone, or the part of the service to be heard of again
    return now - traced.fault.at > unseen_after(traced, member)


def sentence(traced: Traced) -> str:
    """For people, once it is over or given up: "recovered in 4.1 ms"."""
    fault = traced.fault
    match traced.outcome:
        case Outcome.RECOVERED if traced.ready is not None:
            return f"recovered in {milliseconds(stamp(traced.ready) - fault.at)}"
        case Outcome.QUARANTINED | Outcome.STOPPED | Outcome.LOST | Outcome.STARTING | Outcome.BACKING_OFF:
            return str(traced.outcome)
    if traced.ended_before:
        return "its life had just ended by itself"
    if traced.undone is not None:
        how = f"{traced.undone.get('reason')}: {traced.undone.get('how')}"
        return f"undone after {milliseconds(stamp(traced.undone) - fault.at)} ({how}), lived on"
    return "lived on"


def milliseconds(seconds: float) -> str:
    """A stretch of time as people compare it: 4.1 ms, 1.25 s."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
