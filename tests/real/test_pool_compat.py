"""What was written for multiprocessing.Pool, with the import changed and nothing else."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import TaskFailed, compat
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pool() -> Iterator[compat.Pool]:
    made = compat.Pool(processes=2)
    yield made
    made.terminate()
    made.join()


def test_every_way_to_call(pool: compat.Pool) -> None:
    numbers = list(range(100))
    doubles = [2 * n for n in numbers]
    pairs = [(n, n) for n in numbers]
    assert pool.apply(plain.tell, (1,), {"a": 2}) == ((1,), {"a": 2})
    assert pool.apply_async(tasks.double, (4,)).get(PATIENCE) == 8
    assert pool.map(tasks.double, numbers) == doubles
    assert pool.map(tasks.double, iter(numbers), chunksize=7) == doubles
    assert pool.map(tasks.double, []) == []
    assert pool.map_async(tasks.double, numbers).get(PATIENCE) == doubles
    assert pool.map_async(tasks.double, []).get(PATIENCE) == []
    assert pool.starmap(plain.add, pairs) == doubles
    assert pool.starmap_async(plain.add, iter(pairs), 9).get(PATIENCE) == doubles
    assert list(pool.imap(tasks.double, numbers, chunksize=10)) == doubles
    assert sorted(pool.imap_unordered(tasks.double, iter(numbers))) == doubles
    assert list(itertools.islice(pool.imap(tasks.double, itertools.count()), 100)) == doubles


def test_an_error_of_a_map_is_raised_and_all_items_are_worked_on(pool: compat.Pool, tmp_path: Path) -> None:
    """The first of them, when everything is done."""
    path = str(tmp_path / "noted")
    jobs = [(path, "complain" if n in (3, 5) else "") for n in range(40)]
    with pytest.raises(tasks.Odd):
        pool.starmap(tasks.note_and_perhaps_end, jobs)
    assert len(tasks.noted(path)) == 40


@pytest.mark.parametrize("chunksize", [1, 2, 10])
def test_an_error_of_imap_is_raised_in_its_place_and_the_rest_comes_after_it(pool: compat.Pool, chunksize: int) -> None:
    found = pool.imap(plain.odd_is_wrong, range(5), chunksize)
    for number in range(5):
        if number % 2:
            with pytest.raises(plain.Odd):
                next(found)
        else:
            assert next(found) == number
    assert list(found) == []


def test_imap_can_be_asked_for_its_next_result_with_a_time_limit(pool: compat.Pool, tmp_path: Path) -> None:
    """And once more afterwards."""
    gate = tmp_path / "gate"
    for method in (pool.imap, pool.imap_unordered):
        found = method(plain.first_waits, [(0, str(gate))])
        for _ in range(2):
            with pytest.raises(multiprocessing.TimeoutError):
                found.next(timeout=0.05)
        gate.touch()
        assert found.next(PATIENCE) == 0
        with pytest.raises(StopIteration):
            found.next()
        gate.unlink()


def test_a_worker_that_dies_costs_one_item(pool: compat.Pool) -> None:
    """There the map waits for ever; here it says which one it was, and the pool goes on."""
    with pytest.raises(TaskFailed, match="item 7"):
        pool.starmap(tasks.end_if, [(n, 7) for n in range(20)])
    assert pool.map(tasks.double, range(5)) == [0, 2, 4, 6, 8]


def test_a_result_is_ready_when_its_callback_was_called(pool: compat.Pool) -> None:
    """Once, with the value or the error, in whatever order the tasks end; get, wait and ready know."""
    for _ in range(50):
        called: list[Any] = []
        result = pool.map_async(tasks.double, range(8), 1, called.append, called.append)
        assert result.get(PATIENCE) == list(range(0, 16, 2))
        assert called == [list(range(0, 16, 2))]
        assert result.ready()
        assert result.successful()
    failed = pool.apply_async(plain.odd_is_wrong, (1,), callback=called.append, error_callback=called.append)
    failed.wait(PATIENCE)
    assert isinstance(called[-1], plain.Odd)
    assert not failed.successful()


def test_a_callback_that_raises_or_asks_its_own_result_holds_up_nobody(
    pool: compat.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    told: list[Any] = []
    made: list[compat.AsyncResult] = []

    def ask(value: Any) -> None:
        eventually(lambda: made)
        told.append((value, made[0].get(PATIENCE)))
        raise plain.Odd

    made.append(pool.apply_async(tasks.nap, (0.02,), callback=ask))
    assert made[0].get(PATIENCE) == 0.02
    assert told == [(0.02, 0.02)]
    assert pool.apply(tasks.double, (1,)) == 2


@pytest.mark.parametrize("kind", [TimeoutError, multiprocessing.TimeoutError, compat.TimeoutError])
def test_who_waits_too_long_gets_the_error_he_expects(pool: compat.Pool, kind: type[Exception]) -> None:
    result = pool.apply_async(tasks.wait_for, ("/nowhere",))
    with pytest.raises(kind):
        result.get(timeout=0.05)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()


def test_close_and_join(pool: compat.Pool) -> None:
    """What was asked before is done; what is asked after is refused, in multiprocessing's words."""
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    result = pool.map_async(tasks.double, range(1000), 1)
    called: list[Any] = []
    pool.apply_async(tasks.double, (5,), callback=called.append)
    pool.close()
    pool.join()
    assert result.get(0) == [2 * n for n in range(1000)]
    assert called == [10]
    acts: list[Callable[..., Any]] = [pool.map, pool.imap, pool.apply, pool.apply_async, pool.starmap_async]
    for act in acts:
        with pytest.raises(ValueError, match="Pool not running"):
            act(tasks.double, [])


