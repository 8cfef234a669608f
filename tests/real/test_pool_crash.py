"""A task that ends its worker costs itself, and nobody else: at every moment, in every way."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import TaskFailed
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_objects as objects
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, among_innocents, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool

ENDS = {
    "kill": "killed by SIGKILL",
    "segfault": "killed by SIGSEGV",
    "abort": "killed by SIGABRT",
    "leave": "exit code 0",
    "leave_through_libc": "exit code 0",
    "give_up": "raised SystemExit('enough')",
    "interrupt": "raised KeyboardInterrupt()",
}
ATTEMPTS = dict.fromkeys(ENDS, 3) | {"give_up": 1, "interrupt": 1}  # the worker survives those, and knows their reason


def check_failed(error: object, how: str, phase: str) -> None:
    """The report says what ended it, and in which phase."""
    assert isinstance(error, TaskFailed)
    assert len(error.report.attempts) == ATTEMPTS[how]
    for attempt in error.report.attempts:
        assert attempt.cause.startswith(ENDS[how])
        assert attempt.phase == phase


@pytest.mark.parametrize("how", ENDS)
def test_a_task_that_ends_its_worker_fails_alone(pool: Pool, how: str) -> None:
    """Killed, crashed, left or interrupted: its own future says so, and all others succeed."""
    check_failed(among_innocents(pool, lambda: pool.submit(tasks.end, how)), how, "run")


@pytest.mark.parametrize("how", ENDS)
def test_arguments_that_end_the_worker_while_it_unpickles_them(pool: Pool, how: str) -> None:
    """Only the task they belong to fails, and its report says in which phase."""
    bomb = tasks.Bomb("unpickle", how, spares=os.getpid())
    check_failed(among_innocents(pool, lambda: pool.submit(tasks.echo, bomb)), how, "unpickle arguments")


@pytest.mark.parametrize("how", ENDS)
def test_a_result_that_ends_the_worker_while_it_pickles_it(pool: Pool, how: str) -> None:
    """Only its task fails, and its report says in which phase."""
    error = among_innocents(pool, lambda: pool.submit(tasks.make_bomb, "pickle", how))
    check_failed(error, how, "pickle result")


def test_arguments_that_raise_while_they_are_unpickled(pool: Pool) -> None:
    """The future raises what they raised."""
    bomb = tasks.Bomb("unpickle", "complain", spares=os.getpid())
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.echo, bomb)), tasks.Odd)


def test_a_result_that_raises_while_it_is_pickled(pool: Pool) -> None:
    """The future raises what it raised."""
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.make_bomb, "pickle", "complain")), tasks.Odd)


def test_arguments_that_raise_while_they_are_pickled(pool: Pool) -> None:
    """They are an error of the future, not of submit."""
    bomb = tasks.Bomb("pickle", "complain")
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.echo, bomb)), tasks.Odd)


def test_arguments_that_exit_while_they_are_pickled(pool: Pool) -> None:
    """That is the caller's own exit, in his own thread; the pool goes on."""
    others = Innocents(pool)
    others.add(5)
    with pytest.raises(SystemExit):
        pool.submit(tasks.echo, tasks.Bomb("pickle", "give_up"))
    others.check()


@pytest.mark.parametrize(("how", "kind"), [("complain", tasks.Odd), ("give_up", SystemExit)])
def test_a_result_that_raises_while_the_parent_unpickles_it(pool: Pool, how: str, kind: type[BaseException]) -> None:
    """It is the error of that future alone."""
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.make_bomb, "unpickle", how)), kind)


def test_exceptions_that_do_not_travel_are_told_all_the_same(pool: Pool) -> None:
    """One that does not unpickle and one that does not pickle: both say what they were and where they were raised."""
    for task, words in ((tasks.raise_takes_two, "one two"), (tasks.raise_has_a_lock, "locked")):
        error = among_innocents(pool, lambda task=task: pool.submit(task))  # type: ignore[misc]
        assert isinstance(error, Exception)
        assert words in str(error)
        assert task.__name__ in str(error.__cause__)


def test_a_task_that_raises(pool: Pool) -> None:
    """What it raised, and its worker goes on."""
    before = set(crew(pool))
    error = among_innocents(pool, lambda: pool.submit(tasks.complain))
    assert isinstance(error, tasks.Odd)
    assert error.args == ("as asked",)
    assert before <= set(crew(pool))


def test_an_exception_that_cannot_be_assigned_to(pool: Pool) -> None:
    """A frozen dataclass: it is raised here with its causes, in a map as well."""
    error = among_innocents(pool, lambda: pool.submit(objects.raise_frozen, 5))
    assert error == objects.Frozen(5)
    assert isinstance(error.__cause__, KeyError)
    assert list(pool.map(objects.raise_frozen, range(3), on_error="return")) == [objects.Frozen(n) for n in range(3)]


