"""The report as data: what programs read, `--format json`. The names of the keys are kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.chaos import blast
from supervisor.chaos.figures import METHOD

if TYPE_CHECKING:
    from supervisor.chaos.figures import Measured
    from supervisor.chaos.findings import Findings


def report(findings: Findings) -> str:
    """JSON in ASCII, so that whatever stands in a journal can be said; indented, with a newline at its end."""
    return json.dumps(as_data(findings), indent=2) + "\n"


def as_data(findings: Findings) -> dict[str, Any]:
    """The same as builtins. Moments are seconds after the beginning, spans seconds, shares 0 to 1."""
    record, figures, verdict = findings.record, findings.figures, findings.verdict
    names = blast.names(findings.hurts)
    return {
        "title": findings.title,
        "verdict": str(verdict.word),
        "reasons": list(verdict.reasons),
        "unknown": list(verdict.beside),
        "service": msgspec.to_builtins(record.service),
        "began": record.began_wall,
        "window_s": figures.window_s,
        "seed": record.seed,
        "workers": len(findings.timeline.lanes),
        "percentiles": METHOD,
        "total": {name: asdict(spread) for name, spread in figures.total.items()},
        "kinds": {
            kind: {
                "faults": sum(each.traced.fault.kind == kind for each in figures.faults),
                **{name: asdict(spread) for name, spread in spreads.items()},
            }
            for kind, spreads in figures.kinds.items()
        },
        "availability": {"total": figures.available, "workers": dict(figures.availability)},
        "blast_radius": {
            "count": len(names),
            "share": len(names) / len(findings.timeline.lanes) if findings.timeline.lanes else 0.0,
            "workers": list(names),
            "hurt": [
                {"worker": each.worker, "at": each.at - record.began, "what": each.what} for each in findings.hurts
            ],
        },
        "invariants": [
            {"name": each.name, "claim": each.claim, "state": str(each.state), "sentence": each.sentence}
            for each in findings.invariants
        ],
        "hypothesis": [asdict(each) for each in findings.probes],
        "activities": [asdict(each) for each in findings.activities],
        "faults": [_fault(each, record.began) for each in figures.faults],
        "supervisor_away": [
            {"at": away.begin - record.began, "for_s": away.end - away.begin, "reason": away.reason}
            for away in findings.timeline.aways
        ],
    }


def _fault(one: Measured, began: float) -> dict[str, Any]:
    traced = one.traced
    return {
        "chaos_id": traced.fault.chaos_id,
        "kind": traced.fault.kind,
        "worker": traced.fault.worker,
        "spawn_id": traced.fault.spawn_id,
        "at": traced.fault.at - began,
        "parameters": traced.fault.parameters,
        "outcome": str(traced.outcome),
        "sign": None if traced.sign is None else traced.sign["event"],
        **asdict(one.times),
    }
