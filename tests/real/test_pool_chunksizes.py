"""How a map cuts its items: by the time they take, so that many small ones cost little and long ones hold up nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.pool import mapping
from tests.real import pool_tasks as tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervisor.pool import Pool, View


def sizes(pool: View, items: Iterable[object], task: object = tasks.double, chunksize: int | None = None) -> list[int]:
    """Of all chunks of a map, in order; every item was worked on."""
    plan = pool.plan(task, items, chunksize=chunksize)  # type: ignore[arg-type]
    found: list[int] = []
    while (chunk := plan.next()) is not None:
        values, errors = chunk.future.result()
        assert not errors
        assert len(values) == len(chunk.items)
        assert chunk.index == sum(found)
        found.append(len(values))
    return found


def test_small_tasks_come_in_ever_larger_chunks(pool: Pool) -> None:
    """From one item, up to LARGEST; at the end they get smaller again."""
    found = sizes(pool, range(200_000))
    assert found[0] == 1
    assert sum(found) == 200_000
    assert len(found) < 2_000
    assert max(found) <= mapping.LARGEST
    assert found[-1] <= max(found) // 2


def test_long_tasks_come_one_by_one(pool: Pool) -> None:
    """Two that take CHUNK_S each never share a chunk."""
    assert sizes(pool, [2 * mapping.CHUNK_S] * 30, tasks.nap) == [1] * 30


def test_a_chunksize_is_kept(pool: Pool) -> None:
    """But for the last one; of what has a length and of what has none."""
    assert sizes(pool, range(100), chunksize=30) == [30, 30, 30, 10]
    assert sizes(pool, iter(range(100)), chunksize=30) == [30, 30, 30, 10]
    assert sizes(pool, range(90), chunksize=30) == [30, 30, 30]


def test_what_must_not_begin_twice_is_never_in_a_chunk(pool: Pool) -> None:
    assert sizes(pool.options(idempotent=False), range(50), chunksize=10) == [1] * 50


def test_everything_sent_at_once_is_four_chunks_for_each_worker(pool: Pool) -> None:
    """What multiprocessing does by default."""
    assert [len(future.result(30)[0]) for future in pool.chunks(tasks.double, list(range(80)))] == [10] * 8
    assert pool.chunks(tasks.double, []) == []
