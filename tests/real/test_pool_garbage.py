"""Workers that harm what they share with their parent, and what others started: no future is lost but the one to blame."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import TaskFailed, page
from tests.real import pool_misdeeds as misdeeds
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, among_innocents, crew, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.pool import Pool

pytestmark = pytest.mark.numpy
BIG = 300 << 20  # bytes


def test_a_task_that_closes_all_descriptors(pool: Pool) -> None:
    """Its worker cannot tell its result any more, or has told it: no other task notices."""
    result = among_innocents(pool, lambda: pool.submit(misdeeds.close_everything))
    assert result == "closed" or isinstance(result, TaskFailed)


def test_the_worker_that_has_closed_its_descriptors_does_nothing_more(hire: Callable[..., Pool]) -> None:
    """And is replaced, while others wait behind it."""
    pool = hire(1)
    Innocents(pool).check()
    (before,) = (remote.pid for remote in pool._core.dispatcher.crew.members)
    closing = pool.submit(misdeeds.close_everything)
    behind = [pool.submit(tasks.pid) for _ in range(20)]
    assert before not in {future.result(PATIENCE) for future in behind}
    closing.exception(PATIENCE)
    eventually(lambda: not is_alive(before))


@pytest.mark.parametrize("then", ["", "kill", "leave"])
@pytest.mark.parametrize(
    "data",
    [b"b" * 5000, b"\x80\x05.garbage", b"s", b"s" + bytes(8), b"\x00" * (1 << 16), b"bbbsbbb"],
    ids=["bells", "text", "half a word", "no descriptor", "zeros", "mixed"],
)
def test_garbage_on_the_socket(pool: Pool, data: bytes, then: str) -> None:
    """What cannot be costs the worker its life, perhaps the task its attempts, and nobody else anything."""
    result = among_innocents(pool, lambda: pool.submit(misdeeds.write_garbage, data, then=then))
    assert result == "written" or isinstance(result, TaskFailed)
    if then:
        assert isinstance(result, TaskFailed)


@pytest.mark.parametrize("value", [0, 1, 7, 1 << 40, (1 << 64) - 1])
def test_a_word_of_the_page_that_is_not_true(pool: Pool, value: int) -> None:
    """Whichever and whatever: the others have their results; the worker's own, at worst, is a failure."""
    for word in range(24):
        result = among_innocents(pool, lambda word=word: pool.submit(misdeeds.scribble_words, word, value))  # type: ignore[misc]
        assert result == "scribbled" or isinstance(result, TaskFailed), word


@pytest.mark.parametrize("attempt", range(5))
def test_random_bytes_all_over_the_page(pool: Pool, attempt: int) -> None:
    """Words and ring: nothing in them is believed that cannot be."""
    del attempt
    result = among_innocents(pool, lambda: pool.submit(misdeeds.scribble_over_the_page))
    assert result == "scribbled" or isinstance(result, TaskFailed)


def test_the_page_of_a_worker_that_dies_of_it_blames_nobody_else(hire: Callable[..., Pool]) -> None:
    """It says another task was running, and dies: those it has not begun lose no attempt, and it is tried to the end."""
    pool = hire(1)
    strict = pool.options(retries=0)
    liar = pool.submit(misdeeds.lie_and_end, page.PHASE, page.IDLE)
    behind = [strict.submit(tasks.double, n) for n in range(50)]
    assert isinstance(liar.exception(PATIENCE), TaskFailed)
    assert [future.result(PATIENCE) for future in behind] == [2 * n for n in range(50)]


@pytest.mark.parametrize(
    "payload", [b"", b"\x01", b"\xff" * 100, bytes(64)], ids=["nothing", "a byte", "ones", "zeros"]
)
def test_a_record_that_is_not_true(pool: Pool, payload: bytes) -> None:
    """Of every kind, for the task that writes it and for one to come: it may deceive us about itself, nobody else."""
    for kind in range(12):
        for sequence in (0, 1 << 40):
            how = (kind, sequence, payload)
            error = among_innocents(pool, lambda how=how: pool.submit(misdeeds.tell_a_lie, *how))  # type: ignore[misc]
            assert error == "told" or isinstance(error, Exception), how


def test_a_task_that_hides_behind_its_page_and_breaks_the_protocol(pool: Pool) -> None:
    """It looks as if it was never begun, each time: after a few workers it is blamed all the same."""
    error = among_innocents(pool, lambda: pool.submit(misdeeds.lie_and_babble, page.PHASE, page.IDLE))
    assert isinstance(error, TaskFailed)
    assert "it broke the protocol" in error.report.last.cause


@pytest.mark.parametrize("how", ["kill", "leave", "segfault"])
def test_a_grandchild_that_holds_the_socket(pool: Pool, how: str) -> None:
    """The worker dies, and its end of the socket never closes: the death is learnt otherwise, the grandchild swept."""
    error = among_innocents(pool, lambda: pool.options(retries=0).submit(misdeeds.leave_a_grandchild, how=how))
    assert isinstance(error, TaskFailed)


def test_the_grandchild_of_a_worker_that_lives_stays(pool: Pool) -> None:
    """As long as its worker does; then it goes."""
    child = among_innocents(pool, lambda: pool.submit(misdeeds.leave_a_grandchild))
    assert is_alive(child)
    pool.shutdown()
    eventually(lambda: not is_alive(child))


