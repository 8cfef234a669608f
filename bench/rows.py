"""What a figure yields, and how many numbers become three."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.processes import load


class Kind(NamedTuple):
    """One line of the table of figures. p50, p99: what ninelives is to reach; `versus`: the row peers are taken from."""

    title: str
    unit: str
    p50: float | None = None
    p99: float | None = None
    versus: str | None = None
    more_is_better: bool = False


KINDS: dict[str, Kind] = {
    "kill-standby": Kind("kill to ready, standby", "ms", 2.5, 8.0, "kill-program"),
    "kill-decided": Kind("kill to worker.ended decided", "ms", 2.0),
    "kill-preloaded": Kind("kill to ready, preloaded with NumPy, no standby", "ms", 8.0, 20.0, "kill-program-numpy"),
    "kill-program": Kind("kill to ready, plain program", "ms"),
    "kill-program-over": Kind("… of that, more than its own start", "ms", 5.0),
    "kill-program-numpy": Kind("kill to ready, program that imports NumPy", "ms"),
    "start-500": Kind("500 workers, NumPy preloaded, until all are ready and beating", "s", 3.0, None, "start-500-program"),
    "start-2000": Kind("2,000 of them", "s", 12.0),
    "start-500-program": Kind("500 plain programs until all are ready", "s"),
    "worker-pss": Kind(
        "memory of an idle worker, NumPy and its own module preloaded (PSS)", "MiB", 1.5, None, "program-pss"
    ),
    "worker-pss-import": Kind("… NumPy preloaded, its own module imported by itself", "MiB"),
    "program-pss": Kind("memory of a plain program (PSS)", "MiB"),
    "cpu-idle": Kind("CPU of the service, 500 workers without beats", "%", 1.0),
    "cpu-1": Kind("CPU, 500 workers beating once a second", "%", 1.0, None, "cpu-idle"),
    "cpu-10": Kind("CPU, 500 workers beating ten times a second", "%", 1.5, None, "cpu-idle"),
    "memory-10": Kind("memory of the service with 10 workers (PSS)", "MiB", 40.0),
    "hang-late": Kind("hang: deadline to the decision, 500 workers beating", "ms", 50.0),
    "hang-begins": Kind("hang: deadline (by the worker's clock) to stacks taken and told", "ms"),
    "output": Kind("worker output, lines of 100 bytes through the whole service", "lines/s", 300_000, more_is_better=True),
    "pump": Kind("the pump alone, to a pipe with a reader", "lines/s", more_is_better=True),
    "pump-cpu": Kind("… in a second of the pump's own CPU", "lines/s", more_is_better=True),
    "pool-map": Kind("20,000 trivial tasks one by one through map, defaults", "tasks/s", 100_000, None, "pool-map", True),
    "pool-map-long": Kind("… in the long run", "tasks/s", None, None, "pool-map-long", True),
    "pool-map-own": Kind("… to a list, where map() cuts chunks unasked", "tasks/s", None, None, "pool-map-own", True),
    "pool-submit": Kind("trivial tasks submitted one by one", "tasks/s", 100_000, None, "pool-submit", True),
    "pool-chunks": Kind("trivial tasks in chunks of 500", "tasks/s", 3_000_000, None, "pool-chunks", True),
    "pool-latency": Kind("submit to result, one task at a time", "µs", 150, None, "pool-latency"),
    "pool-in": Kind("sixteen fresh arrays of 32 MB to the workers", "MB/s", 3_000, None, "pool-in", True),
    "pool-in-read": Kind("… and every number read there", "MB/s", None, None, "pool-in-read", True),
    "pool-shared-1": Kind("a call with a shared array of 1 MB", "µs", None, None, "pool-shared-1"),
    "pool-shared-256": Kind("a call with a shared array of 256 MB", "µs", None, None, "pool-shared-256"),
    "pool-out": Kind("sixteen arrays of 32 MB back", "MB/s", 1_500, None, "pool-out", True),
    "pool-out-read": Kind("… and every number read here", "MB/s", None, None, "pool-out-read", True),
    "pool-crash": Kind("SIGKILL of a worker to the next good result in its place", "ms", 2.5, None, "pool-crash"),
    "pool-cold": Kind("making a pool to its first result", "ms", 40, None, "pool-cold"),
    "pool-import": Kind("importing the package, not in the above", "ms", None, None, "pool-import"),
    "pool-survived": Kind("good results, of 196, when 4 more tasks kill workers", "", 196, None, "pool-survived", True),
    "pool-survived-in": Kind("… until the last of all 196 is there", "s", 0.25, None, "pool-survived-in"),
    "pool-decided-in": Kind("… until the four deaths are told, too", "s", None, None, "pool-decided-in"),
    "pool-survived-map": Kind("good results, of 196, of one map()", "", 196, None, "pool-survived-map", True),
}  # fmt: skip


@dataclass
class Row:
    """One measured series: of which figure, whose, and under what load."""

    key: str
    who: str
    values: list[float]
    note: str = ""
    load: float = field(default_factory=load)

    @property
    def median(self) -> float:
        """Or nan, when there is nothing."""
        return statistics.median(self.values) if self.values else math.nan

    def quantile(self, part: float) -> float:
        """The value that `part` of all do not exceed (the next higher one, never an invented one)."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)] if ordered else math.nan

    def as_json(self) -> dict[str, object]:
        """Everything, for whoever wants to look closer."""
        return {
            "figure": self.key,
            "who": self.who,
            "unit": KINDS[self.key].unit,
            "n": len(self.values),
            "median": round(self.median, 4) if self.values else None,
            "p99": round(self.quantile(0.99), 4) if self.values else None,
            "min": round(min(self.values), 4) if self.values else None,
            "max": round(max(self.values), 4) if self.values else None,
            "load": round(self.load, 2),
            "note": self.note,
            "values": [round(value, 4) for value in self.values],
        }


def reached(row: Row) -> bool | None:
    """Whether ninelives is where it is to be; None where nothing is asked."""
    kind = KINDS[row.key]
    if row.who != "ninelives" or kind.p50 is None:
        return None
    if kind.more_is_better:
        return row.median >= kind.p50
    return row.median <= kind.p50 and (kind.p99 is None or row.quantile(0.99) <= kind.p99)
