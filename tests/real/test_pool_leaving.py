"""Workers that leave for want of work, or because they have done enough, while work for them is still being pickled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import feeding
from tests.real import pool_nested as nested
from tests.real import pool_objects as objects
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from supervisor.pool import Pool


def in_a_thread(act: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """What it returns, or raises, is in the list when the thread has ended."""
    said: list[Any] = []

    def run() -> None:
        try:
            said.append(act())
        except BaseException as error:  # noqa: BLE001 told to the test
            said.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, said


@pytest.mark.parametrize(("idle_after", "seconds"), [(0.01, 0.02), (0.01, 0.1), (0.02, 0.03), (0.001, 0.01)])
@pytest.mark.parametrize("standby", [0, 1])
def test_workers_leave_while_arguments_are_pickled_slowly(
    hire: Callable[..., Pool], idle_after: float, seconds: float, standby: int
) -> None:
    """Each is idle for longer than it may be before the next task comes: somebody does it, every time."""
    pool = hire(2, min_workers=0, idle_after=idle_after, standby=standby)
    pids: set[int] = set()

    def have_been_replaced() -> bool:
        for way in (pool.map, pool.imap_unordered):
            items = [objects.Slow(number, seconds=seconds) for number in range(6)]
            found = list(way(objects.with_pid, items, chunksize=1))
            assert sorted(number for number, _ in found) == list(range(6))
            pids.update(pid for _, pid in found)
        return len(pids) > 2

    eventually(have_been_replaced)


@pytest.mark.parametrize("seconds", [0.01, 0.05])
def test_workers_leave_while_arguments_are_unpickled_slowly(hire: Callable[..., Pool], seconds: float) -> None:
    """A worker that is at unpickling is not idle, however long it takes."""
    pool = hire(2, min_workers=0, idle_after=0.001, standby=0)
    strict = pool.options(retries=0)
    for _ in range(3):
        futures = [strict.submit(tasks.double, objects.SlowToOpen(number, seconds)) for number in range(4)]
        assert [future.result(PATIENCE) for future in futures] == [0, 2, 4, 6]
        eventually(lambda: not pool._core.dispatcher.crew.members)


def test_workers_are_replaced_after_each_task_while_arguments_are_pickled_slowly(hire: Callable[..., Pool]) -> None:
    """max_tasks_per_child=1, from four threads: as many processes as tasks, and none of these is lost."""
    pool = hire(2, max_tasks_per_child=1, idle_after=0.01, min_workers=0)

    def submit(first: int) -> list[Future[tuple[int, int]]]:
        return [pool.submit(objects.with_pid, objects.Slow(first + n, seconds=0.01)) for n in range(5)]

    began = [in_a_thread(lambda first=first: submit(first)) for first in (0, 5, 10, 15)]  # type: ignore[misc]
    for thread, _ in began:
        thread.join(PATIENCE)
    found = [future.result(PATIENCE) for _, (futures,) in began for future in futures]
    assert sorted(number for number, _ in found) == list(range(20))
    assert len({pid for _, pid in found}) == 20


def test_workers_are_killed_while_the_pool_shrinks_and_grows(hire: Callable[..., Pool]) -> None:
    """Some on their way out, some on their way in: every task is done."""
    pool = hire(3, min_workers=0, idle_after=0.005)
    others = Innocents(pool.options(retries=50))
    for turn in range(30):
        others.add(3)
        for pid in crew(pool)[turn % 2 :]:
            tasks.kill_other(pid)
        if turn % 3 == 0:
            others.check()
    others.check()


@pytest.mark.parametrize("is_told", [True, False])
def test_the_pool_is_shut_down_at_the_moment_its_workers_leave(hire: Callable[..., Pool], is_told: bool) -> None:
    """Whether they have just been told to, or would be in a moment: the last task is done, and the pool ends."""
    for _ in range(15):
        pool = hire(2, idle_after=0.01, min_workers=0, standby=0)
        Innocents(pool).check()
        if is_told:
            eventually(lambda: not pool._core.dispatcher.crew.members)  # noqa: B023 it is waited for here
        last = pool.submit(tasks.double, 4)
        ending, _ = in_a_thread(pool.shutdown)
        ending.join(PATIENCE)
        assert not ending.is_alive()
        assert last.result(0) == 8


@pytest.mark.parametrize("wait", [True, False])
def test_the_pool_is_shut_down_while_an_argument_is_pickled(
    hire: Callable[..., Pool], tmp_path: Path, wait: bool
) -> None:
    """Nobody waits for it: what was submitted before is done, and this one is refused as it comes too late."""
    pool = hire(2, idle_after=0.01, min_workers=0)
    others = Innocents(pool)
    others.check()
    gate, begun = str(tmp_path / "gate"), tmp_path / "begun"
    thread, said = in_a_thread(lambda: pool.submit(tasks.double, objects.Slow(1, gate=gate, begun=str(begun))))
    eventually(begun.exists)
    running = [pool.submit(tasks.nap, 0.02) for _ in range(5)]
    ending, _ = in_a_thread(lambda: pool.shutdown(wait=wait))
    ending.join(PATIENCE)
    assert not ending.is_alive()
    assert [future.result(PATIENCE) for future in running] == [0.02] * 5
    (tmp_path / "gate").touch()
    thread.join(PATIENCE)
    assert [type(error) for error in said] == [RuntimeError]
    assert "after shutdown" in str(said[0])


@pytest.mark.parametrize("wait", [True, False])
def test_the_pool_is_shut_down_while_the_items_of_a_map_are_pickled(
    hire: Callable[..., Pool], tmp_path: Path, wait: bool
) -> None:
    """A list was accepted with the call, so shutdown waits for all of it, however slow it is to pickle."""
    pool = hire(2, idle_after=0.01, min_workers=0)
    gate, begun = str(tmp_path / "gate"), tmp_path / "begun"
    items = [0, 1, 2, objects.Slow(3, gate=gate, begun=str(begun)), 4, 5]
    thread, said = in_a_thread(lambda: list(pool.map(tasks.double, items, chunksize=1)))
    eventually(begun.exists)
    ending, _ = in_a_thread(lambda: pool.shutdown(wait=wait))
    eventually(lambda: pool.is_closed)
    (tmp_path / "gate").touch()
    for each in (thread, ending):
        each.join(PATIENCE)
    assert said == [[0, 2, 4, 6, 8, 10]]
    assert not ending.is_alive()


def test_the_pool_is_shut_down_while_a_result_is_pickled(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """Its worker is at it still: shutdown waits, the result arrives, the others' do as well, and the workers leave."""
    pool = hire(2, idle_after=0.01, min_workers=0)
    gate, begun = str(tmp_path / "gate"), tmp_path / "begun"
    slow = pool.submit(objects.slow_result, 21, gate, str(begun))
    eventually(begun.exists)
    good = [pool.submit(tasks.double, number) for number in range(10)]
    workers = crew(pool)
    ending, _ = in_a_thread(pool.shutdown)
    assert [future.result(PATIENCE) for future in good] == [2 * number for number in range(10)]
    assert ending.is_alive()
    assert not slow.done()
    (tmp_path / "gate").touch()
    assert slow.result(PATIENCE) == 21
    ending.join(PATIENCE)
    assert not ending.is_alive()
    eventually(lambda: not any(map(is_alive, workers)))