def test_a_result_that_cannot_be_pickled_is_an_error_of_its_task(pool: Pool) -> None:
    """A lock cannot; the worker goes on."""
    before = pool.submit(tasks.pid).result(PATIENCE)
    error = among_innocents(pool, lambda: pool.submit(tasks.return_lock))
    assert isinstance(error, TypeError)
    assert "lock" in str(error)
    assert is_alive(before)


def test_a_hundred_arguments_that_do_not_pickle_among_a_hundred_that_do(pool: Pool) -> None:
    """The good ones are done, the bad ones say why."""
    bad, others = [], Innocents(pool)
    for _ in range(100):
        bad.append(pool.submit(tasks.echo, tasks.Bomb("pickle", "complain")))
        others.add(1)
    others.check()
    assert all(isinstance(future.exception(PATIENCE), tasks.Odd) for future in bad)


@pytest.mark.parametrize("how", ["kill", "segfault", "leave"])
def test_who_crashes_after_his_result_was_told_has_told_it(hire: Callable[..., Pool], how: str) -> None:
    """A `__del__` that ends the worker: the result is kept, and no task that comes next is blamed."""
    pool = hire(1)
    for _ in range(3):
        dying = pool.submit(tasks.echo, tasks.DeathBed(how))
        others = [pool.options(retries=0).submit(tasks.double, n) for n in range(20)]
        assert isinstance(dying.result(PATIENCE), tasks.DeathBed)
        assert [other.result(PATIENCE) for other in others] == [2 * n for n in range(20)]


@pytest.mark.parametrize("word", ["", "1"])
def test_the_native_stack_of_a_crash_is_in_the_report(pool: Pool, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """faulthandler has written it where a crash cannot reach, whether the interpreter began with one of its own or not."""
    monkeypatch.setenv("PYTHONFAULTHANDLER", word)
    error = pool.submit(tasks.segfault).exception(PATIENCE)
    assert isinstance(error, TaskFailed)
    for attempt in error.report.attempts:
        assert "Fatal Python error: Segmentation fault" in attempt.stack
        assert "in segfault" in attempt.stack
    assert "in segfault" in str(error)


def test_whoever_wants_the_fatal_signals_for_himself_has_them(
    hire: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONFAULTHANDLER=0: a crash is told with its cause and without a stack; one that hangs is told with its stack."""
    monkeypatch.setenv("PYTHONFAULTHANDLER", "0")
    pool = hire()
    error = among_innocents(pool, lambda: pool.submit(tasks.segfault))
    assert isinstance(error, TaskFailed)
    assert [(attempt.cause, attempt.stack) for attempt in error.report.attempts] == [("killed by SIGSEGV", "")] * 3
    hanging = pool.options(task_timeout=0.2, retries=0).submit(misdeeds.spin).exception(PATIENCE)
    assert isinstance(hanging, TaskFailed)
    assert "in spin" in hanging.report.last.stack


def test_workers_that_kill_each_other(hire: Callable[..., Pool]) -> None:
    """In every order, while tasks run: every friend is replaced, every innocent is done."""
    for rounds in (1, 2, 5, 13):
        pool = hire(2, min_workers=2)
        others = Innocents(pool)
        for _ in range(rounds):
            others.add(3)
            killers = [pool.submit(tasks.kill_other, victim) for victim in crew(pool)]
            others.add(3)
            for killer in killers:
                killer.exception(PATIENCE)  # done or to blame: whoever kills himself is a crash like any other
        others.check()
        pool.shutdown()


def test_all_idle_workers_are_killed(hire: Callable[..., Pool]) -> None:
    """Standbys as well: what is submitted next is done, every time."""
    pool = hire(2, min_workers=2)
    others = Innocents(pool)
    for _ in range(5):
        others.add(4)
        others.check()
        eventually(lambda: len(crew(pool)) == 3)
        victims = crew(pool)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert [pool.submit(tasks.double, n).result(PATIENCE) for n in range(4)] == [0, 2, 4, 6]
        eventually(lambda victims=victims: not any(map(is_alive, victims)))  # type: ignore[misc]


def test_the_idle_are_killed_after_the_tasks_were_sent(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """A busy worker dies from outside with tasks behind it: those are not to blame, it has another attempt."""
    pool = hire(1)
    gate = str(tmp_path / "gate")
    running = pool.submit(tasks.wait_for, gate)
    behind = [pool.options(retries=0).submit(tasks.double, n) for n in range(20)]
    eventually(running.running)
    victim = next(remote.pid for remote in pool._core.dispatcher.crew.members)
    os.kill(victim, signal.SIGKILL)
    (tmp_path / "gate").touch()
    assert running.result(PATIENCE) != victim
    assert [future.result(PATIENCE) for future in behind] == [2 * n for n in range(20)]
