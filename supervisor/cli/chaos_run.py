"""`ninelives chaos run` and `monkey`: an experiment from a file, or one made of a storm; its journal, its report, its code.

A monkey is an experiment as well (`monkey.experiment`), so there is one way in which things are run, written down and judged.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
from typing import TYPE_CHECKING, Any

from supervisor.chaos import experiment as experiments
from supervisor.chaos import hit, monkey
from supervisor.chaos import journal as journals
from supervisor.chaos.binding import Binding, current, using
from supervisor.chaos.course import signals
from supervisor.chaos.observer import Observer
from supervisor.chaos.providers import Providers
from supervisor.chaos.reading import BadExperiment, Spot
from supervisor.chaos.record import EXTENSION, as_json
from supervisor.chaos.runner import Runner, Unconfigured, Wishes
from supervisor.chaos.schedule import BadPlan, Plan, seeds, turns
from supervisor.chaos.session import Session
from supervisor.chaos.variables import variable
from supervisor.chaos.verdict import Word
from supervisor.cli import client
from supervisor.cli.chaos_inject import require_yes
from supervisor.cli.chaos_live import Progress
from supervisor.cli.chaos_report import CODES, tell, unwritable
from supervisor.problems import Place

if TYPE_CHECKING:
    import argparse

    from supervisor.chaos.experiment import Experiment
    from supervisor.chaos.performer import Step
    from supervisor.chaos.record import Record

REST_S = 30.0  # for workers to come back once everything is undone
INTERRUPTED_REST_S = 5.0  # the same, for somebody who does not want to wait
INTERRUPTED = 130


def run(args: argparse.Namespace) -> int:
    """Run a file, `--repeat` times; the worst of the exit codes."""
    _check_files(args)
    path = client.find(args.name, args.socket)
    providers = Providers(allow_process=args.allow_process)
    experiment = _load(args, providers)
    wishes = Wishes(
        hypothesis=args.hypothesis_strategy, rollbacks=args.rollback_strategy, frequency=args.hypothesis_frequency,
        fail_fast=args.fail_fast, dry=args.dry,
    )  # fmt: skip
    first = args.seed if args.seed is not None else secrets.randbits(32)
    codes = []
    for at, seed in enumerate(seeds(first, args.repeat)):
        one = Run(path, experiment, providers, wishes, seed)
        codes.append(one.perform(_numbered(args.journal, at, args.repeat), args))
        if codes[-1] == INTERRUPTED:
            break
    if args.repeat > 1:
        print(f"{codes.count(0)} of {len(codes)} runs held (seed {first})", file=sys.stderr)
    return max(codes)


def monkey_run(args: argparse.Namespace) -> int:
    """Blow a storm for a while and judge it."""
    require_yes(args)
    _check_files(args)
    plan = Plan(args.mean, args.least, args.lasting, args.kinds, args.worker, args.seconds)
    seed = args.seed if args.seed is not None else secrets.randbits(32)
    try:
        turns(plan, seed)
    except BadPlan as error:
        raise client.Denied(str(error), 2) from error
    path = client.find(args.name, args.socket)
    providers = Providers()
    with Session(path) as session:
        monkey.check(session.chaos(), plan)
    spot = Spot(Place("monkey", os.getcwd()))
    experiment = experiments.read(monkey.experiment(plan, seed), spot, providers.check, {}, {})
    return Run(path, experiment, providers, Wishes(), seed, lasting=plan.lasting).perform(args.journal, args)


class Run:
    """One run of an experiment against a service. lasting: about how long its method takes, None if nobody knows.

    each: whether every fault is told of in a line of its own.
    """

    def __init__(
        self, path: str, experiment: Experiment, providers: Providers, wishes: Wishes, seed: int,
        *, lasting: float | None = None, each: bool = True,
    ) -> None:  # fmt: skip
        self._path, self._experiment, self._providers, self._wishes = path, experiment, providers, wishes
        self._seed, self._lasting, self._each = seed, lasting, each
        self._denials: list[client.Denied | client.NoAnswer] = []

    def perform(self, journal_path: str, args: argparse.Namespace) -> int:
        """Run, write the journal, tell the report; the exit code."""
        print(f"{self._experiment.title} (seed {self._seed})", file=sys.stderr)
        journal, record = self.carry_out()
        journals.written(journal, journal_path)
        code = tell(journal, args)
        print(f"journal: {journal_path}", file=sys.stderr)
        if self._denials and not record.faults and code == CODES[Word.DEVIATED]:
            denial = self._denials[0]
            print(f"ninelives {args.command}: {denial}", file=sys.stderr)
            return denial.code
        return code

    def carry_out(self) -> tuple[dict[str, Any], Record]:
        """Run, and nothing else: the journal with the record in it, and the record."""
        with Session(self._path) as session, Observer(session) as observer:
            expected = tuple((journals.extension(self._experiment.tree, EXTENSION) or {}).get("expected", ()))
            binding = Binding(session, observer, random.Random(self._seed), self._seed, expected)  # noqa: S311
            with using(binding):
                journal = self._run(binding)
            observer.end()
            record = binding.record()
        journals.extend(journal, {"seed": self._seed, "record": as_json(record)})
        return journal, record

    def _run(self, binding: Binding) -> dict[str, Any]:
        with Progress(binding, lasting=self._lasting, each=self._each) as progress:

            def listen(step: Step) -> None:
                if isinstance(step.error, client.Denied | client.NoAnswer):
                    self._denials.append(step.error)
                line = _told(step)
                if line is not None:
                    progress.say(line)

            runner = Runner(
                self._experiment, self._providers, wishes=self._wishes, abort=binding.why_called_off,
                undo=binding.session.call_off, listener=listen,
            )  # fmt: skip
            with signals(runner.course):
                try:
                    journal = runner.run()
                except Unconfigured as error:
                    raise client.Denied(str(error), 2) from error
                _settle(current(), INTERRUPTED_REST_S if journal["status"] == "interrupted" else REST_S)
        return journal


def _settle(binding: Binding, within: float) -> None:
    """Let who was hit come back, so that what is left afterwards is left for good."""
    if not binding.is_called_off():
        try:
            hit.come_to_rest(binding, within)
        except (client.NoAnswer, client.Denied, client.Dropped) as error:
            print(f"the service cannot be asked how it is: {error}", file=sys.stderr)


def _told(step: Step) -> str | None:
    """A step in a line; None for what is not worth one: that something begins, and what went as it should."""
    if not step.ended:
        return None
    why = "" if step.why is None else f": {step.why}"
    took = "" if step.seconds is None else f" ({step.seconds:.1f} s)"
    if step.part in ("before", "during", "after"):
        if step.name is not None or (step.part == "during" and step.why is None):
            return None
        return f"the steady state {step.part} the method: {step.status}{why}{took}"
    if step.name is None:
        return None if step.why is None else f"{step.status}{why}"
    return f"{step.name}: {step.status}{why}{took}"


def _load(args: argparse.Namespace, providers: Providers) -> Experiment:
    try:
        given = dict(variable(f"{key}={value}") for key, value in args.variables)
    except ValueError as error:
        raise client.Denied(f"--var {error}", 2) from error
    try:
        experiment = experiments.load(args.file, providers.check, given)
    except BadExperiment as error:
        raise client.Denied("\n".join(["the experiment cannot be run:", *map(str, error.problems)]), 2) from error
    except OSError as error:
        raise client.Denied(f"{args.file}: {error.strerror or error}", 2) from error
    for warning in experiment.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return experiment


def _check_files(args: argparse.Namespace) -> None:
    for path in (args.journal, args.output):
        why = unwritable(path)
        if why is not None:
            raise client.Denied(why, 2)


def _numbered(path: str, at: int, repeat: int) -> str:
    """One run writes journal.json, several write journal-1.json, journal-2.json and so on."""
    if repeat == 1:
        return path
    root, ending = os.path.splitext(path)
    return f"{root}-{at + 1}{ending}"
