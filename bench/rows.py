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
    "worker-pss": Kind("memory of an idle preloaded worker (PSS)", "MiB", 1.5, None, "program-pss"),
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
            "median": round(self.median, 4),
            "p99": round(self.quantile(0.99), 4),
            "min": round(min(self.values, default=math.nan), 4),
            "max": round(max(self.values, default=math.nan), 4),
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