def test_a_with_block_ends_what_is_not_done() -> None:
    """As there."""
    with compat.Pool(2, plain.remember, ("a", "b"), maxtasksperchild=3) as pool:
        assert pool.apply(plain.remembered) == ["a", "b"]
        result = pool.apply_async(tasks.wait_for, ("/nowhere",))
    with pytest.raises(CancelledError):
        result.get(PATIENCE)
    with pytest.raises(ValueError, match="less than 1"):
        compat.Pool(0)


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=30, check=False
    )


NOTES = """
import multiprocessing

def worker_function(arg):
    # Perform the task using the input argument
    result = arg * 2

    # Return the result
    return result

if __name__ == '__main__':
    # Create a pool of 5 worker processes
    pool = multiprocessing.Pool(processes=5)

    # Define the input values
    inputs = [1, 2, 3, 4, 5]

    # Apply the worker function to the input values in parallel
    results = pool.map(worker_function, inputs)

    # Close the pool and wait for the worker processes to finish
    pool.close()
    pool.join()

    # Print the results
    print(results)
"""


@pytest.mark.parametrize(
    "program",
    [
        NOTES.replace("import multiprocessing", "from supervisor.pool import compat as multiprocessing"),
        NOTES.replace("import multiprocessing", "from supervisor.pool.compat import Pool").replace(
            "multiprocessing.", ""
        ),
    ],
)
def test_a_program_with_its_import_changed(tmp_path: Path, program: str) -> None:
    """The one everybody begins with: five workers, inputs doubled."""
    done = run(program, tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("[2, 4, 6, 8, 10]\n", "", 0)


def test_a_program_that_ends_does_not_wait_for_its_pool(tmp_path: Path) -> None:
    """multiprocessing drops what is not done; somebody may rely on it."""
    program = NOTES.replace(
        "import multiprocessing", "from supervisor.pool import compat as multiprocessing\nimport time"
    )
    program = program.replace("pool.map(worker_function, inputs)", "pool.map_async(time.sleep, [60] * 5)")
    program = program.replace("pool.close()\n    pool.join()", "pass").replace("print(results)", "print('over')")
    done = run(program, tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("over\n", "", 0)
