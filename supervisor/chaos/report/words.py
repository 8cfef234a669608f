"""The words that all formats share: the same fact is said in the same sentence everywhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.chaos import blast
from supervisor.chaos.invariants import count
from supervisor.chaos.trace import Outcome

if TYPE_CHECKING:
    from supervisor.chaos.figures import Measured, Spread
    from supervisor.chaos.findings import Findings

TIMES = {
    "detect_s": "until noticed",
    "decide_s": "until decided",
    "delay_s": "backoff asked for",
    "startup_s": "start-up",
    "recovery_s": "until ready again",
    "own_s": "of it without the backoff",
}
"""The times of a fault, in the order in which they pass."""

POINTS = ("min", "p50", "p95", "p99", "max")

GAPS = {
    "ended": "ended, not ready again",
    "stopping": "put down or restarted",
    "starting": "starting",
    "quarantined": "quarantined",
    "asked": "stopped by wish",
    "done": "completed",
}
"""Why a worker was not ready."""


def plain(text: object) -> str:
    """Text of somebody else's on one line: what is not to be seen is shown, not obeyed, the direction of writing included."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in str(text))


def seconds(value: float | None) -> str:
    """As exact as anybody wants to know: 0.4 ms, 31 ms, 1.25 s, 31.2 s, 5 min 12 s, 24 h 0 min."""
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{value * 1000:.1f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def share(value: float | None) -> str:
    """A share of the time: 100 %, 99.97 %; never rounded up to all of it."""
    if value is None:
        return "unknown"
    percent = value * 100
    for digits in (2, 3, 4):
        text = f"{percent:.{digits}f}"
        if value >= 1 or float(text) < 100:
            return f"{text.rstrip('0').rstrip('.')} %"
    return "99.9999 %"


def summary(findings: Findings) -> str:
    """What was done, in one sentence."""
    figures, record = findings.figures, findings.record
    kinds = count(len(figures.kinds), "kind")
    seed = f"; seed {record.seed}" if record.seed is not None else ""
    on = f"{findings.hit} of {count(len(findings.timeline.lanes), 'worker')}"
    return f"{count(len(figures.faults), 'fault')} of {kinds} on {on} in {seconds(figures.window_s)}{seed}."


def outcomes(findings: Findings) -> str:
    """What became of them: "12 recovered, 1 quarantined"."""
    numbers = dict.fromkeys(Outcome, 0)
    for each in findings.figures.faults:
        numbers[each.traced.outcome] += 1
    return ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number) or "no fault was injected"


def radius(findings: Findings) -> str:
    """The blast radius as a number and a share."""
    names = blast.names(findings.hurts)
    others = len(findings.timeline.lanes)
    part = f" of {others} ({len(names) / others:.1%})" if others else ""
    return f"{len(names)}{part}"


def fault(one: Measured) -> str:
    """One fault: "kill of w-0 (3fa9c1d2)"."""
    traced = one.traced
    return f"{traced.fault.kind} of {traced.name} ({traced.fault.chaos_id})"


def fate(one: Measured) -> str:
    """What became of it: "recovered after 31 ms, noticed after 0.4 ms"."""
    traced, times = one.traced, one.times
    parts = [str(traced.outcome)]
    if times.recovery_s is not None:
        parts[0] += f" after {seconds(times.recovery_s)}"
    if times.delay_s:
        parts.append(f"{seconds(times.delay_s)} of it backoff")
    if times.detect_s is not None and traced.sign is not None:
        parts.append(f"noticed after {seconds(times.detect_s)} ({traced.sign['event']})")
    if traced.ended_before:
        parts.append("its life had just ended by itself")
    if traced.undone is not None and traced.ending is None:
        parts.append(f"undone: {plain(traced.undone.get('reason', ''))}")
    return ", ".join(parts)


def is_odd(one: Measured) -> bool:
    """Whether it is worth a line of its own among hundreds."""
    return one.traced.outcome not in (Outcome.RECOVERED, Outcome.PASSED)


def figures(findings: Findings) -> list[tuple[str, ...]]:
    """The table of times: kind (once), which time, n, and the points; all together last, where there is more than one kind."""
    found = findings.figures
    kinds = [*found.kinds.items(), *([("all", found.total)] if len(found.kinds) > 1 else [])]
    rows = []
    for kind, spreads in kinds:
        named = kind
        for name, title in TIMES.items():
            each = spreads.get(name)
            if each is not None:
                rows.append((named, title, str(each.n), *(spread(each, point) for point in POINTS)))
                named = ""
    return rows


def spread(found: Spread | None, point: str) -> str:
    """One cell of a table of spreads."""
    return "-" if found is None else seconds(getattr(found, point))
