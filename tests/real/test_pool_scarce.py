"""A machine that has not enough: control groups with little memory and few processes, and a pool inside them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.real.test_pool_ends import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root
BYTES, PROCESSES = 400 << 20, 30
HEAD = """
import os, sys
from supervisor.pool import Pool, TaskFailed, TaskOutOfMemory
from tests.real import pool_tasks as tasks, pool_misdeeds as misdeeds
from tests.real.pool_world import PATIENCE, Innocents, among_innocents

def main():
    with Pool(2, preload=["tests.real.pool_misdeeds"]) as pool:
        others = Innocents(pool)
        others.add(50)
"""
TAIL = """
        others.check()
    print("all right")

if __name__ == "__main__":
    main()
"""
TAKES_ALL_MEMORY = """
        error = among_innocents(pool, lambda: pool.submit(misdeeds.leak, 16 << 20))
        assert isinstance(error, TaskOutOfMemory), repr(error)
        for attempt in error.report.attempts:
            assert attempt.cause == "killed by the kernel, which was out of memory", attempt
            assert attempt.rss_bytes > 200 << 20, attempt
        assert len(error.report.attempts) == 2
"""
TAKES_ALL_PROCESSES = """
        assert among_innocents(pool, lambda: pool.submit(misdeeds.fork_until_it_fails)) > 0
        for how in ("kill", "leave"):
            error = among_innocents(pool, lambda: pool.options(retries=0).submit(misdeeds.fork_until_it_fails, how))
            assert isinstance(error, TaskFailed), repr(error)
"""


@contextmanager
def group(controller: str, v1_name: str, v2_name: str, limit: int) -> Iterator[str]:
    """A control group of whichever version there is; its file of processes."""
    for root, name in (("/sys/fs/cgroup", v2_name), (f"/sys/fs/cgroup/{controller}", v1_name)):
        path = f"{root}/ninelives-test-{os.getpid()}"
        try:
            os.mkdir(path)
        except OSError:
            continue
        try:
            if os.path.exists(f"{path}/{name}"):  # else this controller is not here
                with open(f"{path}/{name}", "w") as file:
                    file.write(str(limit))
                yield f"{path}/cgroup.procs"
                return
        finally:
            os.rmdir(path)
    pytest.skip(f"no control group for {controller} can be made here")


def run(program: str, procs: str, folder: Path) -> str:
    """In a group; it has to say that all is right. What stands on its stderr."""
    path = folder / "program.py"
    path.write_text(HEAD + program + TAIL)
    enter = f'ulimit -v {4 << 20} && echo $$ > "$0" && exec "$@"'  # KiB: not the machine's, if the group is none
    done = subprocess.run(
        ["/bin/sh", "-c", enter, procs, sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": FOLDER},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all right\n"), done.stderr
    return done.stderr


def test_a_task_that_uses_up_all_memory(tmp_path: Path) -> None:
    """The kernel kills its worker: tried again alone, then TaskOutOfMemory, told by its right name; all others done."""
    with group("memory", "memory.limit_in_bytes", "memory.max", BYTES) as procs:
        assert run(TAKES_ALL_MEMORY, procs, tmp_path) == ""


def test_a_task_that_uses_up_all_processes(tmp_path: Path) -> None:
    """Nobody can be born until its worker ends or its children do; then they can, and all others are done."""
    with group("pids", "pids.max", "pids.max", PROCESSES) as procs:
        said = run(TAKES_ALL_PROCESSES, procs, tmp_path)  # by the template, if it is what cannot fork
    assert not said or "Resource temporarily unavailable" in said
