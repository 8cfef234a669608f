"""More than 2 GiB in one piece, where lengths no longer fit into 31 bits: an argument, a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.pool import memory
from tests.real import pool_objects as objects
from tests.real.pool_world import PATIENCE, Innocents

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool import Pool, TaskFuture

SIZE = 2_200_000_000  # bytes
# Bytes at once, at the most: an object, its pickle, its segment, and what is made of it on the other side.
NEEDED = 4 * SIZE
WHERE = [0, 1 << 30, (1 << 31) - 5, (1 << 31) + 4096, SIZE - 10]


@pytest.mark.timeout(150)  # seconds: two million new pages, which some virtual machines take 10 us each for
@pytest.mark.parametrize("way", ["argument", "result"])
def test_more_than_two_gibibytes(hire: Callable[..., Pool], way: str) -> None:
    """Bytes, which are pickled in one piece: they arrive whole, and nobody else waits for them."""
    room, what = memory.headroom()
    if room < NEEDED:
        pytest.skip(f"memory: {NEEDED:,} bytes are needed ({what})")
    pool = hire(2)
    others = Innocents(pool)
    others.check()
    ways: dict[str, Callable[[], TaskFuture]] = {
        "argument": lambda: pool.submit(objects.pieces, objects.cycle(SIZE), WHERE),
        "result": lambda: pool.submit(objects.cycle, SIZE),
    }
    future = ways[way]()
    others.add(20)
    told = future.result(4 * PATIENCE)
    found = told if way == "argument" else objects.pieces(told, WHERE)
    assert found == (SIZE, [objects.in_cycle(at) for at in WHERE])
    others.check()