def test_a_forked_child_that_comes_back_from_the_task(pool: Pool) -> None:
    """Both return; only the parent's result is told, once, and the child is no second worker."""
    for _ in range(3):
        assert among_innocents(pool, lambda: pool.submit(misdeeds.fork_and_both_return)) in crew(pool)


def test_a_task_that_takes_all_descriptors(hire: Callable[..., Pool]) -> None:
    """With none left the worker answers still, or is replaced; small results and big ones arrive."""
    pool = hire(initializer=misdeeds.few_descriptors, preload=["numpy"])
    for turn in range(2):
        taken = among_innocents(pool, lambda: pool.submit(misdeeds.exhaust_descriptors))
        assert taken > 50 or turn > 0  # the same worker again has none to take
        futures = [pool.submit(misdeeds.many, 1 << 20) for _ in range(6)]
        good = [future for future in futures if future.exception(PATIENCE) is None]
        assert all(future.result().nbytes == 1 << 20 for future in good)
        assert all(isinstance(future.exception(), OSError) for future in futures if future not in good)
    Innocents(pool).check()


def test_a_worker_killed_in_the_middle_of_a_big_result(hire: Callable[..., Pool]) -> None:
    """300 MB, partly written: nobody waits for the rest, the report says in which phase it was."""
    pool = hire(preload=["numpy"])
    error = among_innocents(pool, lambda: pool.options(retries=0).submit(misdeeds.die_while_writing, BIG))
    assert isinstance(error, TaskFailed)
    assert (error.report.last.cause, error.report.last.phase) == ("killed by SIGKILL", "write")


def test_a_big_result_of_a_worker_that_dies_afterwards(hire: Callable[..., Pool]) -> None:
    """What has arrived stays whole, though its writer is dead and its segment's memory was its own."""
    pool = hire(preload=["numpy"])
    future = pool.submit(misdeeds.many, 32 << 20)
    others = [pool.submit(misdeeds.many, 1 << 20) for _ in range(5)]
    array = future.result(PATIENCE)
    for pid in crew(pool):
        os.kill(pid, signal.SIGKILL)
    assert all(other.result(PATIENCE).nbytes == 1 << 20 for other in others)
    Innocents(pool).check()
    assert array.nbytes == 32 << 20
    assert (array == 1.0).all()


def test_big_arguments_to_a_worker_that_dies_of_them(pool: Pool) -> None:
    """They are not lost with it: each attempt is given them."""
    error = among_innocents(pool, lambda: pool.submit(tasks.end_with, "kill", bytes(32 << 20)))
    assert isinstance(error, TaskFailed)
    assert len(error.report.attempts) == 3


@pytest.mark.alone  # who gives the tasks must be sooner than the workers
def test_big_tasks_that_are_cancelled(hire: Callable[..., Pool]) -> None:
    """Ten of 30 MB, half of them cancelled at once: the others arrive, the pool goes on."""
    pool = hire(preload=["numpy"])
    futures = [pool.submit(tasks.echo, bytearray(30 << 20)) for _ in range(10)]
    cancelled = [future for future in futures[::2] if future.cancel()]
    for future in futures:
        if future not in cancelled:
            assert len(future.result(PATIENCE)) == 30 << 20
    assert cancelled
    assert all(future.cancelled() for future in cancelled)
    Innocents(pool).check()


def test_nothing_of_a_pool_has_a_name_in_dev_shm(hire: Callable[..., Pool]) -> None:
    """No process of it maps or holds anything there: what has no name cannot be left behind, whoever is killed."""
    pool = hire(preload=["numpy"])
    array = pool.submit(misdeeds.many, 8 << 20).result(PATIENCE)
    assert pool.submit(tasks.size_of, array).result(PATIENCE) == 8 << 20
    for pid in (os.getpid(), *crew(pool)):
        with open(f"/proc/{pid}/maps") as file:
            mapped = file.read()
        assert "memfd:" in mapped
        assert "/dev/shm/" not in mapped


def test_the_stdin_of_a_worker_is_nothing(pool: Pool) -> None:
    """Its children read the end of it, and do not wait."""
    assert among_innocents(pool, lambda: pool.submit(misdeeds.stdin_of_a_grandchild)) == b""


def test_blas_here_and_in_a_worker(hire: Callable[..., Pool]) -> None:
    """Its threads, used in the parent first, are no trouble to workers, nor theirs to the template."""
    assert misdeeds.dot(300) == 300.0
    for preload in ([], ["numpy"]):
        pool = hire(preload=preload)
        assert [pool.submit(misdeeds.dot, 300).result(PATIENCE) for _ in range(4)] == [300.0] * 4


def test_a_template_that_starts_threads(
    hire: Callable[..., Pool], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be forked: each worker becomes one of its own, and everything holds as before."""
    monkeypatch.syspath_prepend(folder)
    pool = hire(preload=["threaded"])
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.kill)), TaskFailed)


def test_no_file_is_left_by_them(hire: Callable[..., Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the working directory nor in the one for temporary files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pool = hire()
    among_innocents(pool, lambda: pool.submit(tasks.segfault))
    pool.shutdown()
    assert not [name for name in os.listdir(tmp_path) if not name.startswith("core")]
