"""A worker that falls silent among 500 that beat: how late is it found, and never early.

`late_s` is the supervisor's own word. So the worker says, by its own clock, when its last beat was: nothing may be told
before that plus beat_within, and the second row is how long after it the event was written (stacks were taken before).
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from bench.figures import Effort, place
from bench.figures.fleet import SCIENCE, SETTLED, WITHIN
from bench.rows import Row
from bench.service import UNTIRING, clock, running

if TYPE_CHECKING:
    from collections.abc import Iterator

BEAT_WITHIN = 2.5
HANGS = 20


def hang(effort: Effort) -> Iterator[Row]:
    """Several workers hang, one after the other."""
    count = HANGS if effort.starts > 1 else HANGS // 4
    with place() as (folder, bell):
        worker = f"[workers.w]\ntarget = \"functions:hanging\"\nargs = {{ bell = '{bell.path}' }}\nreplicas = 500\n"
        policy = UNTIRING.replace("20ms", "60s") + 'template = "science"\n'
        with running(folder, f"{SCIENCE}{worker}beat_within = {BEAT_WITHIN}\n{policy}") as service:
            victims = [ring.pid for ring in bell.wait_all(500, WITHIN)[:count]]
            time.sleep(SETTLED)
            last: dict[int, float] = {}
            for pid in victims:
                os.kill(pid, signal.SIGUSR1)
                last[pid] = bell.wait(5, "hang").at
                time.sleep(0.137)  # not in step with the beats
            told = {said["pid"]: said for said in service.wait_told("worker.hung", count, within=BEAT_WITHIN * 6)}
            offset = time.time() - time.monotonic()
            late = [told[pid]["late_s"] * 1000 for pid in victims]
            begun = [(clock(told[pid]) - offset - last[pid] - BEAT_WITHIN) * 1000 for pid in victims]
    early = sum(each < 0 for each in begun)
    yield Row("hang-late", "ninelives", late, note=f"{early} of {count} too early")
    yield Row("hang-begins", "ninelives", begun)
