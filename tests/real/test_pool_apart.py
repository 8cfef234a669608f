"""Workers have nothing in common that one could block the other by, and no chance in common either."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import TaskFailed
from tests.real import pool_objects as objects
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool


def test_no_two_workers_share_a_lock_a_pipe_or_a_memory_that_one_can_write_to(hire: Callable[..., Pool]) -> None:
    """Where nothing is held in common nobody can die holding it: descriptors and shared mappings are each worker's own."""
    pool = hire(2, min_workers=2)
    seen: dict[int, tuple[set[str], set[str]]] = {}
    while len(seen) < 2:
        seen |= pool.imap_unordered(objects.pid_and_shared, range(4), chunksize=1)
    (its_files, its_memory), (other_files, other_memory) = seen.values()
    assert its_files
    assert its_memory
    assert not its_files & other_files
    assert not its_memory & other_memory


@pytest.mark.numpy
@pytest.mark.parametrize("preload", [["random"], ["random", "numpy.random"]], ids=["random", "numpy"])
def test_no_two_workers_draw_the_same_numbers(hire: Callable[..., Pool], tmp_path: Path, preload: list[str]) -> None:
    """Forked from one template with its generators in it; and whoever takes the place of a dead one draws others again."""
    pool = hire(2, min_workers=2, preload=preload)
    drawn: dict[int, list[float]] = {}
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        drawn |= pool.map(partial(objects.drawn, str(folder)), [2, 2], chunksize=1)
        for pid in crew(pool):
            tasks.kill_other(pid)
        eventually(lambda: not {*drawn} & {*crew(pool)})  # noqa: B023 it is waited for here
    assert len(drawn) == 4
    assert {len(numbers) for numbers in drawn.values()} == {len(preload)}
    for numbers in zip(*drawn.values(), strict=True):
        assert len(set(numbers)) == 4


def test_a_worker_may_end_while_another_waits(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """In either order, at work and idle: the other one does not notice."""
    for order in (0, 1):
        pool = hire(2, min_workers=2, standby=0)
        gate = str(tmp_path / f"gate{order}")
        at_work = pool.submit(tasks.wait_for, gate)
        eventually(at_work.running)
        idle = pool.submit(tasks.pid).result(PATIENCE)
        busy = next(pid for pid in crew(pool) if pid != idle)
        tasks.kill_other((busy, idle)[order])
        assert [pool.submit(tasks.double, n).result(PATIENCE) for n in range(10)] == [2 * n for n in range(10)]
        (tmp_path / f"gate{order}").touch()
        assert (at_work.result(PATIENCE) == busy) == (order == 1)


def test_what_is_shared_reaches_whoever_takes_the_place_of_the_dead(hire: Callable[..., Pool]) -> None:
    """Whoever mapped it last may be killed, all of them at once too: it is the parent's, and mapped anew."""
    pool = hire(2, min_workers=2)
    table = pool.share(bytes(range(256)) * 10_000)
    view = pool.options(retries=50)
    for turn in range(10):
        futures = [view.submit(plain.length_of, table, number) for number in range(20)]
        for pid in crew(pool)[turn % 2 :]:
            tasks.kill_other(pid)
        assert [future.result(PATIENCE) for future in futures] == [2_560_000] * 20
    dying = pool.options(retries=1).submit(objects.look_and_end, table, "segfault")
    assert isinstance(dying.exception(PATIENCE), TaskFailed)
    assert table.get() == bytes(range(256)) * 10_000
    assert view.submit(plain.length_of, table, 0).result(PATIENCE) == 2_560_000
