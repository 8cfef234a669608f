"""Everything a report says, found once, so that every format says the same. Pure.

A journal is the Chaos Toolkit's; what is not of the shape its format demands is passed over, for a report is wanted most of
runs that went wrong. The texts in it are other people's: a format escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor.chaos import allowances, blast, figures, timeline
from supervisor.chaos.record import within
from supervisor.chaos.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from supervisor.chaos.blast import Hurt
    from supervisor.chaos.figures import Figures
    from supervisor.chaos.invariants import Invariant
    from supervisor.chaos.record import Record
    from supervisor.chaos.timeline import Timeline
    from supervisor.chaos.verdict import Verdict

EXPLAINED = "the steady state did not hold"


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of the hypothesis, asked once. when: before | during | after; met: None, it was not asked to an end."""

    when: str
    name: str
    met: bool | None
    got: str


@dataclass(frozen=True, slots=True)
class Activity:
    """One action or probe of the method or of the rollbacks."""

    part: str  # method | rollbacks
    kind: str
    name: str
    status: str
    took_s: float | None
    told: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All of one run."""

    title: str
    description: str
    record: Record
    timeline: Timeline
    figures: Figures
    hurts: tuple[Hurt, ...]
    invariants: tuple[Invariant, ...]
    probes: tuple[Probe, ...]
    activities: tuple[Activity, ...]
    verdict: Verdict

    @property
    def hit(self) -> int:
        """How many workers were a target."""
        return len(self.timeline.targets)


def of_journal(journal: Mapping[str, Any]) -> Findings:
    """What a journal tells; raises record.NoRecord."""
    experiment = _mapping(journal.get("experiment"))
    probes = tuple(_probes(journal))
    activities = (*_activities(journal, "run", "method"), *_activities(journal, "rollbacks", "rollbacks"))
    return find(
        within(journal),
        title=str(experiment.get("title") or "Chaos"),
        description=str(experiment.get("description") or ""),
        probes=probes,
        activities=activities,
        status=str(journal.get("status") or "completed"),
        deviated=journal.get("deviated") is True,
    )


def find(
    record: Record,
    *,
    title: str = "Chaos",
    description: str = "",
    probes: tuple[Probe, ...] = (),
    activities: tuple[Activity, ...] = (),
    status: str = "completed",
    deviated: bool = False,
) -> Findings:
    """What a record tells. deviated: what the runner of an experiment said of its hypothesis."""
    laid = timeline.lay_out(record)
    hurts = blast.blast(laid)
    checked = allowances.check(laid)
    unmet = [
        f"{EXPLAINED} {probe.when} the method: {probe.name} gave {probe.got}" for probe in probes if probe.met is False
    ]
    if deviated and not unmet:
        unmet = [f"{EXPLAINED}, says the runner"]
    return Findings(
        title=title,
        description=description,
        record=record,
        timeline=laid,
        figures=figures.measure(laid),
        hurts=hurts,
        invariants=checked,
        probes=probes,
        activities=activities,
        verdict=judge(hurts, checked, hypothesis=unmet, status=status),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [_mapping(each) for each in value] if isinstance(value, list) else []


def _probes(journal: Mapping[str, Any]) -> Iterator[Probe]:
    states = _mapping(journal.get("steady_states"))
    for when in ("before", "during", "after"):
        state = states.get(when)
        for each in _rows(state) if isinstance(state, list) else [_mapping(state)]:
            for run in _rows(each.get("probes")):
                name = str(_mapping(run.get("activity")).get("name") or "?")
                met = run.get("tolerance_met")
                got = run.get("output") if run.get("status") == "succeeded" else _failure(run)
                yield Probe(when, name, met if isinstance(met, bool) else None, _short(got))


def _activities(journal: Mapping[str, Any], key: str, part: str) -> Iterator[Activity]:
    for run in _rows(journal.get(key)):
        activity = _mapping(run.get("activity"))
        took = run.get("duration")
        status = str(run.get("status") or "?")
        told = run.get("output") if status == "succeeded" else _failure(run)
        yield Activity(
            part=part,
            kind=str(activity.get("type") or "?"),
            name=str(activity.get("name") or "?"),
            status=status,
            took_s=float(took) if isinstance(took, int | float) else None,
            told=_short(told),
        )


def _failure(run: Mapping[str, Any]) -> object:
    exception = run.get("exception")
    if isinstance(exception, list):  # a traceback in lines: the last says what
        lines = [str(line).strip() for line in exception if str(line).strip()]
        return lines[-1] if lines else "failed"
    return exception or run.get("output") or "failed"


def _short(value: object, most: int = 200) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
