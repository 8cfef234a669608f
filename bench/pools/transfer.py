"""Arrays of 32 MB to the workers and back, and one that is there already."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.pools import WITHIN, tasks
from bench.pools.arrays import fresh, kept
from bench.pools.rates import calls

if TYPE_CHECKING:
    from bench.pools import Values
    from bench.pools.opened import Bench

ARRAYS, LENGTH = 16, 4_000_000  # float64: 32 MB each


def arrays_in(bench: Bench) -> Values:
    """Fresh arrays each time; the first time is not counted: it is when segments are made that are used again."""
    pool = bench.open(streaming=True)
    found: Values = {}
    for key, function, right in (
        ("", tasks.edges, 2.0),
        ("pool-in", tasks.edges, 2.0),
        ("pool-in-read", tasks.total, float(LENGTH)),
    ):
        arrays = [fresh(LENGTH) for _ in range(ARRAYS)]
        began = time.perf_counter()
        results = list(pool.stream(function, arrays))
        found[key] = [ARRAYS * LENGTH * 8 / 1e6 / (time.perf_counter() - began)]
        if results != [right] * ARRAYS:
            raise AssertionError(f"{key}: {results}")
    del found[""]
    return found


def arrays_out(bench: Bench) -> Values:
    """Arrays the workers have kept since the first time; then each is read by us when it comes."""
    pool = bench.open(streaming=True)
    found: Values = {}
    for key, seen, right in (
        ("", tasks.edges, 2.0),
        ("pool-out", tasks.edges, 2.0),
        ("pool-out-read", tasks.total, float(LENGTH)),
    ):
        began = time.perf_counter()
        arrays = []
        for array in pool.stream(kept, [LENGTH] * ARRAYS):
            arrays.append(array)
            if seen(array) != right:
                raise AssertionError(f"{key}: {array}")
        found[key] = [ARRAYS * LENGTH * 8 / 1e6 / (time.perf_counter() - began)]
        del arrays
    del found[""]
    return found


def shared(bench: Bench) -> Values:
    """A call with an array that was given once for all, if the pool knows of such; else with the array."""
    pool = bench.open()
    found: Values = {}
    for megabytes in (1, 256):
        array = pool.share(fresh(megabytes * 1_000_000 // 8))
        key = f"pool-shared-{megabytes}"
        found[key] = calls(lambda array=array: pool.submit(pool.edges, array)(WITHIN), most=100, warm=10)  # type: ignore[misc]
        bench.notes[key] = "" if pool.shares else "sent with every call"
    return found
