"""What an experiment can ask: how the service is, and how it has taken what was done to it since the run began.

These are the probes of the Chaos Toolkit's catalogue and of our own runner alike; what a function takes and says of itself is
what the catalogue shows, so annotations are real types here. All times are in seconds.
"""

import time
from fnmatch import fnmatchcase
from typing import Any

from supervisor.chaos import allowances, blast, consequences, figures, hit, timeline, trace
from supervisor.chaos.binding import Binding, current
from supervisor.chaos.invariants import State
from supervisor.chaos.session import Usage

__all__ = [
    "all_ready",
    "availability",
    "blast_radius",
    "broken_invariants",
    "count",
    "felled",
    "hurt",
    "impatient",
    "phase",
    "recovery",
    "same_anchor",
    "same_supervisor",
    "silenced",
    "slow",
    "spared",
    "unnoticed",
    "unrecovered",
]


def all_ready(worker: str = "*", within: float = 0.0, *, configuration: dict[str, Any] | None = None) -> bool:
    """Whether every worker that matches the glob, and is wanted up, is ready, or gets ready within so many seconds."""
    binding = current(configuration)
    deadline = time.monotonic() + within
    while not hit.is_all_ready(_rows(binding, worker)):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        binding.observer.wait_for_news(min(left, hit.AGAIN_S))
    return True


def phase(worker: str, *, configuration: dict[str, Any] | None = None) -> str:
    """The phase of one worker: down, waiting, starting, ready, stopping, backing_off or quarantined."""
    return str(_rows(current(configuration), worker)[0]["phase"])


def availability(worker: str = "*", *, configuration: dict[str, Any] | None = None) -> float:
    """The share of the time since the run began in which workers that match the glob were ready, 0 to 1."""
    laid = _timeline(current(configuration))
    names = [name for name in laid.lanes if fnmatchcase(name, worker)]
    if not names:
        raise Usage(f"{worker!r} matches no worker")
    found = figures.availability(laid, names)
    if found is None:
        raise RuntimeError(f"nothing is known yet of how long {worker!r} was ready")
    return found


