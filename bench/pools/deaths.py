"""What a SIGKILL costs: until the next good result on one worker, and of two hundred tasks four of which kill."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from bench.pools import tasks
from bench.pools.adapters import Adapter, Joblib

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.pools import Values
    from bench.pools.opened import Bench

SECONDS = 3.0  # of kills
KILLS_WITHIN = 10.0  # seconds for all good results
TASKS = 200
GOOD = TASKS - TASKS // tasks.POISON_EVERY


def crash(bench: Bench) -> Values:
    """One worker: a task kills it, the next task is submitted at once. Milliseconds from the kill to that one's result.

    A pool that is broken by the kill is replaced by a new one, which is what its user has to do.
    """
    pool = bench.open(workers=1)
    values: list[float] = []
    replaced = 0
    deadline = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "died")
        while len(values) < 20 and (len(values) < 2 or time.monotonic() < deadline):
            time.sleep(0.2)
            began = time.monotonic()
            pool, again = _die_and_go_on(bench, pool, path, began + KILLS_WITHIN)
            ended = time.monotonic()
            with open(path, encoding="ascii") as file:
                values.append((ended - float(file.read())) * 1000)
            replaced += again
    if replaced:
        bench.notes["pool-crash"] = "a new pool after each kill"
    return {"pool-crash": values}


def _die_and_go_on(bench: Bench, pool: Adapter, path: str, deadline: float) -> tuple[Adapter, int]:
    """The pool that gave the good result, and 1 if it is a new one. Raises TimeoutError at the deadline."""
    again = 0
    try:
        pool.submit_fatal(tasks.die, path)
        wait = pool.submit(tasks.double, 21)
        result = wait(deadline - time.monotonic())
    except Exception as error:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no good result within {KILLS_WITHIN:g} s of a kill") from error
        pool, again = bench.opened_cold(workers=1), 1
        result = pool.submit(tasks.double, 21)(deadline - time.monotonic())
    if result != 42:
        raise AssertionError(f"twice 21 is {result}")
    return pool, again


def survive(bench: Bench) -> Values:
    """200 tasks, four of which kill their worker each time they are tried: how many others come, and when the last.

    And when the last of all 200 is decided: a task whose end is never told is waited for by its user for ever.
    """
    pool = bench.open()
    began = time.monotonic()
    deadline = began + KILLS_WITHIN
    right, bad = _streamed(pool) if isinstance(pool, Joblib) else _submitted(pool, deadline)
    took = time.monotonic() - began
    told = sum(_failed(wait, deadline) for wait in bad)
    decided = time.monotonic() - began
    usable = "" if _usable(pool) else ", unusable afterwards"
    bench.notes["pool-survived"] = f"{told} of {TASKS - GOOD} deaths told{usable}"
    if right < GOOD:
        return {"pool-survived": [float(right)]}
    found = {"pool-survived": [float(right)], "pool-survived-in": [took]}
    return found | ({"pool-decided-in": [decided]} if told == TASKS - GOOD else {})


def survive_map(bench: Bench) -> Values:
    """The same in one call of the pool's map(), in a thread: some never come back from it."""
    pool = bench.open(streaming=True)
    good: list[Any] = []

    def call() -> None:
        try:
            good.extend(pool.survivors(tasks.double_or_die, range(TASKS)))
        except Exception as error:  # noqa: BLE001 what came before the end of a pool counts
            print(f"map: {type(error).__name__}: {error}", file=sys.stderr)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(KILLS_WITHIN)
    if caller.is_alive():
        bench.notes["pool-survived-map"] = f"still waiting after {KILLS_WITHIN:g} s"
    right = {2 * number for number in range(TASKS) if not _poison(number)}
    return {"pool-survived-map": [float(len(right.intersection(good)))]}


def _poison(number: int) -> bool:
    return number % tasks.POISON_EVERY == tasks.POISON_AT


def _submitted(pool: Adapter, deadline: float) -> tuple[int, list[Callable[[float], Any]]]:
    """How many of the good ones came in time, and what to ask for the bad ones."""
    waits: dict[int, Callable[[float], Any]] = {}
    for number in range(TASKS):
        try:
            waits[number] = pool.submit(tasks.double_or_die, number)
        except Exception as error:  # noqa: BLE001 a broken pool takes no more tasks; what it has taken counts
            print(f"{number}: {type(error).__name__}: {error}", file=sys.stderr)
            break
    right = 0
    for number, wait in waits.items():
        if not _poison(number):
            try:
                right += wait(max(0.001, deadline - time.monotonic())) == 2 * number
            except Exception as error:  # noqa: BLE001 each pool has its own for this; it is a result that did not come
                print(f"{number}: {type(error).__name__}: {error}", file=sys.stderr)
    return right, [wait for number, wait in waits.items() if _poison(number)]


def _streamed(pool: Joblib) -> tuple[int, list[Callable[[float], Any]]]:
    right = 0
    try:
        for number, result in enumerate(pool.one_by_one(tasks.double_or_die, range(TASKS))):
            right += result == 2 * number
    except Exception as error:  # noqa: BLE001 as above
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return right, []


def _failed(wait: Callable[[float], Any], deadline: float) -> bool:
    """Whether a bad task's end is told in time; a time-out is no word."""
    try:
        wait(max(0.001, deadline - time.monotonic()))
    except Exception:  # noqa: BLE001 as above
        return time.monotonic() < deadline
    return False


def _usable(pool: Adapter) -> bool:
    try:
        if isinstance(pool, Joblib):  # who uses it outside of a with statement gets new workers with the next call
            return list(pool.one_by_one(tasks.double, [21])) == [42]
        return bool(pool.submit(tasks.double, 21)(5.0) == 42)
    except Exception as error:  # noqa: BLE001 as above
        print(f"afterwards: {type(error).__name__}: {error}", file=sys.stderr)
        return False
