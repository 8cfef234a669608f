"""More than 2 GiB in one piece, where lengths no longer fit into 31 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.pool import memory
from tests.real import pool_objects as objects
from tests.real.pool_world import PATIENCE, Innocents

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool import Pool

SIZE = 2_200_000_000  # bytes
# Bytes at once, at the most: an object, its pickle, its segment, and what is made of it on the other side.
NEEDED = 4 * SIZE
WHERE = [0, 1 << 30, (1 << 31) - 5, (1 << 31) + 4096, SIZE - 10]


pytestmark = pytest.mark.timeout(200)  # seconds: millions of new pages, which some virtual machines take 10 us each for
EXPECTED = (SIZE, [objects.in_cycle(at) for at in WHERE])


@pytest.fixture(autouse=True)
def enough_memory() -> None:
    room, what = memory.headroom()
    if room < NEEDED:
        pytest.skip(f"memory: {NEEDED:,} bytes are needed ({what})")


def test_an_argument_of_more_than_two_gibibytes(hire: Callable[..., Pool]) -> None:
    """Bytes, which are pickled in one piece: they arrive whole in a segment, and nobody else waits for them."""
    pool = hire(2)
    others = Innocents(pool)
    others.check()
    future = pool.submit(objects.pieces, objects.cycle(SIZE), WHERE)
    others.add(20)
    assert future.result(4 * PATIENCE) == EXPECTED
    others.check()


def test_a_result_of_more_than_two_gibibytes(hire: Callable[..., Pool]) -> None:
    """The same on the way back."""
    pool = hire(2)
    others = Innocents(pool)
    others.check()
    future = pool.submit(objects.cycle, SIZE)
    others.add(20)
    assert objects.pieces(future.result(4 * PATIENCE), WHERE) == EXPECTED
    others.check()


def test_an_initializer_with_more_than_two_gibibytes(hire: Callable[..., Pool]) -> None:
    """What it is given comes in one frame, through the socket."""
    pool = hire(1, standby=0, initializer=objects.keep, initargs=(objects.cycle(SIZE),))
    assert pool.submit(objects.pieces_of_kept, WHERE).result(4 * PATIENCE) == EXPECTED
    Innocents(pool).check()
