"""Workers that die before they could do anything: whoever waits is told, and a pool that nobody waits for goes on."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.pool import PoolBroken, TaskFailed, crew, page
from tests.real import pool_short_lives as lives
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, Innocents, eventually, root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool


def test_who_is_up_has_a_pid(hire: Callable[..., Pool]) -> None:
    """A worker's ring may be read before its beat pipe: by then it is known all the same which process it is."""
    while True:
        pool = hire(1, standby=0)
        dispatcher = pool._core.dispatcher
        future = pool.submit(tasks.pid)
        with dispatcher.lock:
            dispatcher.feed_waiting()
            (remote,) = dispatcher.crew.remotes.values()
            if remote.pid:  # we were too slow: its birth was heard of before we had the lock
                continue
            eventually(lambda: remote.page.words[page.TAIL])  # noqa: B023 it is waited for here
            dispatcher.results.settle(remote)
            assert remote.is_up
            pid = remote.pid
        assert future.result(PATIENCE) == pid
        return


@pytest.mark.parametrize("is_root_killed", [False, True])
def test_a_worker_whose_end_is_heard_before_its_first_word(hire: Callable[..., Pool], is_root_killed: bool) -> None:
    """It was up, and is dead: nothing is given to it, it counts as nobody, and another one does what there is to do."""
    pool = hire(1, standby=0)
    dispatcher = pool._core.dispatcher
    future = pool.submit(tasks.pid)
    with dispatcher.lock:
        dispatcher.feed_waiting()  # as its thread would, which may not have come to it
        (remote,) = dispatcher.crew.remotes.values()
        eventually(lambda: remote.page.words[page.TAIL] or remote.is_up)
        dispatcher.running_engine.look(remote.number)
        trunk = dispatcher.running_engine._trunk
        assert trunk.root is not None
        os.kill(trunk.root.pid if is_root_killed else remote.pid, signal.SIGKILL)
        ready, _, _ = select.select([trunk.root.pidfd if is_root_killed else trunk.root.channel], [], [], PATIENCE)
        assert ready
        if is_root_killed:
            trunk._bury_root(trunk.root)
        else:
            trunk._hear_root(trunk.root)
        assert remote.number not in dispatcher.crew.remotes
        assert remote not in dispatcher.crew.members
    assert future.result(PATIENCE) != remote.pid
    assert dispatcher.crew._starting == 0
    assert len(dispatcher.crew.remotes) == 1


def test_a_worker_that_is_stopped_before_anybody_heard_of_its_birth(hire: Callable[..., Pool]) -> None:
    """It is put down after a second like any other, and keeps nobody waiting."""
    pool = hire(1, standby=0)
    dispatcher = pool._core.dispatcher
    future = pool.submit(tasks.pid)
    with dispatcher.lock:
        trunk = dispatcher.running_engine._trunk
        assert trunk.root is not None
        dispatcher.feed_waiting()
        (remote,) = dispatcher.crew.remotes.values()
        eventually(lambda: remote.page.words[page.TAIL])
        (pid,) = (one for one in kernel.children_of_one_thread(trunk.root.pid) if kernel.read_brand(one))
        os.kill(pid, signal.SIGSTOP)
        ready, _, _ = select.select([trunk.root.channel], [], [], PATIENCE)
        assert ready
        trunk._hear_root(trunk.root)
    assert future.result(PATIENCE) != pid


def test_workers_that_die_before_they_begin_anything_break_a_pool_that_is_waited_for(
    hire: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However many tasks there are, the last of them waits no longer than the first, and none for ever."""
    monkeypatch.setattr(crew, "LONGEST_DELAY", 0.05)  # seconds
    deadly, notes = tmp_path / "deadly", str(tmp_path / "notes")
    deadly.touch()
    pool = hire(2, initializer=lives.die_before_the_first_message, initargs=(str(deadly), notes))
    errors = [future.exception(PATIENCE) for future in [pool.submit(tasks.double, n) for n in range(200)]]
    assert {type(error) for error in errors} <= {PoolBroken, TaskFailed}
    assert "times in a row before they began anything; the last one: killed by SIGKILL" in str(errors[-1])
    assert crew.VAIN <= len(tasks.noted(notes)) < 4 * crew.VAIN  # two members and a standby each time
    assert all(
        attempt.seconds == 0.0 for error in errors if isinstance(error, TaskFailed) for attempt in error.report.attempts
    )
    with pytest.raises(PoolBroken):
        pool.submit(tasks.double, 1)
    pool.shutdown()


def test_a_pool_that_nobody_waits_for_outlives_any_number_of_them(
    hire: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When whatever killed them is over, it works as before."""
    monkeypatch.setattr(crew, "LONGEST_DELAY", 0.05)  # seconds
    deadly, notes = tmp_path / "deadly", str(tmp_path / "notes")
    pool = hire(2, min_workers=2, initializer=lives.die_before_the_first_message, initargs=(str(deadly), notes))
    Innocents(pool).check()
    deadly.touch()
    for remote in list(pool._core.dispatcher.crew.members):
        tasks.kill_other(remote.pid)
    eventually(lambda: len(tasks.noted(notes)) > 2 * crew.VAIN)
    deadly.unlink()
    Innocents(pool).check()


def test_many_that_die_at_once_are_not_many_in_a_row(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """Sixteen are killed before they begin anything: those started after them do what there is to do."""
    deadly, notes = tmp_path / "deadly", str(tmp_path / "notes")
    deadly.touch()
    pool = hire(16, standby=0, initializer=lives.die_before_the_first_message, initargs=(str(deadly), notes))
    futures = [pool.options(retries=50).submit(tasks.double, number) for number in range(16)]
    with pool._core.dispatcher.lock:
        pool._core.dispatcher.feed_waiting()
        eventually(lambda: len(tasks.noted(notes)) > crew.VAIN)
        deadly.unlink()
    assert [future.result(PATIENCE) for future in futures] == [2 * number for number in range(16)]


def test_the_root_dies_once_while_many_are_being_started(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """That is one failed start, not eight in a row: the pool goes on."""
    notes, gate = str(tmp_path / "notes"), tmp_path / "gate"
    pool = hire(8, standby=0, initializer=lives.note_and_wait, initargs=(notes, str(gate)))
    futures = [pool.submit(tasks.double, number) for number in range(8)]
    eventually(lambda: len(tasks.noted(notes)) == 8)
    tasks.kill_other(root(pool))
    eventually(lambda: len(tasks.noted(notes)) > 8 or futures[0].done())
    gate.touch()
    assert [future.result(PATIENCE) for future in futures] == [2 * number for number in range(8)]
