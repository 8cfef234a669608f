"""The pools one measurement opens, so that they are closed after it has told what it found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.pools import WITHIN, tasks
from bench.pools.adapters import WORKERS, Adapter

if TYPE_CHECKING:
    from bench.pools import Values


class Bench:
    """Opens pools of one kind; `notes` are told beside the values."""

    def __init__(self, kind: type[Adapter]) -> None:
        self.kind = kind
        self.opened: list[Adapter] = []
        self.notes: dict[str, str] = {}

    def open(self, workers: int = WORKERS, *, streaming: bool = False) -> Adapter:
        """A pool that has been at work, in the way it is going to be used (mpire cannot do both, one after the other)."""
        pool = self.opened_cold(workers)
        if streaming:
            list(pool.stream(tasks.double, range(2 * workers)))
            return pool
        for wait in [pool.submit(tasks.double, 1) for _ in range(2 * workers)]:
            wait(WITHIN)
        return pool

    def opened_cold(self, workers: int = WORKERS) -> Adapter:
        pool = self.kind(workers)
        self.opened.append(pool)
        return pool

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()


def cold(bench: Bench) -> Values:
    """Milliseconds from making a pool to its first result."""
    began = time.perf_counter()
    pool = bench.opened_cold()
    pool.submit(tasks.double, 21)(WITHIN)
    return {"pool-cold": [(time.perf_counter() - began) * 1000]}