def test_the_pool_is_terminated_while_arguments_and_results_are_pickled(
    hire: Callable[..., Pool], tmp_path: Path
) -> None:
    """At once, with both still at it: the task is cancelled, and what comes too late is refused."""
    pool = hire(2, idle_after=0.01, min_workers=0)
    gate, begun, at_result = str(tmp_path / "gate"), tmp_path / "begun", tmp_path / "result"
    slow = pool.submit(objects.slow_result, 21, gate, str(at_result))
    thread, said = in_a_thread(lambda: pool.submit(tasks.double, objects.Slow(1, gate=gate, begun=str(begun))))
    eventually(lambda: begun.exists() and at_result.exists())
    ending, _ = in_a_thread(pool.terminate)
    ending.join(PATIENCE)
    assert not ending.is_alive()
    assert slow.cancelled()
    (tmp_path / "gate").touch()
    thread.join(PATIENCE)
    assert [type(error) for error in said] == [RuntimeError]


# -- those that do not go ---------------------------------------------------------------------------------------------


def test_a_worker_on_its_way_out_is_given_nothing_more(hire: Callable[..., Pool]) -> None:
    """It was idle, it was told to leave, and its exit hangs: what is submitted meanwhile is done by somebody else."""
    pool = hire(1, min_workers=0, idle_after=0.02, standby=0)
    leaving = pool.submit(nested.hang_at_exit).result(PATIENCE)
    eventually(lambda: not pool._core.dispatcher.crew.members)
    others = Innocents(pool)
    others.add(10)
    others.check()
    assert is_alive(leaving)


@pytest.mark.parametrize("hook", [nested.hang_at_exit, nested.hang_in_a_thread])
@pytest.mark.parametrize("why", [{"max_tasks_per_child": 1}, {"min_workers": 0, "idle_after": 0.01}])
def test_workers_that_do_not_leave_do_not_pile_up(
    hire: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, hook: Callable[[], int], why: dict[str, float]
) -> None:
    """Each has had its time, and is put down then, while the pool goes on."""
    monkeypatch.setattr(feeding, "LEAVING", 0.2)  # seconds
    pool = hire(1, standby=0, **why)
    crew_of = pool._core.dispatcher.crew
    pids = []
    for _ in range(4):
        pids.append(pool.submit(hook).result(PATIENCE))
        eventually(lambda: pids[-1] not in [remote.pid for remote in crew_of.members])
    assert len(set(pids)) == 4
    Innocents(pool).check()
    eventually(lambda: not any(map(is_alive, pids)))
