"""Tasks that have pools of their own, and tasks that keep their workers from leaving."""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Any

from supervisor.pool import Pool
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, crew, eventually, root, templates

_kept: list[Pool] = []


def _family(pool: Pool) -> list[int]:
    return [root(pool), *eventually(lambda: templates(pool)), *crew(pool)]


def crash_in_a_pool() -> dict[str, Any]:
    with Pool(1, standby=0) as pool:
        bad = pool.options(retries=0).submit(tasks.kill)
        good = [pool.submit(tasks.double, n).result(PATIENCE) for n in range(4)]
        return {"innocents": good, "error": type(bad.exception(PATIENCE)).__name__, "pids": _family(pool)}


def double_at_depth(number: int, depth: int) -> int:
    if depth == 0:
        return tasks.double(number)
    with Pool(1, standby=0) as pool:
        found: int = pool.submit(double_at_depth, number, depth - 1).result(PATIENCE)
        return found


def end_with_a_pool_inside(path: str, how: str) -> None:
    """Writes down who will be orphaned."""
    pool = Pool(1, standby=0)
    pool.submit(misdeeds.spin)
    eventually(lambda: crew(pool))
    with open(path, "w") as file:
        file.write("".join(f"{pid}\n" for pid in _family(pool)))
    tasks.ENDS[how]()


def leave_a_pool_open() -> list[int]:
    _kept.append(Pool(1, standby=0))
    assert _kept[-1].submit(tasks.double, 1).result(PATIENCE) == 2
    return _family(_kept[-1])


def hang_at_exit() -> int:
    atexit.register(misdeeds.spin)
    return os.getpid()


def babble_at_exit() -> int:
    atexit.register(misdeeds.write_garbage, b"?" * (1 << 22))
    return os.getpid()


def hang_in_a_thread() -> int:
    threading.Thread(target=time.sleep, args=(tasks.FOREVER,)).start()
    return os.getpid()
