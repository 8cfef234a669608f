"""`ninelives chaos soak`: a service of our own with many workers, every kind of fault this machine allows, round after round.

A round is an experiment like that of `chaos monkey`, with a record, a journal and a verdict of its own, so a soak of a day
takes no more memory than one of five minutes. What spans rounds is added up here: faults, times, availability; and whether the
service's own programs have grown from the end of the first round to the end of the last.
"""

from __future__ import annotations

import math
import os
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor.chaos import allowances, experiment, figures, findings, journal, monkey, victim
from supervisor.chaos.fault import PART
from supervisor.chaos.invariants import State
from supervisor.chaos.providers import Providers
from supervisor.chaos.reading import Spot
from supervisor.chaos.report import words
from supervisor.chaos.runner import Wishes
from supervisor.chaos.schedule import Plan, seeds
from supervisor.chaos.session import Session
from supervisor.chaos.trace import LATE_EFFECT
from supervisor.chaos.verdict import Word
from supervisor.cli import client
from supervisor.cli.chaos_report import CODES, tell, unwritable
from supervisor.cli.chaos_run import Run
from supervisor.cli.paint import Column, table
from supervisor.problems import Place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from supervisor.chaos.figures import Times
    from supervisor.chaos.findings import Findings
    from supervisor.chaos.invariants import Invariant
    from supervisor.chaos.record import Record
    from supervisor.chaos.trace import Outcome

NOT_HERE = ("clock-jump",)  # the clock is everybody's on this machine
OF_WORKERS = 3  # a kind of fault in a worker is drawn so many times as often as one in the service's own parts
LASTS_S = 3.0
PARAMETERS: dict[str, dict[str, Any]] = {
    "cpu": {"load": 50},  # hundreds of workers share the CPUs with it
    "fork-storm": {"n": 10},
    "leak": {"ceiling": "32M", "rate": "16M"},
    "log-flood": {"limit": "1M"},
}


def main(args: argparse.Namespace) -> int:
    """Soak; the worst of the rounds' exit codes."""
    if args.workers < victim.LEAST:
        raise client.Denied(f"--workers: {args.workers} is less than {victim.LEAST}, one of every sort", 2)
    if args.journals:
        os.makedirs(args.journals, exist_ok=True)
    for path in (args.output, args.journals and os.path.join(args.journals, "round-1.json")):
        if (why := unwritable(path)) is not None:
            raise client.Denied(why, 2)
    first = args.seed if args.seed is not None else secrets.randbits(32)
    rounds = max(1, math.ceil(args.lasting / args.round_s))
    print(f"a soak of {args.workers} workers for {words.seconds(args.lasting)} (seed {first})", file=sys.stderr)
    began = time.monotonic()
    with victim.Victim(args.workers) as hurt:
        print(f"everybody is ready after {time.monotonic() - began:.1f} s: {hurt.socket}", file=sys.stderr)
        soak = Soak(hurt.socket, args)
        for at, seed in enumerate(seeds(first, rounds)):
            if at:
                time.sleep(LATE_EFFECT)  # what the last round left in a pipe is not the next one's
            code = soak.round(at + 1, rounds, seed)
            if code == CODES[Word.INTERRUPTED]:
                return code
    read = hurt.log
    print(
        f"its log, read as it came: {read.lines} lines; {read.missing} missing and {read.excused} told of as dropped, "
        f"{read.twice} twice", file=sys.stderr,
    )  # fmt: skip
    return soak.conclude(hurt.left)


