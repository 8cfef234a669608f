"""A program whose every call of a pool is interrupted somewhere: `python -m tests.real.pool_interrupted WAY SEED TIMES`.

A timer's handler raises, as that of Ctrl-C does. After each interruption the pool must do what it is asked, and in the end have
nothing open. It prints how many calls were interrupted; one that hangs is ended, with the stacks of all threads.
"""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from supervisor import Pool
from tests.real import pool_tasks as tasks

if TYPE_CHECKING:
    from collections.abc import Callable

HANGS_AFTER = 15.0
ITEMS = range(60)


def submit(pool: Pool) -> None:
    """One by one, and waiting for each."""
    for future in [pool.submit(tasks.double, number) for number in ITEMS]:
        future.result()


def cancel(pool: Pool) -> None:
    """Taken back, those that are not too far."""
    for future in [pool.submit(tasks.double, number) for number in ITEMS]:
        future.cancel()


WAYS: dict[str, Callable[[Pool], object]] = {
    "submit": submit,
    "cancel": cancel,
    "map": lambda pool: list(pool.map(tasks.double, ITEMS, chunksize=3)),
    "map of chunks": lambda pool: list(pool.map(tasks.double, range(300))),
    "map of an iterator": lambda pool: list(pool.map(tasks.double, iter(ITEMS), chunksize=2)),
    "imap_unordered": lambda pool: list(pool.imap_unordered(tasks.double, ITEMS, chunksize=3)),
}


armed: list[bool] = []  # while it is empty the handler does nothing: the signal may come late, by way of another thread


def handler(*_: object) -> None:
    """Of the timer."""
    if armed:
        armed.clear()
        raise KeyboardInterrupt


def interrupted(act: Callable[[], object], within: float) -> bool:
    """Whether that came before the end of it."""
    try:
        armed.append(True)
        signal.setitimer(signal.ITIMER_REAL, within)
        act()
        armed.clear()
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False


def soon(chance: random.Random) -> float:
    """Seconds, within what a call takes."""
    return chance.choice([3e-5, 1e-4, 4e-4, 2e-3]) * chance.random() + 1e-6


def calls(way: str, chance: random.Random, times: int) -> int:
    """One pool, many calls."""
    found = 0
    with Pool(2) as pool:
        list(pool.map(tasks.double, ITEMS))
        for number in range(times):
            faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
            found += interrupted(lambda: WAYS[way](pool), soon(chance))
            assert list(pool.map(tasks.double, ITEMS)) == [2 * item for item in ITEMS], number
            deadline = time.monotonic() + HANGS_AFTER / 2
            while pool._core.dispatcher.open():
                assert time.monotonic() < deadline, (number, pool)
                time.sleep(0.0005)
    return found


def lives(chance: random.Random, times: int) -> int:
    """Many pools: interrupted while they start, or while they end; asked once more, each works, and each is gone then."""
    found = 0
    for number in range(times):
        faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
        pool = Pool(2)
        found += interrupted(partial(pool.submit, tasks.double, 1), 4 * soon(chance))
        assert pool.submit(tasks.double, number).result(HANGS_AFTER / 2) == 2 * number
        found += interrupted(pool.terminate, soon(chance))
        pool.terminate()
        assert pool._core.dispatcher.closing.has_ended
    return found


def main() -> None:
    """See the head of this file."""
    way, seed, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGALRM, handler)
    chance = random.Random(seed)
    print(lives(chance, times) if way == "lives" else calls(way, chance, times))
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
