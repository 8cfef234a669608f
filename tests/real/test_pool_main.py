"""Pools in programs: what is defined in a script, how a program with a pool ends, what a wrong one is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.pool_world import eventually

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}

SCRIPT = """
import dataclasses, sys
from supervisor import Pool

@dataclasses.dataclass
class Point:
    x: int
    def moved(self, by=1):
        return Point(self.x + by)

class Wrong(Exception):
    pass

def move(point):
    if point.x < 0:
        raise Wrong(point)
    return point.moved()

if __name__ == "__main__":
    with Pool(2) as pool:
        print(pool.submit(move, Point(1)).result())
        print(list(pool.map(move, [Point(n) for n in range(3)])))
        print(list(pool.map(Point.moved, [Point(5)], [10])), pool.submit(Point(7).moved).result())
        print(repr(pool.submit(move, Point(-1)).exception()))
        error = list(pool.map(move, [Point(-2)], on_error="return"))[0]
        print(type(error) is Wrong)
"""
SAID = """\
Point(x=2)
[Point(x=1), Point(x=2), Point(x=3)]
[Point(x=15)] Point(x=8)
Wrong(Point(x=-1))
True
"""


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=ENV, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(
    "words", [["script.py"], ["-m", "script"], ["-m", "package.script"], ["package"], ["-c", "SCRIPT"]]
)
def test_what_is_defined_in_the_main_module_works_in_workers(tmp_path: Path, words: list[str]) -> None:
    """Functions, classes, methods, exceptions: as arguments and as results, however the program was started."""
    (tmp_path / "script.py").write_text(SCRIPT)
    package = tmp_path / "package"
    package.mkdir()
    for name in ("script.py", "__main__.py", "__init__.py"):
        (package / name).write_text(SCRIPT if name != "__init__.py" else "")
    done = run(*[SCRIPT if word == "SCRIPT" else word for word in words], cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (SAID, "", 0)


def test_a_script_without_its_guard_is_told_so_and_ends(tmp_path: Path) -> None:
    """A RuntimeError with the two lines that are missing, and no workers without end."""
    text = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "script.py").write_text(text)
    done = run("script.py", cwd=tmp_path)
    assert done.returncode in (0, 1)
    said = done.stdout + done.stderr
    assert 'if __name__ == "__main__":' in said
    assert "RuntimeError" in said


def test_lambdas_and_closures_work_and_without_cloudpickle_the_error_says_what_to_do(tmp_path: Path) -> None:
    program = """
import sys
from supervisor import Pool
def adder(by):
    def add(x):
        return x + by
    return add
if __name__ == "__main__":
    if "bare" in sys.argv:
        sys.modules["cloudpickle"] = None
    with Pool(1) as pool:
        print([pool.submit(f, 1).exception() or pool.submit(f, 1).result() for f in (adder(5), lambda x: -x)])
        try:
            print(list(pool.map(adder(1), range(3))))
        except Exception as error:
            print(type(error).__name__)
"""
    (tmp_path / "script.py").write_text(program)
    assert run("script.py", cwd=tmp_path).stdout == "[6, -1]\n[1, 2, 3]\n"
    bare = run("script.py", "bare", cwd=tmp_path)
    assert bare.stdout.count("install cloudpickle, or define it at the top level of a module") == 2
    assert bare.stdout.endswith("\nPicklingError\n")


def test_a_program_that_ends_without_shutdown_finishes_its_tasks(tmp_path: Path) -> None:
    """As with every executor; callbacks too."""
    program = """
import time
from supervisor import Pool
if __name__ == "__main__":
    pool = Pool(2)
    for number in range(20):
        pool.submit(abs, -number).add_done_callback(lambda future: print(future.result(), flush=True))
    pool.submit(time.sleep, 0.1).add_done_callback(lambda _: print("slept", flush=True))
"""
    (tmp_path / "script.py").write_text(program)
    done = run("script.py", cwd=tmp_path)
    assert (sorted(done.stdout.split()), done.stderr, done.returncode) == (
        sorted([*map(str, range(20)), "slept"]),
        "",
        0,
    )


@pytest.mark.parametrize("where", ["thread", "atexit", "exit"])
def test_what_is_submitted_while_the_program_ends_is_refused_or_done(tmp_path: Path, where: str) -> None:
    """And the program ends."""
    program = f"""
