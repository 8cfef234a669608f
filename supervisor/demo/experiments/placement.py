"""Symmetric against asymmetric: where workers may run, and what they get of it.

`cpus = "symmetric"`: any worker on any CPU, as the kernel likes. `"spread"`: a CPU for each replica, in turn. A list for each
replica, here unequal: one has a CPU to itself, two share the other. The workers (`workers/wanderer.py`) compute for a while
and say where they were and how far they came.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from supervisor.demo import machine
from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Pace, Table, answer, not_here
from supervisor.demo.service import Service
from supervisor.demo.work import BUSY

FORMS = ("symmetric", "spread", "asymmetric")
CLAIM = Claim(
    title="Symmetric and asymmetric",
    sentence="classified into two categories: 1. Symmetric Multiprocessing 2. Asymmetric Multiprocessing",
    done="Three replicas compute, three times over: on any CPU, on one CPU each in turn, and on unequal lists of CPUs.",
    copy="config/demo-placement.toml",
)


class Stay(NamedTuple):
    """Of one replica: the CPUs it was allowed, those it ran on, how often it changed, and what it got done a second."""

    allowed: frozenset[int]
    ran_on: frozenset[int]
    moves: int
    rate: float


class Seen(NamedTuple):
    """The stays of all replicas, by form; cpus: the two that the lists name."""

    machine: frozenset[int]
    cpus: tuple[int, ...]
    stays: dict[str, tuple[Stay, ...]]
    others: float = 0.0  # the share of the CPUs' time that other programs took


def measure(pace: Pace) -> Seen:
    """The forms follow each other (`needs`), so that none of them is in another's way."""
    everywhere, cpus = frozenset(pace.cpus), pace.cpus[:2]
    found: dict[str, dict[int, Stay]] = {form: {} for form in FORMS}
    if len(cpus) < 2:
        return Seen(everywhere, cpus, {})
    instead = {'["0", "1", "1"]': str([str(cpus[0]), str(cpus[1]), str(cpus[1])]).replace("'", '"')}
    instead["seconds = 1.5"] = f"seconds = {pace.seconds(1.5)}"
    before, began, spent_s = machine.cores(pace.cpus), time.monotonic(), 0.0
    with Service("demo-placement.toml", instead=instead) as service:
        for event in service.events(within=30):
            if event["event"] == "worker.output":
                said, form = event["data"], event["worker"].rsplit("-", 1)[0]
                stay = Stay(frozenset(said["allowed"]), frozenset(said["ran_on"]), said["moves"], said["rate"])
                found[form][said["replica"]] = stay
                spent_s += said["cpu_s"]
                if all(len(stays) == 3 for stays in found.values()):
                    break
    ours = spent_s / (time.monotonic() - began) / len(pace.cpus)
    others = max(0.0, 1 - ours - machine.cores(pace.cpus).idle_since(before))
    return Seen(everywhere, cpus, {form: tuple(found[form][at] for at in range(3)) for form in FORMS}, others)


def judge(seen: Seen) -> Outcome:
    """Symmetric workers may run anywhere, asymmetric ones ran where they were told and were treated unequally."""
    if len(seen.cpus) < 2:
        return not_here("there is one core: every worker runs on it")
    free = all(stay.allowed == seen.machine for stay in seen.stays["symmetric"])
    alone, *shared = seen.stays["asymmetric"]
    kept = alone.ran_on == {seen.cpus[0]} and all(stay.ran_on == {seen.cpus[1]} for stay in shared)
    least = min(stay.rate for stay in shared)
    moves = {form: sum(stay.moves for stay in seen.stays[form]) for form in FORMS}
    if free and kept and alone.rate <= least and seen.others >= BUSY:
        return not_here(
            f"all ran where they were put, but other programs took {seen.others:.0%} of the CPUs' time from them"
        )
    return answer(
        free and kept and alone.rate > least,
        f"symmetric workers {'ran wherever there was room' if free else 'were not free'} ({moves['symmetric']} moves), "
        f"asymmetric ones {'stayed' if kept else 'did not stay'} where they were put ({moves['asymmetric']} moves), and "
        f"the one with a CPU of its own got {alone.rate / least:.1f} times as much done as one that shares",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """Throughput and places of every replica; nothing where they had no two CPUs."""
    if not seen.stays:
        return ()
    each = [(form, at, stay) for form, stays in seen.stays.items() for at, stay in enumerate(stays)]
    bars = tuple(Bar(label=f"{form} {at}", value=round(stay.rate, 2), side="processes") for form, at, stay in each)
    rows = tuple(
        (f"{form} {at}", machine.listed(stay.allowed), machine.listed(stay.ran_on), str(stay.moves))
        for form, at, stay in each
    )
    return (
        Bars(title="what each replica got done", unit="million rounds a second", bars=bars),
        Table(title="where it ran", columns=("replica", "allowed", "ran on", "moves"), rows=rows),
    )
