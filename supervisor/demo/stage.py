"""Where one experiment takes place: a process of its own, so that what it breaks, starts or forgets is not the demo's.

    python -P supervisor/boot.py supervisor.demo.stage NAME --result FD --parent PID [--quick]

What it found goes to the descriptor as one JSON object. What its workers print goes where we print.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback

import msgspec

from supervisor import kernel
from supervisor.demo import catalogue, machine
from supervisor.demo.frame import Experiment, Held, Outcome, Pace, Result


def main(argv: list[str]) -> int:
    """Do it, and say what came of it; 1 if nobody wants to know any more."""
    options = _options(argv)
    if not kernel.die_with_parent(options.parent):
        return 1
    os.set_inheritable(options.result, False)
    result = perform(options.name, Pace(machine.allowed(), options.quick))
    with open(options.result, "wb") as file:
        file.write(msgspec.json.encode(result))
    return 0


def perform(name: str, pace: Pace) -> Result:
    """One experiment from end to end."""
    experiment = catalogue.load(name)
    began = time.monotonic()
    try:
        seen = experiment.measure(pace)
    except Exception as error:  # noqa: BLE001 - the page has it, with its traceback
        return failure(name, experiment, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    took = time.monotonic() - began
    outcome, figures = experiment.judge(seen), experiment.show(seen)
    return Result(name=name, claim=experiment.CLAIM, outcome=outcome, figures=figures, took_s=round(took, 3))


def failure(name: str, experiment: Experiment, why: str) -> Result:
    """An experiment that came to no end shows nothing, so its claim did not hold. why: a line, and what else is known."""
    outcome = Outcome(held=Held.NO, why=f"the experiment failed: {why.rstrip()}")
    return Result(name=name, claim=experiment.CLAIM, outcome=outcome)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stage")
    parser.add_argument("name", choices=catalogue.NAMES)
    parser.add_argument("--result", type=int, required=True)
    parser.add_argument("--parent", type=int, default=os.getppid())
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args(argv)