import atexit, sys, threading, time
from supervisor import Pool
def late():
    threading.main_thread().join()
    try:
        print(pool.submit(abs, -5).result(10))
    except RuntimeError as error:
        print(error)
def later():
    try:
        print(pool.submit(abs, -5).result(10))
    except RuntimeError as error:
        print(error)
if __name__ == "__main__":
    pool = Pool(1)
    pool.submit(abs, -1).result()
    if {where!r} == "thread":
        threading.Thread(target=late).start()
    if {where!r} == "atexit":
        atexit.register(later)
    if {where!r} == "exit":
        sys.exit(7)
"""
    (tmp_path / "script.py").write_text(program)
    done = run("script.py", cwd=tmp_path)
    assert done.returncode == (7 if where == "exit" else 0)
    refused = "cannot schedule new futures after shutdown\n"
    assert done.stdout in {"thread": ("5\n", refused), "atexit": (refused,), "exit": ("",)}[where]
    assert done.stderr == ""


INTERRUPTED = """
import signal, sys, time
from supervisor import Pool
def hang(seconds):
    time.sleep(seconds)
if __name__ == "__main__":
    pool = Pool(2)
    futures = [pool.submit(hang, 60) for _ in range(4)]
    while not futures[0].running():
        time.sleep(0.01)
    print("running", flush=True)
    if "with" in sys.argv:
        with pool:
            futures[0].result()
    elif "map" in sys.argv:
        list(pool.map(hang, [60] * 10))
    else:
        futures[0].result()
"""


@pytest.mark.parametrize("how", ["with", "map", "bare"])
def test_ctrl_c_ends_a_program_and_its_workers(tmp_path: Path, how: str) -> None:
    """With a KeyboardInterrupt in the program's own traceback, and not one word of the workers'."""
    (tmp_path / "script.py").write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, "script.py", how],
        cwd=tmp_path,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "running\n"
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does: the whole group
        _, said = program.communicate(timeout=15)
    assert program.returncode == -signal.SIGINT
    assert said.count("Traceback") == 1
    assert said.rstrip().endswith("KeyboardInterrupt")
    eventually(lambda: not _processes_in(str(tmp_path)))


def _processes_in(folder: str) -> list[int]:
    """Who has that working directory."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd") == folder:
                    found.append(int(entry))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("how", ["script", "-c"])
def test_a_pool_within_a_worker_of_a_script(tmp_path: Path, how: str) -> None:
    """Pools of pools, each with functions of the script."""
    program = """
from supervisor import Pool
def double(x):
    return 2 * x
def inner(n):
    with Pool(1, standby=0) as pool:
        return sum(pool.map(double, range(n)))
if __name__ == "__main__":
    with Pool(2) as pool:
        print(list(pool.map(inner, [3, 4, 5])))
"""
    (tmp_path / "script.py").write_text(program)
    done = run(*(["script.py"] if how == "script" else ["-c", program]), cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("[6, 12, 20]\n", "", 0)


def test_should_the_pool_itself_fail_everybody_is_told(tmp_path: Path) -> None:
    """Here a library that it needs is missing at the moment it needs it: no wait is for ever, and the program ends."""
    program = """
import sys, time
from supervisor import Pool
from os import abort
if __name__ == "__main__":
    sys.modules["tenacity"] = None
    pool = Pool(1)
    for future in [pool.submit(abort), *(pool.submit(time.sleep, 0) for _ in range(3))]:
        error = future.exception(20)
        print(type(error).__name__, type(error.__cause__).__name__ if error else "")
    try:
        pool.submit(abort)
    except Exception as error:
        print(error)
"""
    (tmp_path / "script.py").write_text(program)
    done = run("script.py", cwd=tmp_path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "PoolBroken ModuleNotFoundError"
    assert set(lines[1:-1]) <= {"PoolBroken ModuleNotFoundError", "NoneType "}
    assert lines[-1].startswith("the pool's own thread failed: ModuleNotFoundError")
