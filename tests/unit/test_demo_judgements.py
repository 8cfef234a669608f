"""What each experiment of the demo says of worlds in which its claim holds, does not, or could not be seen."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.cli.demo import text
from supervisor.cli.paint import width
from supervisor.demo import catalogue, machine
from supervisor.demo.experiments import (
    classes,
    creation,
    design,
    isolation,
    libraries,
    memory,
    performance,
    placement,
    pool,
    power,
    process,
    processes,
    resources,
    responsiveness,
    simultaneous,
)
from supervisor.demo.frame import Held, Report, Result
from supervisor.demo.page import page
from supervisor.demo.work import Spent

YES, NO, NOT_HERE = Held.YES, Held.NO, Held.NOT_HERE
HELLO = ("Hello, Alice!",)
ROOMY, CRASHED = frozenset({0, 1}), "TaskFailed: crash: given up\nworker 12: killed by SIGSEGV"


def four(*pids: int, last: str = "success", line: str = "Number: 4") -> processes.Seen:
    lives = [processes.Life(f"Number: {at}", pid, "success") for at, pid in enumerate(pids[:3], 1)]
    return processes.Seen((*lives, processes.Life(line, pids[3], last)))


def programs(ours: str, theirs: str = pool.EXPECTED, code: int = 0, changed: int = 1) -> pool.Seen:
    return pool.Seen(pool.Run(ours, code, 0.06), pool.Run(theirs, 0, 0.08), changed)


def speed(workers: float, others: float = 0.0) -> performance.Seen:
    return performance.Seen(1.0, {1: 1.0, 2: 1 / workers}, {1: 1.0, 2: 1.1}, others)


def late(itself: float, thread: float, worker: float, worst: float = 0.001) -> responsiveness.Seen:
    one = responsiveness.Late
    nothing = one(0.0001, 0.0002, 0.001)
    return responsiveness.Seen(nothing, one(itself, itself, 1.0), one(thread, thread, 1.0), one(worker, worst, 1.0))


def counted(workers: int, unlocked: int = 700) -> design.Seen:
    return design.Seen(1000, design.Count(unlocked, 0.1), design.Count(1000, 0.3), design.Count(workers, 0.1))


def fault(
    *, code: int = -11, error: str = CRASHED, pids: tuple[int, ...] = (4, 5, 6), gap: float = 0.003, after: int = 45
) -> isolation.Seen:
    before = tuple(isolation.Ticks(pid, 900, 0.002) for pid in (4, 5, 6))
    during = tuple(isolation.Ticks(pid, 900, gap) for pid in pids)
    return isolation.Seen(code, error, before, during, after)


def library(*, right: bool) -> libraries.Library:
    return libraries.Library(right, 0.1, 20.0, 0.002, 5.0)


def placed(free: frozenset[int], alone: frozenset[int], rate: float) -> placement.Seen:
    spread = (placement.Stay(frozenset({0}), frozenset({0}), 0, 50.0),) * 3
    shared = placement.Stay(frozenset({1}), frozenset({1}), 0, 30.0)
    unequal = (placement.Stay(frozenset({0}), alone, 0, rate), shared, shared)
    stays: dict[str, tuple[placement.Stay, ...]] = {
        "symmetric": (placement.Stay(free, free, 4, 40.0),) * 3,
        "spread": spread,
        "asymmetric": unequal,
    }
    return placement.Seen(ROOMY, (0, 1), stays)


def stayed(worker: int, thread: int) -> classes.Seen:
    return classes.Seen(
        (classes.Stay(0, frozenset({0})), classes.Stay(1, frozenset({worker}))),
        (classes.Stay(0, frozenset({0})), classes.Stay(1, frozenset({thread}))),
    )


def wrote(worker: str, thread: str, pid: int = 8) -> memory.Seen:
    return memory.Seen(7, memory.Write(pid, "worker", worker), memory.Write(7, "thread", thread))


WORLDS: dict[str, list[tuple[Any, Held]]] = {
    "process": [
        (process.Seen(HELLO, 9, (7, 8), "success", 0.1), YES),
        (process.Seen(HELLO, 7, (7, 8), "success", 0.1), NO),
        (process.Seen((), 9, (7, 8), "success", 0.1), NO),
        (process.Seen(HELLO, 9, (7, 8), "exit-code", 0.1), NO),
    ],
    "processes": [
        (four(1, 2, 3, 4), YES),
        (four(1, 2, 3, 3), NO),
        (four(1, 2, 3, 4, last="signal"), NO),
        (four(1, 2, 3, 4, line="Number: 3"), NO),
    ],
    "pool": [
        (programs(pool.EXPECTED), YES),
        (programs("[1, 2, 3]"), NO),
        (programs(pool.EXPECTED, theirs="[]"), NO),
        (programs(pool.EXPECTED, code=1), NO),
        (programs(pool.EXPECTED, changed=2), NO),
    ],
    "performance": [
        (speed(1.9), YES),
        (speed(1.1), NO),
        (speed(1.1, others=0.5), NOT_HERE),
        (performance.Seen(1.0, {1: 0.99}, {1: 1.0}, 0.0), NO),
    ],
    "resources": [
        (resources.Seen(2, Spent(1, 0.5, 0.5), Spent(1, 0.98, 0.01)), YES),
        (resources.Seen(2, Spent(1, 0.5, 0.5), Spent(1, 0.5, 0.5)), NO),
        (resources.Seen(2, Spent(1, 0.4, 0.0), Spent(1, 0.4, 0.0)), NOT_HERE),
        (resources.Seen(2, Spent(1, 0.99, 0.0), Spent(1, 0.99, 0.0)), YES),
        (resources.Seen(1, Spent(1, 1.0, 0.0), Spent(1, 1.0, 0.0)), NOT_HERE),
    ],
    "responsiveness": [
        (late(0.020, 0.005, 0.0001), YES),
        (late(0.020, 0.005, 0.004), NO),
        (late(0.020, 0.005, 0.0001, worst=0.01), NO),
    ],
    "design": [(counted(1000), YES), (counted(1000, unlocked=1000), YES), (counted(999), NO)],
    "isolation": [
        (fault(), YES),
        (fault(code=0), NO),
        (fault(error=""), NO),
        (fault(pids=(4, 5)), NO),
        (fault(pids=(4, 5, 9)), NO),
        (fault(pids=()), NO),
        (fault(gap=1.0), NO),
        (fault(gap=1.0)._replace(before=(isolation.Ticks(4, 9, 0.9),)), NOT_HERE),
        (fault(after=0), NO),
    ],
    "libraries": [
        (libraries.Seen({"numpy": library(right=True), "pandas": None}), YES),
        (libraries.Seen({"numpy": library(right=True), "pandas": library(right=False)}), NO),
        (libraries.Seen({"numpy": None, "pandas": None}), NOT_HERE),
    ],
    "placement": [
        (placed(ROOMY, frozenset({0}), 60.0), YES),
        (placed(frozenset({0}), frozenset({0}), 60.0), NO),
        (placed(ROOMY, ROOMY, 60.0), NO),
        (placed(ROOMY, frozenset({0}), 30.0), NO),
        (placed(ROOMY, frozenset({0}), 30.0)._replace(others=0.5), NOT_HERE),
        (placed(ROOMY, ROOMY, 30.0)._replace(others=0.5), NO),
        (placement.Seen(frozenset({0}), (0,), {}), NOT_HERE),
    ],
    "power": [
        (power.Seen({1: 1.0, 2: 0.5}, {1: 1.0, 2: 1.0}, {1: 1.0, 2: 0.5}, 0.0), YES),
        (power.Seen({1: 1.0, 2: 0.9}, {1: 1.0, 2: 1.0}, {1: 1.0, 2: 0.5}, 0.0), NO),
        (power.Seen({1: 1.0, 2: 0.5}, {1: 1.0, 2: 1.0}, {1: 1.0, 2: 0.9}, 0.0), NO),
        (power.Seen({1: 1.0, 2: 0.9}, {1: 1.0, 2: 1.0}, {1: 1.0, 2: 0.5}, 0.4), NOT_HERE),
        (power.Seen({1: 1.0}, {1: 1.0}, {1: 1.0}, 0.0), NO),
    ],
    "simultaneous": [
        (simultaneous.Seen(2, 8, 8, 1.9, 1.0, 1.9), YES),
        (simultaneous.Seen(2, 7, 8, 1.9, 1.0, 1.9), NO),
        (simultaneous.Seen(2, 8, 8, 1.0, 1.0, 1.9), NO),
        (simultaneous.Seen(2, 8, 8, 1.0, 1.0, 1.9, others=0.5), NOT_HERE),
        (simultaneous.Seen(2, 7, 8, 1.0, 1.0, 1.9, others=0.5), NO),
        (simultaneous.Seen(1, 8, 8, 1.0, 1.0, 1.0), NO),
    ],
    "classes": [
        (stayed(1, 0), YES),
        (stayed(0, 1), NO),
        (stayed(1, 1), NOT_HERE),
        (classes.Seen((), ()), NOT_HERE),
    ],
    "creation": [
        (creation.Seen(0.0001, 0.001, 0.012, 0.005, 0.002), YES),
        (creation.Seen(0.0100, 0.001, 0.012, 0.005, 0.002), NO),
    ],
    "memory": [
        (wrote("untouched", "thread"), YES),
        (wrote("worker", "thread"), NO),
        (wrote("untouched", "untouched"), NO),
        (wrote("untouched", "thread", pid=7), NO),
    ],
}  # fmt: skip


CASES = [
    pytest.param(name, seen, held, id=f"{name}-{at}-{held.name}")
    for name, worlds in WORLDS.items()
    for at, (seen, held) in enumerate(worlds)
]


@pytest.mark.parametrize(("name", "seen", "held"), CASES)
def test_a_claim_is_judged_by_what_was_seen(name: str, seen: Any, held: Held) -> None:
    """Not by what was hoped: each experiment knows a world in which its claim does not hold."""
    assert catalogue.load(name).judge(seen).held is held


@pytest.mark.parametrize(("name", "seen", "held"), CASES)
def test_every_world_can_be_explained_and_drawn(name: str, seen: Any, held: Held) -> None:
    """Also one without any result (one core, nothing came back): there is a sentence, and no page fails on what is missing."""
    experiment = catalogue.load(name)
    outcome, figures = experiment.judge(seen), experiment.show(seen)
    assert outcome.held is held
    assert outcome.why
    result = Result(name=name, claim=experiment.CLAIM, outcome=outcome, figures=figures)
    report = Report(version="1", at="", quick=False, took_s=1, machine=machine.facts(), experiments=(result,))
    assert claim_of(page(report)) == experiment.CLAIM.title
    assert all(width(line) <= 80 for line in text(report, columns=80, colour=False))


def claim_of(made: str) -> str:
    return made.split("<h2>", 1)[1].split("</h2>", 1)[0]


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_experiment_can_succeed_and_fail(name: str) -> None:
    """None is left out above."""
    assert {YES, NO} <= {held for _, held in WORLDS[name]}


@pytest.mark.parametrize("name", ["performance", "power", "simultaneous"])
def test_on_one_core_it_is_said_that_there_is_only_one(name: str) -> None:
    """A claim that does not hold here says why."""
    only = {
        "performance": performance.Seen(1.0, {1: 0.99}, {1: 1.0}, 0.0),
        "power": power.Seen({1: 1.0}, {1: 1.0}, {1: 1.0}, 0.0),
    }
    outcome = catalogue.load(name).judge(only.get(name, simultaneous.Seen(1, 8, 8, 1.0, 1.0, 1.0)))
    assert outcome.held is NO
    assert "one core" in outcome.why or "one CPU" in outcome.why


def test_spans_that_touch_do_not_overlap() -> None:
    """Only what was under way at the same instant is counted as such."""
    assert simultaneous.under_way([(0, 1), (1, 2), (2, 3)]) == 1
    assert simultaneous.under_way([(0, 3), (1, 2), (1.5, 4)]) == 3
    assert simultaneous.under_way([]) == 0
