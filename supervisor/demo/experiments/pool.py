"""The notes' second program: a pool of five, and a function applied to a list.

It stands here word for word (PROGRAM), and only its import is another. It is run as it is, and once more with the import of
the notes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import supervisor
from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Output, answer

OURS, THEIRS = "from supervisor.pool import compat as multiprocessing", "import multiprocessing"
PROGRAM = f"""{OURS}

def worker_function(arg):
    # Perform the task using the input argument
    result = arg * 2

    # Return the result
    return result

if __name__ == '__main__':
    # Create a pool of 5 worker processes
    pool = multiprocessing.Pool(processes=5)

    inputs = [1, 2, 3, 4, 5]  # List of input arguments
    results = pool.map(worker_function, inputs)  # Apply the worker function to inputs

    print(results)

    pool.close()  # Close the pool
    pool.join()  # Terminate the worker processes
"""
EXPECTED = "[2, 4, 6, 8, 10]"
CLAIM = Claim(
    title="Pool",
    sentence="parallel execution of a function across multiple input values, distributing the input data across processes",
    done=f"The notes' program with `{OURS}` for `{THEIRS}` and nothing else changed, and as it stands in the notes.",
)


class Run(NamedTuple):
    """What a program printed, its exit code, and the seconds from its start to its end."""

    printed: str
    code: int
    took_s: float


class Seen(NamedTuple):
    """The program with our import and with theirs, and how many lines of it differ."""

    ours: Run
    theirs: Run
    changed: int


def measure(_pace: object) -> Seen:
    """Run both."""
    original = PROGRAM.replace(OURS, THEIRS, 1)
    changed = sum(a != b for a, b in zip(PROGRAM.splitlines(), original.splitlines(), strict=True))
    return Seen(_run(PROGRAM), _run(original), changed)


def _run(text: str) -> Run:
    # As a file, not with -c: worker processes import the program's functions from it.
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as program:
        program.write(text)
        program.flush()
        env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(supervisor.__file__))}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, program.name], capture_output=True, text=True, check=False, timeout=20, env=env
        )
        took = time.monotonic() - began
    return Run(done.stdout.strip() or done.stderr.strip()[-500:], done.returncode, took)


def judge(seen: Seen) -> Outcome:
    """Both print the inputs doubled, and the programs differ in one line."""
    right = all(run.printed == EXPECTED and run.code == 0 for run in (seen.ours, seen.theirs))
    if not right:
        wrong = seen.theirs if seen.ours.printed == EXPECTED else seen.ours
        return answer(False, f"a program printed {wrong.printed!r} and ended with exit code {wrong.code}")
    return answer(seen.changed == 1, f"both printed {EXPECTED}; {seen.changed} line of the program is another")


def show(seen: Seen) -> tuple[Figure, ...]:
    """What was printed, and how long the programs took from start to end."""
    bars = (
        Bar(label="supervisor.pool", value=round(seen.ours.took_s * 1e3, 1), side="processes"),
        Bar(label="multiprocessing", value=round(seen.theirs.took_s * 1e3, 1)),
    )
    return (
        Output(title="printed", lines=tuple(seen.ours.printed.splitlines())),
        Bars(title="the whole program, interpreter and five workers included", unit="ms", bars=bars),
    )
