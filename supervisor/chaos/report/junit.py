"""The report as JUnit XML, for what shows test results: a case for each fault, invariant, probe, and for the blast radius.

A failure is what made the run deviate; what could not be judged is skipped. Characters that XML cannot hold are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from supervisor.chaos.invariants import State
from supervisor.chaos.report import words
from supervisor.chaos.report.words import plain
from supervisor.chaos.trace import Outcome
from supervisor.chaos.verdict import Word

if TYPE_CHECKING:
    from supervisor.chaos.findings import Findings

_FAILED = frozenset({Outcome.LOST})
_OPEN = frozenset({Outcome.OPEN, Outcome.STARTING, Outcome.BACKING_OFF})


def report(findings: Findings) -> str:
    """One file: a suite of faults, one of invariants, one of the hypothesis."""
    suites = ET.Element("testsuites", name=plain(findings.title))
    faults = _suite(suites, "faults", findings)
    for each in findings.figures.faults:
        taken = each.times.recovery_s if each.times.recovery_s is not None else each.times.detect_s
        case = _case(faults, "faults", words.fault(each), taken or 0.0)
        outcome = each.traced.outcome
        _mark(case, words.fate(each), failed=outcome in _FAILED, open_=outcome in _OPEN)
    invariants = _suite(suites, "invariants", findings)
    for rule in findings.invariants:
        case = _case(invariants, "invariants", f"{rule.name}: {rule.claim}", 0.0)
        _mark(case, rule.sentence, failed=rule.state is State.BROKEN, open_=rule.state is State.UNKNOWN)
    case = _case(invariants, "invariants", "blast_radius: nobody but the targets is hurt", 0.0)
    hurt = "; ".join(f"{each.worker} {each.what}" for each in findings.hurts[:50])
    _mark(case, hurt or words.radius(findings), failed=bool(findings.hurts), open_=False)
    hypothesis = _suite(suites, "hypothesis", findings)
    for probe in findings.probes:
        case = _case(hypothesis, "hypothesis", f"{probe.name} ({probe.when})", 0.0)
        _mark(case, probe.got, failed=probe.met is False, open_=probe.met is None)
    case = _case(hypothesis, "hypothesis", f"verdict: {findings.verdict.word}", findings.figures.window_s)
    verdict = findings.verdict
    why = "; ".join(verdict.reasons) or str(verdict.word)
    _mark(case, why, failed=verdict.word is Word.DEVIATED, open_=verdict.word in (Word.ABORTED, Word.INTERRUPTED))
    for suite in suites:
        _count(suite)
    _count(suites)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _suite(suites: ET.Element, name: str, findings: Findings) -> ET.Element:
    return ET.SubElement(suites, "testsuite", name=name, timestamp=findings.record.began_wall[:19])


def _case(suite: ET.Element, kind: str, name: str, taken: float) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"chaos.{kind}", name=plain(name), time=f"{taken:.6f}")


def _mark(case: ET.Element, sentence: str, *, failed: bool, open_: bool) -> None:
    told = plain(sentence)
    if failed:
        ET.SubElement(case, "failure", message=told[:500]).text = told
    elif open_:
        ET.SubElement(case, "skipped", message=told[:500])
    elif told:
        ET.SubElement(case, "system-out").text = told


def _count(element: ET.Element) -> None:
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    element.set("errors", "0")
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.6f}")
