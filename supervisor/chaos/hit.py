"""Hit workers, or a part of the service, through a binding; wait until they have got over it.

What `inject` of the commands, the actions of experiments and the monkey have in common.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from supervisor.chaos import catalogue, choice, leash, outcome
from supervisor.chaos.fault import PART
from supervisor.chaos.session import Refused, Usage
from supervisor.chaos.trace import PARTS, stamp

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from supervisor.chaos.binding import Binding
    from supervisor.chaos.observer import Observer
    from supervisor.chaos.record import Injected, Kind
    from supervisor.chaos.session import Session
    from supervisor.chaos.trace import Traced

WITHIN_S = 30.0
AGAIN_S = 0.2  # between two looks at `status`, unless something happens


def targets(
    chaos: Mapping[str, Any],
    kind: str,
    pattern: str,
    random: random.Random,
    *,
    count: int | None = None,
    percent: float | None = None,
    everyone: bool = False,
) -> list[str]:
    """Exact names of the workers that a fault of this kind would hit, by what the verb `chaos` answered.

    None for a fault in a part of the service. Refused: as many cannot be had. Usage: no such kind, no such worker.
    """
    if check_kind(chaos, kind)["place"] == PART:
        return []
    try:
        return choice.choose(
            chaos["may_hit"], chaos["ready"], pattern, random, count=count, percent=percent, everyone=everyone
        )
    except choice.NoSuchWorker as error:
        raise Usage(str(error)) from error
    except choice.TooFew as error:
        raise Refused(str(error)) from error


def check_kind(chaos: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """What the catalogue says of a kind. Usage: there is none such. Refused: it cannot be done here at all."""
    kinds: dict[str, Mapping[str, Any]] = {each["kind"]: each for each in chaos["kinds"]}
    if kind not in kinds:
        raise Usage(catalogue.no_such(kind, kinds))
    if not chaos["enabled"]:
        raise Refused(leash.DISABLED)
    if not kinds[kind]["possible"]:
        raise Refused(f"{kind} is impossible here: {kinds[kind]['why']}")
    if kinds[kind]["place"] == PART:
        if not chaos["settings"]["parts"]:
            raise Refused(f"{kind}: the service's own processes may not be hit: set parts = true under [chaos]")
    elif not chaos["may_hit"]:
        raise Refused("no worker may be hit: none has chaos = true, or all that have are protected")
    return kinds[kind]


def traced(observer: Observer, faults: Iterable[Injected]) -> list[Traced]:
    """What has become of each by now."""
    now, kinds, members = time.monotonic(), observer.kinds, observer.members_by_name
    asked = list(faults)
    lives = {fault.spawn_id for fault in asked}
    rivals = [one for one in observer.session.faults if one.spawn_id in lives]
    found = []
    for one in asked:
        events, member = events_of(observer, one, kinds), members.get(one.worker or "")
        found.append(outcome.trace(one, events, now=now, kinds=kinds, member=member, others=rivals))
    return found


def is_over(observer: Observer, each: Traced, now: float) -> bool:
    """Whether nothing more can come of it, at `now` (monotonic)."""
    return outcome.is_over(each, now, observer.members_by_name.get(each.fault.worker or ""))


def events_of(observer: Observer, fault: Injected, kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """Those that can tell of it, from just before it on."""
    since = fault.at - 1.0
    kind = kinds.get(fault.kind)
    if fault.worker is not None and fault.kind not in PARTS and (kind is None or kind.place != PART):
        return observer.events(worker=fault.worker, since=since)
    return [event for event in observer.events(since=since) if not event["event"].startswith("worker.")]


def wait(binding: Binding, faults: Sequence[Injected], within: float = WITHIN_S) -> list[Traced]:
    """Return when all of them are over, or `within` seconds after the last should have been undone. Halted."""
    observer = binding.observer
    pending = list(faults)

    def look() -> bool:
        now = time.monotonic()
        over = {each.fault.chaos_id for each in traced(observer, pending) if is_over(observer, each, now)}
        pending[:] = [fault for fault in pending if fault.chaos_id not in over]
        return not pending or binding.is_called_off()

    latest = max((fault.until or fault.at for fault in faults), default=0.0)
    observer.wait_until(look, max(0.0, latest - time.monotonic()) + within)
    if pending:
        binding.check()
    return traced(observer, faults)


def settle(binding: Binding, within: float = WITHIN_S) -> bool:
    """Whether every fault of ours was over, and every worker that is wanted was ready, within so many seconds."""
    return _until(binding, is_all_ready, within)


def come_to_rest(binding: Binding, within: float = WITHIN_S) -> bool:
    """The same, but a worker that was given up is not waited for."""
    return _until(binding, is_at_rest, within)


def _until(binding: Binding, well: Callable[[Iterable[Mapping[str, Any]]], bool], within: float) -> bool:
    session = binding.session
    deadline = time.monotonic() + within
    wait(binding, session.faults, within)
    while not (well(session.status()["workers"]) and not _ours(session)):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        binding.observer.wait_for_news(min(left, AGAIN_S))
        binding.check()
    return True


def is_all_ready(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Of rows of `status`: whether each that is wanted up, and is not done, is ready."""
    return all(row["phase"] == "ready" for row in rows if row["want"] == "up" and row["verdict"] != "done")


def is_at_rest(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether none of them is on its way up or down."""
    return not any(row["phase"] in {"starting", "stopping", "waiting", "backing_off"} for row in rows)


def _ours(session: Session) -> bool:
    mine = {fault.chaos_id for fault in session.faults}
    return any(each["chaos_id"] in mine for each in session.chaos()["active"])


def told(each: Traced) -> dict[str, Any]:
    """For a journal: a fault and what became of it, seconds after it."""
    fault, at = each.fault, each.fault.at
    moments = {"detect_s": each.sign, "recovery_s": each.ready, "undone_s": each.undone}
    return {
        "chaos_id": fault.chaos_id, "kind": fault.kind, "worker": fault.worker, "spawn_id": fault.spawn_id,
        "pid": fault.pid, "at": at, "outcome": str(each.outcome), "parameters": fault.parameters,
        **{name: None if event is None else round(stamp(event) - at, 6) for name, event in moments.items()},
    }  # fmt: skip
