"""Compatibility with external libraries: NumPy, pandas and scikit-learn at work in workers.

Each is imported once, in the template of a pool (`preload`); the workers forked from it have it at once and share its
memory. To compare, a new interpreter imports it too.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import time
from typing import NamedTuple

from supervisor.demo.frame import Claim, Figure, Outcome, Table, answer, not_here
from supervisor.demo.work import wake
from supervisor.pool import Pool

WORKERS = 2
TRIED = {"numpy": "numpy", "pandas": "pandas", "scikit-learn": "sklearn.linear_model"}  # as installed, as imported
INSTALL = "pip install 'ninelives[science]'"
ALONE = """
import json, sys, time; began = time.monotonic(); __import__(sys.argv[1]); took = time.monotonic() - began
with open("/proc/self/smaps_rollup") as file: pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
print(json.dumps([took, pss / 1024]))
"""
CLAIM = Claim(
    title="Compatibility with external libraries",
    sentence="libraries available in Python ecosystem, such as NumPy, pandas, and scikit-learn",
    done=f"Each is preloaded by a pool, and {WORKERS} workers compute something with it that can be checked.",
    copy="config/demo-libraries.toml",
)


class Library(NamedTuple):
    """What it takes in a new interpreter, and in a worker: seconds, and MiB of memory that is its own (PSS)."""

    right: bool
    import_s: float
    alone_mib: float
    worker_s: float
    worker_mib: float


class Seen(NamedTuple):
    """By the name under which it is installed; None: it is not."""

    libraries: dict[str, Library | None]


def compute(module: str) -> tuple[bool, float]:
    """In a worker: use the library, check what it says, and tell our share of memory in MiB."""
    found = importlib.import_module(module)
    if module == "numpy":
        values = found.arange(12.0).reshape(3, 4)
        right = bool(found.allclose(values @ found.linalg.pinv(values) @ values, values))
    elif module == "pandas":
        table = found.DataFrame({"key": ["a", "b", "a"], "value": [1, 2, 3]})
        right = table.groupby("key")["value"].sum().to_dict() == {"a": 4, "b": 2}
    else:
        fitted = found.LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        right = abs(fitted.coef_[0] - 2) < 1e-9 and abs(fitted.intercept_ - 1) < 1e-9
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return right, pss / 1024


def measure(_pace: object) -> Seen:
    """One library after the other."""
    installed = {name: importlib.util.find_spec(module.split(".")[0]) for name, module in TRIED.items()}
    return Seen({name: _try(TRIED[name]) if spec else None for name, spec in installed.items()})


def _try(module: str) -> Library:
    alone = subprocess.run([sys.executable, "-c", ALONE, module], capture_output=True, check=True, timeout=30)
    import_s, alone_mib = json.loads(alone.stdout)
    with Pool(max_workers=WORKERS, preload=[module, __name__]) as pool:
        wake(pool, WORKERS)  # the template has imported it by then
        began = time.monotonic()
        answers = list(pool.map(compute, [module] * WORKERS))
        worker_s = time.monotonic() - began
    mib = sum(mib for _, mib in answers) / WORKERS
    return Library(all(right for right, _ in answers), import_s, alone_mib, worker_s, mib)


def judge(seen: Seen) -> Outcome:
    """What is installed computes what it should."""
    there = {name: library for name, library in seen.libraries.items() if library is not None}
    missing = [name for name in seen.libraries if name not in there]
    lacks = f"; not installed: {', '.join(missing)} ({INSTALL})" if missing else ""
    if not there:
        return not_here(lacks.removeprefix("; "))
    wrong = [name for name, library in there.items() if not library.right]
    if wrong:
        return answer(False, f"wrong in workers: {', '.join(wrong)}{lacks}")
    return answer(True, f"right in workers: {', '.join(there)}{lacks}")


def show(seen: Seen) -> tuple[Figure, ...]:
    """One row for each."""
    columns = ("library", "import", "PSS alone", "first result of a worker", "PSS of a worker")
    rows = tuple(
        (name, "not installed", "", "", "") if found is None
        else (name, f"{found.import_s * 1e3:.0f} ms", f"{found.alone_mib:.0f} MiB", f"{found.worker_s * 1e3:.1f} ms",
              f"{found.worker_mib:.0f} MiB")
        for name, found in seen.libraries.items()
    )  # fmt: skip
    return (Table(title="in a new interpreter, and in workers that share it", columns=columns, rows=rows),)