def hurt(expected: list | None = None, *, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """The workers to which something happened that no fault was meant for: the blast radius, by name.

    expected: names or globs of workers that may be hurt as well.
    """
    return list(blast.names(blast.blast(_timeline(current(configuration)), expected or ())))


def blast_radius(expected: list | None = None, *, configuration: dict[str, Any] | None = None) -> int:  # type: ignore[type-arg]
    """How many workers `hurt` names."""
    return len(hurt(expected, configuration=configuration))


def recovery(kind: str | None = None, point: float = 0.95, *, configuration: dict[str, Any] | None = None) -> float:
    """Seconds from injection to ready again: this percentile over the faults of a kind, or all, that have recovered.

    Raises RuntimeError if none has.
    """
    laid = _timeline(current(configuration))
    taken = [
        each.times.recovery_s
        for each in figures.measure(laid).faults
        if kind in (None, each.traced.fault.kind) and each.times.recovery_s is not None
    ]
    if not taken:
        raise RuntimeError(f"no fault{f' of kind {kind}' if kind else ''} has been recovered from yet")
    return figures.percentile(sorted(taken), point)


def unrecovered(*, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """Workers, or `the service`, that were hit and whose fault is not over: neither recovered from nor undone."""
    over = {trace.Outcome.RECOVERED, trace.Outcome.PASSED}
    return [each.name for each in _timeline(current(configuration)).faults if each.outcome not in over]


def unnoticed(
    event: str | list,  # type: ignore[type-arg]
    kind: str | None = None,
    worker: str = "*",
    within: float = 3.0,
    *,
    configuration: dict[str, Any] | None = None,
) -> list:  # type: ignore[type-arg]
    """Workers, or `the service`, that were hit and of which no such event came, not even within so many seconds from now.

    event: a name or a glob, or a list of them, of which one is enough. kind, worker: of those faults only. Nobody, as long
    as no fault was injected.
    """
    binding = current(configuration)
    names = [event] if isinstance(event, str) else event

    def look() -> list[str]:
        return [each.name for each in consequences.unnoticed(_timeline(binding), names, kind=kind, worker=worker)]

    binding.observer.wait_until(lambda: not look(), within)
    return look()


def felled(kind: str | None = None, worker: str = "*", *, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """Workers that were hit by a fault, of this kind if one is named, which ended their lives."""
    laid = _timeline(current(configuration))
    return [each.name for each in consequences.felled(laid, kind=kind, worker=worker)]


def slow(
    than: float,
    figure: str = "own_s",
    kind: str | None = None,
    worker: str = "*",
    *,
    configuration: dict[str, Any] | None = None,
) -> list:  # type: ignore[type-arg]
    """Workers, or `the service`, that were hit and for which a figure of the report is above so many seconds, or not there.

    figure: detect_s, decide_s, delay_s, startup_s, recovery_s or own_s (recovery less the backoff asked for).
    """
    if figure not in figures.NAMES:
        raise Usage(f"no figure is called {figure!r}: there are {', '.join(figures.NAMES)}")
    laid = _timeline(current(configuration))
    return [each.name for each in consequences.slow(laid, than, figure=figure, kind=kind, worker=worker)]


def spared(*, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """Members of groups that did not restart, though their group's strategy says so of one that was hit and ended."""
    return list(consequences.spared(_timeline(current(configuration))))


def impatient(worker: str = "*", *, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """Workers that were started again before their backoff was over, or whose backoffs do not grow within a streak."""
    return list(consequences.impatient(_timeline(current(configuration)), worker))


def silenced(
    lines: int, kind: str | None = None, within: float = 3.0, *, configuration: dict[str, Any] | None = None
) -> list:  # type: ignore[type-arg]
    """Workers that were hit and of whose output fewer lines than these have come, even within so many seconds from now.

    Raises RuntimeError if there was so much output that it was not counted.
    """
    binding = current(configuration)
    hit_ones = {one.worker for one in binding.session.faults if one.worker is not None and kind in (None, one.kind)}

    def look() -> list[str]:
        counts = {name: binding.observer.lines(name) for name in hit_ones}
        if None in counts.values():
            raise RuntimeError("there was a flood of output, and nobody has counted the lines")
        return sorted(name for name, number in counts.items() if (number or 0) < lines)

    binding.observer.wait_until(lambda: not look(), within)
    return look()


def count(event: str, worker: str | None = None, *, configuration: dict[str, Any] | None = None) -> int:
    """How many events of this name, or glob, there were since the run began; of one worker, if one is named."""
    happened = current(configuration).observer.events(worker=worker)
    return sum(fnmatchcase(each["event"], event) for each in happened)


def broken_invariants(*, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """The names of the invariants that are broken as far as can be told by now."""
    binding = current(configuration)
    record = binding.observer.inspected(seed=binding.seed, expected=binding.expected)
    checked = allowances.check(timeline.lay_out(record))
    return [each.name for each in checked if each.state is State.BROKEN]


def same_supervisor(*, configuration: dict[str, Any] | None = None) -> bool:
    """Whether the supervisor's process is the one that was there when the run began."""
    binding = current(configuration)
    return bool(binding.session.status()["supervisor"]["pid"] == binding.observer.own["pid"])


def same_anchor(*, configuration: dict[str, Any] | None = None) -> bool:
    """Whether the anchor's process is the one that was there when the run began."""
    binding = current(configuration)
    return bool(binding.session.status()["supervisor"]["anchor_pid"] == binding.observer.own["anchor_pid"])


def _rows(binding: Binding, pattern: str) -> list[dict[str, Any]]:
    """Of `status`; Usage when the glob matches nothing, which would otherwise look like a service that is well."""
    rows = [row for row in binding.session.status()["workers"] if fnmatchcase(row["worker"], pattern)]
    if not rows:
        raise Usage(f"{pattern!r} matches no worker")
    return rows


def _timeline(binding: Binding) -> timeline.Timeline:
    return timeline.lay_out(binding.record())
