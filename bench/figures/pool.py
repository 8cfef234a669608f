"""The pool beside multiprocessing.Pool, ProcessPoolExecutor, loky, joblib, pebble, mpire and billiard, two workers each.

Every measurement is a fresh interpreter (bench/pools/measure.py says what is called, bench/pools/adapters.py how each pool
is called), and the pools take turns, so that a busy moment of the machine does not hit one of them alone. A pool that
hangs is killed, and that is its result.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from bench.pools import trial
from bench.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.figures import Effort

WITHIN = 45.0  # seconds for one measurement of one pool
PATIENCE = 20.0  # seconds in which we try to have the machine for ourselves


def figure(name: str, *keys: str, more: int = 1) -> Callable[[Effort], Iterator[Row]]:
    """What bench/pools/measure.py calls `name`, and the rows it gives; `more` turns in each round."""

    def measured(effort: Effort) -> Iterator[Row]:
        found: dict[str, list[trial.Found]] = defaultdict(list)
        for _ in range(effort.pool_rounds):
            with _quiet(effort.lock):
                for pool in effort.pools * more:
                    found[pool].append(trial.run(pool, name, WITHIN))
        for key in keys:
            for pool in effort.pools:
                yield from _row(key, pool, found[pool], failed=key == keys[0])

    measured.__doc__ = f"{name}: {', '.join(keys)}"
    return measured


def _row(key: str, pool: str, runs: list[trial.Found], *, failed: bool) -> Iterator[Row]:
    """All runs together; a pool that gave nothing has a row, without a value, only under the first key."""
    values = [value for run in runs for value in run.values.get(key, ())]
    told = [run.notes.get(key, "") for run in runs]
    if failed:
        told = [", ".join(filter(None, (note, run.trouble))) for note, run in zip(told, runs, strict=True)]
    if not values and not (failed and any(told)):
        return
    some = [run for run in runs if run.values.get(key)]
    note = "; ".join(_counted(told))
    if values and len(some) < len(runs):
        note = "; ".join(filter(None, (note, f"in {len(some)} of {len(runs)} runs")))
    yield Row(key, pool, values, note=note)


def _counted(told: list[str]) -> list[str]:
    """Each note once; how often, unless always."""
    return [
        note if told.count(note) == len(told) else f"{note} ({told.count(note)} of {len(told)} runs)"
        for note in dict.fromkeys(told)
        if note
    ]


@contextlib.contextmanager
def _quiet(path: str) -> Iterator[None]:
    """One round, while the file is locked, so that nobody else who asks for the lock is at work or measures meanwhile.

    Where there is always somebody at work it is shared with them in the end; the load beside the figure tells.
    """
    if not path:
        yield
        return
    deadline = time.monotonic() + PATIENCE
    with open(path, "ab") as file:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.02)
        else:
            print(f"{path}: not for us alone within {PATIENCE:g} s", flush=True)
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


FIGURES: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "pool-map": figure("map", "pool-map", "pool-map-long", "pool-map-own"),
    "pool-submit": figure("submit", "pool-submit"),
    "pool-chunks": figure("chunks", "pool-chunks"),
    "pool-latency": figure("latency", "pool-latency"),
    "pool-in": figure("in", "pool-in", "pool-in-read"),
    "pool-shared": figure("shared", "pool-shared-1", "pool-shared-256"),
    "pool-out": figure("out", "pool-out", "pool-out-read"),
    "pool-crash": figure("crash", "pool-crash"),
    "pool-cold": figure("cold", "pool-cold", "pool-import", more=3),
    "pool-survive": figure("survive", "pool-survived", "pool-survived-in", "pool-decided-in"),
    "pool-survive-map": figure("survive-map", "pool-survived-map"),
}
