"""A program that ends while its pool is in the middle of something: it ends, says nothing of its own accord, leaves nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real.test_pool_main import run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

HEAD = """
import atexit, sys, threading, time
from concurrent.futures import wait
from supervisor import Pool
from tests.real import pool_misdeeds as misdeeds, pool_objects as objects, pool_tasks as tasks

def say(word):
    print(word, flush=True)
"""


def ended(folder: Path, main: str) -> subprocess.CompletedProcess[str]:
    """How that main ended; it has half a minute (processes left behind: tests/conftest.py)."""
    lines = "\n".join("    " + line for line in main.strip().splitlines())
    (folder / "script.py").write_text(f'{HEAD}\nif __name__ == "__main__":\n{lines}\n')
    return run("script.py", cwd=folder)


@pytest.mark.parametrize("standby", [0, 1])
def test_after_shutdown_without_waiting_the_program_ends_when_its_tasks_have(tmp_path: Path, standby: int) -> None:
    """What was submitted is done first, all of it (gh-83386)."""
    main = f"""
pool = Pool(2, standby={standby})
for number in range(6):
    pool.submit(tasks.nap, 0.05).add_done_callback(lambda _: say("done"))
pool.shutdown(wait=False)
say("ending")
"""
    done = ended(tmp_path, main)
    assert (sorted(done.stdout.split()), done.stderr, done.returncode) == (["done"] * 6 + ["ending"], "", 0)


def test_nothing_is_taken_any_more_when_exit_handlers_run(tmp_path: Path) -> None:
    """By then the pool has ended, and says so."""
    main = """
pool = Pool(1)
def late():
    try:
        pool.submit(abs, -1).result(20)
    except RuntimeError as error:
        say(error)
atexit.register(late)
say(pool.submit(abs, -1).result(20))
"""
    done = ended(tmp_path, main)
    assert done.stdout.splitlines() == ["1", "cannot schedule new futures after shutdown"]
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("how", ["complain", "give_up", "kill", "segfault", "leave"])
def test_a_program_whose_initializer_fails_ends(tmp_path: Path, how: str) -> None:
    """Though it never asked what became of its tasks; their callbacks are told."""
    main = f"""
pool = Pool(2, initializer=tasks.end, initargs=({how!r},))
for number in range(5):
    pool.submit(abs, number).add_done_callback(lambda future: say(type(future.exception()).__name__))
"""
    done = ended(tmp_path, main)
    assert done.stdout.split() == ["PoolBroken"] * 5
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("how", ["kill", "segfault", "leave", "give_up", "interrupt", "complain"])
def test_a_program_ends_whose_last_task_ended_its_worker(tmp_path: Path, how: str) -> None:
    """The others are done, the exit code is its own."""
    main = f"""
pool = Pool(2)
for number in range(20):
    pool.submit(abs, number).add_done_callback(lambda future: say(future.result()))
pool.submit(tasks.end, {how!r})
sys.exit(5)
"""
    done = ended(tmp_path, main)
    assert sorted(map(int, done.stdout.split())) == list(range(20))
    assert (done.stderr, done.returncode) == ("", 5)


@pytest.mark.numpy
def test_a_task_raises_and_the_program_with_it(tmp_path: Path) -> None:
    """With arrays under way in both directions: one traceback, that of the program, and the task's inside it."""
    main = """
import numpy as np
pool = Pool(2)
futures = [pool.submit(misdeeds.twice, np.ones(1 << 20)) for _ in range(6)]
pool.submit(tasks.complain).result()
"""
    done = ended(tmp_path, main)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.count("Traceback (most recent call last)") == 2
    assert done.stderr.rstrip().endswith("tests.real.pool_tasks.Odd: as asked")
    assert "resource_tracker" not in done.stderr


@pytest.mark.numpy
def test_a_program_of_many_threads_exits_in_the_middle(tmp_path: Path) -> None:
    """Each has a pool with arrays under way: what was submitted is done, and not a word is said."""
    main = """
import numpy as np
begun = threading.Barrier(5)
def work():
    pool = Pool(1)
    futures = [pool.submit(misdeeds.twice, np.ones(1 << 18)) for _ in range(10)]
    begun.wait()
    wait(futures)
    say(sum(float(future.result()[0]) for future in futures))
for _ in range(4):
    threading.Thread(target=work).start()
begun.wait()
sys.exit(3)
"""
    done = ended(tmp_path, main)
    # A print is two writes, and four threads print: a line may come between another and its end.
    assert (done.stdout.replace("\n", ""), done.stderr, done.returncode) == ("20.0" * 4, "", 3)


def test_a_program_forgets_its_pool_and_ends(tmp_path: Path) -> None:
    """Submitted, shut down, dropped, in every order, fifty times: no end waits for another's thread (gh-94440)."""
    main = """
for turn in range(50):
    pool = Pool(1, standby=0)
    future = pool.submit(abs, -turn)
    if turn % 3 == 0:
        assert future.result(20) == turn
    if turn % 2:
        pool.shutdown(wait=turn % 4 == 1)
    del pool
say("ending")
"""
    done = ended(tmp_path, main)
    assert (done.stdout, done.stderr, done.returncode) == ("ending\n", "", 0)


def test_what_a_preload_has_printed_is_said_once(tmp_path: Path) -> None:
    """Into a buffer, in the template: no worker that was forked with it says it again at its end (gh-98552)."""
    (tmp_path / "talks.py").write_text('import sys\nsys.stdout.write("preloaded\\n")\nsys.stderr.write("loudly\\n")\n')
    main = """
with Pool(3, min_workers=3, preload=["talks"], max_tasks_per_child=1) as pool:
    say(list(pool.map(abs, range(9), chunksize=1)))
"""
    done = ended(tmp_path, main)
    assert sorted(done.stdout.splitlines()) == [str(list(range(9))), "preloaded"]
    assert (done.stderr, done.returncode) == ("loudly\n", 0)
