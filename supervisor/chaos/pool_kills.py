"""A pool while its workers are killed: a map runs, one worker after another dies of SIGKILL, and every result must come.

It happens in the process that asks for it, beside any service. Which inputs have been answered when a worker is killed, and
which of the workers it is, follow from the seed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import NamedTuple

from supervisor import kernel
from supervisor.pool import Pool

TAKES_S = 0.002  # a task: long enough that workers are in the middle of one when they are killed
WORKERS = 2


class Storm(NamedTuple):
    """What came of it. lost: inputs that were not answered; wrong: answered with something else."""

    tasks: int
    kills: int
    right: int
    wrong: int
    lost: int
    took_s: float

    @property
    def all_right(self) -> bool:
        """Whether every input got its own result, once."""
        return self.right == self.tasks


def blow(tasks: int, kills: int, seed: int) -> Storm:
    """Map `tasks` inputs and kill a worker `kills` times in between. ValueError: there must be more tasks than kills."""
    if not 0 <= kills < tasks:
        raise ValueError(f"kills: {kills} is not between 0 and the number of tasks, {tasks}")
    draw = random.Random(seed)  # noqa: S311 - repeatable is what it must be
    moments = set(draw.sample(range(tasks), kills))
    began, right, wrong, killed = time.monotonic(), 0, 0, 0
    with Pool(WORKERS, min_workers=WORKERS) as pool:
        sturdy = pool.options(retries=kills + 1)
        results = sturdy.map(task, range(tasks), on_error="return")
        for at, result in enumerate(results):
            if result == answer(at):
                right += 1
            else:
                wrong += 1
            if at in moments:
                killed += kill_one(draw)
    return Storm(tasks, killed, right, wrong, tasks - right - wrong, round(time.monotonic() - began, 6))


def task(number: int) -> int:
    """What the workers do."""
    time.sleep(TAKES_S)
    return answer(number)


def answer(number: int) -> int:
    """What is right."""
    return number * number + 1


def kill_one(draw: random.Random) -> int:
    """SIGKILL one of the pool's workers, standbys among them; how many were killed."""
    pids = [
        pid for pid in kernel.descendants(os.getpid()) if (kernel.read_brand(pid) or 0) & 0xFFFFFFFF and _is_worker(pid)
    ]
    if not pids:
        return 0
    try:
        os.kill(draw.choice(sorted(pids)), signal.SIGKILL)
    except ProcessLookupError:  # it ended by itself
        return 0
    return 1


def _is_worker(pid: int) -> bool:
    now = kernel.stat(pid)
    return now is not None and now.state not in "ZX" and now.command.startswith("pool ")