class Soak:
    """What was seen so far."""

    def __init__(self, path: str, args: argparse.Namespace) -> None:
        self._path, self._args = path, args
        self._times: dict[str, list[Times]] = {}
        self._outcomes: dict[Outcome, int] = {}
        self._shares: list[tuple[float, float]] = []  # seconds of a round, and the share of them everybody was ready
        self._codes: list[int] = []
        self._first: Record | None = None
        self._last: Record | None = None

    def round(self, at: int, rounds: int, seed: int) -> int:
        """One experiment, judged; its exit code."""
        plan = Plan(
            mean=self._args.mean, least=min(0.01, self._args.mean), lasting=self._args.lasting / rounds, kinds=self._kinds(),
            seconds=LASTS_S, parameters={},
        )  # fmt: skip
        plan = plan._replace(parameters={kind: it for kind, it in PARAMETERS.items() if kind in plan.kinds})
        tree = monkey.experiment(plan, seed)
        tree["title"] = f"A soak: {len(set(plan.kinds))} kinds of fault, round {at} of {rounds}"
        providers = Providers()
        read = experiment.read(tree, Spot(Place("soak", os.getcwd())), providers.check, {}, {})
        run = Run(self._path, read, providers, Wishes(), seed, lasting=plan.lasting, each=False)
        written, record = run.carry_out()
        found = findings.of_journal(written)
        self._add(found)
        if self._args.journals:
            journal.written(written, os.path.join(self._args.journals, f"round-{at}.json"))
        code = CODES[found.verdict.word]
        if rounds == 1 or code:
            tell(written, self._args)
        print(f"round {at} of {rounds}: {found.verdict.word}: {words.summary(found)}", file=sys.stderr)
        self._first, self._last = self._first or record, record
        return code

    def conclude(self, left: list[str]) -> int:
        """Tell what all rounds come to; the exit code."""
        for line in self._lines():
            print(line, file=sys.stderr)
        grown = [each for each in self._growth() if each.state is State.BROKEN]
        for each in grown:
            print(f"grown in the course of it: {each.claim}: {each.sentence}", file=sys.stderr)
        for sentence in left:
            print(f"at the end: {sentence}", file=sys.stderr)
        return max(self._codes) or int(bool(grown or left))

    def _kinds(self) -> tuple[str, ...]:
        with Session(self._path) as session:
            there = session.chaos()["kinds"]
        usable = [each for each in there if each["possible"] and each["kind"] not in (*NOT_HERE, *self._args.without)]
        for each in there:
            if not each["possible"] and not self._codes:
                print(f"left out: {each['kind']}: {each['why']}", file=sys.stderr)
        return tuple(each["kind"] for each in usable for _ in range(1 if each["place"] == PART else OF_WORKERS))

    def _add(self, found: Findings) -> None:
        self._codes.append(CODES[found.verdict.word])
        for each in found.figures.faults:
            self._times.setdefault(each.traced.fault.kind, []).append(each.times)
            outcome = each.traced.outcome
            self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        if found.figures.available is not None:
            self._shares.append((found.figures.window_s, found.figures.available))

    def _lines(self) -> Iterable[str]:
        columns = [
            Column("kind"),
            *(Column(name, right=True) for name in ("n", "recovered", "p50", "p95", "p99", "max")),
        ]
        every = [each for times in self._times.values() for each in times]
        rows = []
        for kind, times in [*sorted(self._times.items()), ("all", every)]:
            spread = figures.spreads(times).get("recovery_s")
            points = [words.spread(spread, point) for point in ("p50", "p95", "p99", "max")]
            rows.append([kind, str(len(times)), str(spread.n if spread else 0), *points])
        yield from ("", "time from injection to ready again, of those that were not ready in between:")
        yield from table(columns, rows, fits=100)
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self._outcomes.items()))
        window = sum(seconds for seconds, _ in self._shares)
        share = sum(seconds * share for seconds, share in self._shares) / window if window else None
        held = self._codes.count(0)
        yield f"{len(every)} faults: {told or 'none'}; availability {words.share(share)}"
        yield f"{held} of {len(self._codes)} rounds held"

    def _growth(self) -> list[Invariant]:
        """The service's own programs at the end of the last round, beside the end of the first."""
        if self._first is None or self._last is None or self._first is self._last:
            return []
        from msgspec.structs import replace  # noqa: PLC0415 - only here

        from supervisor.chaos import timeline  # noqa: PLC0415

        laid = timeline.lay_out(replace(self._last, before=self._first.after))
        return [allowances.descriptors(laid), allowances.threads(laid), allowances.memory(laid)]
