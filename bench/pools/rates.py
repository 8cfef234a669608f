"""Throughput and latency: many trivial tasks, and one at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.pools import WITHIN, tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.pools import Values
    from bench.pools.opened import Bench

LEAST = 0.25  # seconds a steady rate is measured over, at least
SECONDS = 2.0  # for what is measured many times
COUNT = 20_000  # numbers for a map() that has only begun to know how long its tasks take


def rates(key: str, call: Callable[[range], Iterable[Any]], *, start: int) -> Values:
    """Tasks a second: as many items as take LEAST seconds, three times."""
    count = start
    while (took := _doubled(call, count)) < LEAST:
        count = min(count * 4, int(count * 1.2 * LEAST / took))
    return {key: [count / _doubled(call, count) for _ in range(3)]}


def _doubled(call: Callable[[range], Iterable[Any]], count: int) -> float:
    began = time.perf_counter()
    results = list(call(range(count)))
    took = time.perf_counter() - began
    if len(results) != count or results[-1] != 2 * count - 2:
        raise AssertionError(f"{count} numbers gave {len(results)} results, the last of them {results[-1:]}")
    return took


def maps(bench: Bench) -> Values:
    """One by one as the pool streams them, anew and in the long run; and its map() to a list, where that cuts chunks."""
    pool = bench.open(streaming=True)
    found = {"pool-map": [COUNT / _doubled(lambda items: pool.stream(tasks.double, items), COUNT)]}
    found |= rates("pool-map-long", lambda items: pool.stream(tasks.double, items), start=COUNT)
    if pool.cuts:
        found |= rates("pool-map-own", lambda items: pool.gathered(tasks.double, items), start=COUNT)
    return found


def submits(bench: Bench) -> Values:
    """Every task submitted, then every result taken."""
    pool = bench.open()

    def call(items: range) -> list[Any]:
        waits = [pool.submit(tasks.double, item) for item in items]
        return [wait(WITHIN) for wait in waits]

    return rates("pool-submit", call, start=500) if pool.submits else {}


def chunks(bench: Bench) -> Values:
    """500 items in a chunk."""
    pool = bench.open(streaming=True)
    return rates("pool-chunks", lambda items: pool.cut(tasks.double, items, 500), start=50_000)


def latency(bench: Bench) -> Values:
    """One task at a time: microseconds from submit to result."""
    pool = bench.open()
    return {"pool-latency": calls(lambda: pool.submit(tasks.double, 21)(WITHIN), most=300, warm=50)}


def calls(call: Callable[[], object], *, most: int, warm: int) -> list[float]:
    """Microseconds of each call; fewer calls where they are slow."""
    deadline = time.perf_counter() + SECONDS / 2
    while warm and time.perf_counter() < deadline:
        call()
        warm -= 1
    values: list[float] = []
    deadline = time.perf_counter() + SECONDS
    while len(values) < most and (len(values) < 2 or time.perf_counter() < deadline):
        began = time.perf_counter()
        call()
        values.append((time.perf_counter() - began) * 1e6)
    return values
