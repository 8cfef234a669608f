"""Many deaths: a thousand in a row leave nothing behind, and a storm of them while results flow loses none and doubles none.

NINELIVES_RESTARTS says how many crashes there are in a row (1,000 unless it is set; CI sets 10,000).
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from supervisor import kernel
from supervisor.pool import TaskFailed
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, crew, eventually, root, templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from supervisor.pool import Pool

CRASHES = int(os.environ.get("NINELIVES_RESTARTS", "1000"))
WARM_UP = 200  # crashes after which everything that is kept has been made
GROWTH_BYTES = 2 << 20  # of resident memory: less than this


class Footprint(NamedTuple):
    """What a process holds."""

    fds: int
    memfds: int
    threads: int
    rss_bytes: int


def footprint(pid: int) -> Footprint:
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:  # that of listdir itself
            continue
    now = kernel.stat(pid)
    assert now is not None
    memfds = sum("memfd" in link for link in links)
    return Footprint(len(links), memfds, len(os.listdir(f"/proc/{pid}/task")), now.rss_bytes)


def at_rest(pool: Pool) -> dict[str, Footprint]:
    """Of the parent, the root and the template, when all workers are there and nothing changes any more."""
    eventually(lambda: len(crew(pool)) == len(pool._core.dispatcher.crew.remotes) == 3)
    before, now = None, footprints(pool)
    while [each[:3] for each in now.values()] != before:
        before = [each[:3] for each in now.values()]
        time.sleep(0.2)  # it is a silence that is waited for
        now = footprints(pool)
    return now


def footprints(pool: Pool) -> dict[str, Footprint]:
    pids = {"parent": os.getpid(), "root": root(pool), "template": eventually(lambda: templates(pool))[0]}
    return {role: footprint(pid) for role, pid in pids.items()}


def crash(pool: Pool, count: int) -> None:
    """So many workers die, one after the other and in twos; each task is tried once, and no other one is lost."""
    strict = pool.options(retries=0)
    hows = ["kill", "leave", "kill", "abort"]
    for start in range(0, count, 20):
        bad = [strict.submit(tasks.end, hows[n % 4]) for n in range(start, min(start + 20, count))]
        good = [strict.submit(tasks.double, n) for n in range(20)]
        assert all(isinstance(future.exception(PATIENCE), TaskFailed) for future in bad)
        assert [future.result(PATIENCE) for future in good] == [2 * n for n in range(20)]


@pytest.mark.alone  # it keeps every CPU busy
@pytest.mark.timeout(300)
def test_nothing_grows_with_the_number_of_crashes(hire: Callable[..., Pool]) -> None:
    """Parent, root and template hold as much after all of them as after the first few: no descriptor, thread, memory."""
    pool = hire(2, min_workers=2, preload=["tests.real.pool_tasks"])
    crash(pool, WARM_UP)
    before, began = at_rest(pool), time.monotonic()
    crash(pool, CRASHES)
    print(f"{CRASHES} crashes at {CRASHES / (time.monotonic() - began):.0f}/s")
    after = at_rest(pool)
    for role, was in before.items():
        print(f"{role}: {was} -> {after[role]}")
        assert after[role][:3] <= was[:3], f"{role}: descriptors, memfds, threads {was[:3]} -> {after[role][:3]}"
        grown = after[role].rss_bytes - was.rss_bytes
        assert grown < GROWTH_BYTES, f"{role}: {grown >> 10} KiB more after {CRASHES} crashes"
    zombies = [pid for pid in (*kernel.children(os.getpid()), *kernel.descendants(root(pool))) if not is_alive(pid)]
    assert not zombies


class Storm:
    """Kills a worker every few milliseconds, from its beginning to its end."""

    def __init__(self, pool: Pool, *, every: float, seed: int) -> None:
        self._pool, self._every, self._random = pool, every, random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._blow, daemon=True)
        self.kills = 0

    def _blow(self) -> None:
        while not self._is_over.wait(self._every):
            found = crew(self._pool)
            if found:
                tasks.kill_other(self._random.choice(found))
                self.kills += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


@pytest.fixture
def sturdy(hire: Callable[..., Pool]) -> Pool:
    """Its workers have nothing to import: none is killed before it could do anything."""
    return hire(2, min_workers=2, standby=2, preload=["tests.real.pool_tasks"])


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_kills_over_single_tasks(sturdy: Pool, seed: int) -> None:
    """Every result arrives, is right, and is told exactly once."""
    told: list[int] = []
    view = sturdy.options(retries=1000)
    with Storm(sturdy, every=0.01, seed=seed) as storm:
        futures = [view.submit(tasks.double_slowly, number) for number in range(1000)]
        for number, future in enumerate(futures):
            future.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
        assert [future.result(PATIENCE) for future in futures] == [2 * number for number in range(1000)]
    sturdy.shutdown()
    assert sorted(told) == list(range(1000))
    assert storm.kills > 10


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_kills_over_a_map(sturdy: Pool, seed: int) -> None:
    """In order and out of order: every item exactly once."""
    view = sturdy.options(retries=1000)
    wanted = [2 * number for number in range(3000)]
    with Storm(sturdy, every=0.01, seed=seed) as storm:
        assert list(view.map(tasks.double_slowly, range(3000))) == wanted
        assert sorted(view.imap_unordered(tasks.double_slowly, iter(range(3000)))) == wanted
    assert storm.kills > 10


@pytest.mark.numpy
def test_a_storm_of_kills_over_arrays(hire: Callable[..., Pool]) -> None:
    """In segments, both ways: every one arrives whole."""
    pool = hire(2, min_workers=2, preload=["numpy", "tests.real.pool_misdeeds"])
    arrays = [misdeeds.many(1 << 20) * number for number in range(60)]
    with Storm(pool, every=0.01, seed=0) as storm:
        futures = [pool.options(retries=1000).submit(misdeeds.twice, array) for array in arrays]
        for number, future in enumerate(futures):
            assert (future.result(PATIENCE) == 2 * number).all()
    assert storm.kills


def test_what_must_not_be_begun_twice_is_not_in_a_storm_either(sturdy: Pool, tmp_path: Path) -> None:
    """idempotent=False: each is begun once at most, and done or failed accordingly."""
    paths = [str(tmp_path / str(number)) for number in range(300)]
    with Storm(sturdy, every=0.01, seed=1):
        futures = [sturdy.options(idempotent=False).submit(tasks.note_slowly, path) for path in paths]
        failed = sum(isinstance(future.exception(PATIENCE), TaskFailed) for future in futures)
    assert all(len(tasks.noted(path)) <= 1 for path in paths)
    done = [future for future in futures if future.exception() is None]
    assert len(done) == 300 - failed
    assert all(len(tasks.noted(path)) == 1 for path, future in zip(paths, futures, strict=True) if future in done)


def test_the_roots_are_killed_in_a_storm(hire: Callable[..., Pool]) -> None:
    """Four times in a row, with everything below them, while results flow: all are right."""
    pool = hire(2, preload=["tests.real.pool_tasks"])
    view = pool.options(retries=1000)
    results: Iterator[int] = view.map(tasks.double_slowly, range(2000))
    found = []
    for number, value in enumerate(results):
        found.append(value)
        if number % 400 == 200:
            tasks.kill_other(root(pool))
            time.sleep(0.3)  # more than five within a second is a root that cannot live, and an error
    assert found == [2 * number for number in range(2000)]
    Innocents(pool).check()


def test_everything_is_killed_at_once(hire: Callable[..., Pool]) -> None:
    """Root, template, workers, standbys: the pool goes on from nothing."""
    pool = hire(2, min_workers=2)
    Innocents(pool).check()
    eventually(lambda: len(crew(pool)) == 3)
    for pid in (*crew(pool), *templates(pool), root(pool)):
        os.kill(pid, signal.SIGKILL)
    Innocents(pool).check()
