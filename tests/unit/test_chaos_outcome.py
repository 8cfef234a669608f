"""When a fault is over, for somebody who waits for it: what has come of it by now, and whether more can come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supervisor.chaos import outcome
from supervisor.chaos.record import Injected, Kind, Member

AT = 100.0
KINDS = {
    kind.kind: kind
    for kind in (
        Kind(kind="kill", place="outside", ends="ending"),
        Kind(kind="freeze", place="outside", ends="maybe", lasting=True),
        Kind(kind="pipe-close", place="inside", ends="maybe"),
        Kind(kind="hb-burst", place="inside", ends="never"),
        Kind(kind="upgrade", place="part", ends="never"),
        Kind(kind="kill-pump", place="part", ends="never"),
    )
}
BEATING = Member(worker="w", beat_within=2.0)


def event(name: str, after: float, **fields: Any) -> dict[str, Any]:
    mine = {} if not name.startswith("worker.") else {"worker": "w", "spawn_id": "w#1"}
    return {"event": name, "monotonic_s": AT + after, **mine, **fields}


UNDONE = event("chaos.undone", 1.0, chaos_id="c", reason="over", how="SIGCONT")
ENDED = event("worker.ended", 0.1, how="SIGKILL", chaos_id="c")
READY = event("worker.ready", 0.2, spawn_id="w#2")


@pytest.mark.parametrize(
    ("kind", "events", "after", "over", "says"),
    [
        ("kill", [], 60, False, "lost"),
        ("kill", [ENDED], 1, False, None),
        ("kill", [ENDED, READY], 1, True, "recovered in 200.0 ms"),
        ("kill", [ENDED, event("worker.quarantined", 0.2)], 1, True, "quarantined"),
        ("freeze", [], 60, False, None),
        ("freeze", [event("worker.frozen", 0.01)], 60, False, None),
        ("freeze", [event("worker.frozen", 0.01), UNDONE], 2, True, "undone after 1.00 s (over: SIGCONT), lived on"),
        ("freeze", [event("worker.hung", 0.9), UNDONE], 2, False, None),
        ("freeze", [UNDONE | {"reason": "ended"}], 2, False, None),
        ("pipe-close", [], 4.9, False, None),
        ("pipe-close", [], 5.1, True, "lived on"),
        ("hb-burst", [], 1.1, True, "lived on"),
        ("upgrade", [], 20, False, None),
        ("upgrade", [event("supervisor.upgraded", 1.5)], 2, True, "recovered in 1.50 s"),
        ("kill-pump", [event("pump.ended", 0.01)], 2, False, None),
        ("kill-pump", [event("pump.ended", 0.01), event("pump.ready", 0.1)], 2, True, "recovered in 100.0 ms"),
    ],
)
def test_a_fault_is_over_when_nothing_more_can_come_of_it(
    kind: str, events: list[dict[str, Any]], after: float, over: bool, says: str | None
) -> None:
    """An ending wants a next life, a lasting fault its undoing, silence as long as a silence may go unnoticed."""
    worker = None if KINDS[kind].place == "part" else "w"
    fault = Injected(
        chaos_id="c",
        kind=kind,
        at=AT,
        worker=worker,
        spawn_id=worker and "w#1",
        until=AT + 90 if kind == "freeze" else None,
    )
    now = AT + after
    traced = outcome.trace(fault, events, now=now, kinds=KINDS, member=BEATING)
    assert outcome.is_over(traced, now, BEATING) is over
    if says is not None:
        assert outcome.sentence(traced) == says


HUNG = event("worker.hung", 5.0)
ENDED_BY_THE_NEXT = event("worker.ended", 5.1, how="SIGKILL", chaos_id="d")


def burst(*events: dict[str, Any], others: tuple[Injected, ...] = ()) -> bool:
    """Whether one that does nothing is over after 20 s in which such things came."""
    fault = Injected(chaos_id="c", kind="hb-burst", at=AT, worker="w", spawn_id="w#1")
    itself = msgspec.structs.replace(fault, parameters={"as": "another tells of it"})
    traced = outcome.trace(fault, events, now=AT + 20, kinds=KINDS, member=BEATING, others=(itself, *others))
    return outcome.is_over(traced, AT + 20, BEATING)


def test_what_the_next_fault_does_to_the_same_life_is_not_waited_for() -> None:
    """The worker falls silent by another's doing: who asks again whether the first is over is told so as before."""
    later = Injected(chaos_id="d", kind="freeze", at=AT + 3, worker="w", spawn_id="w#1", until=AT + 90)
    assert not burst(HUNG), "by its own doing, for all that is known: it is being put down"
    assert burst(HUNG, others=(later,))


def test_nothing_more_comes_of_a_fault_whose_life_has_ended_by_another() -> None:
    """Whichever of them came first."""
    earlier = Injected(chaos_id="d", kind="freeze", at=AT - 3, worker="w", spawn_id="w#1", until=AT + 90)
    assert not burst(HUNG, others=(earlier,))
    assert burst(HUNG, ENDED_BY_THE_NEXT, others=(earlier,))
    assert burst(HUNG, ENDED_BY_THE_NEXT)
