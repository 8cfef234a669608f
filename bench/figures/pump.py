"""The pump alone, without a service around it: lines of 100 bytes from one pipe to another that somebody reads.

The second row is per second of the pump's own CPU, which a busy machine changes less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.figures import Effort, place
from bench.figures.output import FLOOD, Counter
from bench.rows import Row
from tests.real.pump_rig import Rig, cpu_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bell import Bell

WITHIN = 120.0


def pump(effort: Effort) -> Iterator[Row]:
    """A pump of its own each time."""
    rates, per_cpu = [], []
    for _ in range(effort.starts):
        with place() as (_, bell):
            rate, used = _measure(bell, effort.lines)
        rates.append(rate)
        per_cpu.append(used)
    yield Row("pump", "ninelives", rates)
    yield Row("pump-cpu", "ninelives", per_cpu)


def _measure(bell: Bell, lines: int) -> tuple[float, float]:
    """Lines a second, and lines a second of CPU."""
    read, write = os.pipe()
    rig = Rig(write)
    counter = Counter(read, lines)
    source = rig.add("flood#1/out")
    before = cpu_s(rig.pid)
    worker = subprocess.Popen([sys.executable, FLOOD, bell.path, str(lines)], stdout=source)
    os.close(source)
    try:
        began = bell.wait(30).at
        counter.done.wait(WITHIN)
        used = cpu_s(rig.pid) - before
        took = (counter.done_at or time.monotonic()) - began
    finally:
        worker.kill()
        worker.wait()
        rig.stop()
        rig.close()
        os.close(write)
        counter.join(10)
    if counter.found != lines:
        raise AssertionError(f"{lines - counter.found} of {lines} lines lost")
    return lines / took, lines / used
