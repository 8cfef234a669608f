"""The ends of everything else: the template, the root, the initializer, the program that has the pool, Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.pool import TaskFailed
from tests.real import pool_tasks as tasks
from tests.real.living import is_alive
from tests.real.pool_world import PATIENCE, Innocents, among_innocents, eventually, root, templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from supervisor.pool import Pool

GONE_WITHIN = 2.0  # seconds after the parent's death; the promise of the pool
FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = """
import os, sys, time
from supervisor.pool import Pool
from tests.real import pool_tasks as tasks, pool_misdeeds as misdeeds
from tests.real.pool_world import crew, root

def main():
    with Pool(2, min_workers=2) as pool:
        busy = [pool.submit(misdeeds.{hang}, *{args}) for _ in range(6)]
        while len(crew(pool)) < 3 or sum(future.running() for future in busy) < 2:
            time.sleep(0.001)
        print(root(pool), *crew(pool), flush=True)
        {then}

if __name__ == "__main__":
    if os.isatty(0):
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # whose Ctrl-C is meant for us from now on
    main()
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a program with a pool whose workers are busy."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *, hang: str = "spin", args: str = "()", then: str = "busy[0].result()", stdin: int | None = None
    ) -> subprocess.Popen[bytes]:
        path = tmp_path / "program.py"
        path.write_text(PROGRAM.format(hang=hang, args=args, then=then))
        env = {**os.environ, "PYTHONPATH": FOLDER, "PYTHON_COLORS": "0"}  # from 3.13 on tracebacks have colours
        out = stdin if stdin is not None else subprocess.PIPE
        started.append(
            subprocess.Popen(
                [sys.executable, str(path)], stdin=stdin, stdout=out, stderr=out, env=env, start_new_session=True
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()
        for stream in (each.stdout, each.stderr):
            if stream is not None:
                stream.close()


def said(running: subprocess.Popen[bytes]) -> list[int]:
    assert running.stdout is not None
    line = running.stdout.readline()
    return [int(word) for word in line.split()]


@pytest.mark.parametrize(
    ("hang", "args"),
    [("spin", "()"), ("hang_in_c", "()"), ("hang_deaf_to_term", "()"), ("leave_a_grandchild_and_hang", "()")],
)
def test_the_program_is_killed_with_busy_workers(
    program: Callable[..., subprocess.Popen[bytes]], hang: str, args: str
) -> None:
    """Whatever they are at: two seconds later no process of the pool is alive, grandchildren included."""
    running = program(hang=hang, args=args)
    root_pid, *workers = said(running)
    family = [root_pid, *kernel.descendants(root_pid)]
    assert set(workers) <= set(family)
    running.kill()
    deadline = time.monotonic() + GONE_WITHIN
    while any(map(is_alive, family)):
        assert time.monotonic() < deadline, [kernel.stat(pid) for pid in family]
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT])
def test_the_program_is_ended_by_another_signal(program: Callable[..., subprocess.Popen[bytes]], number: int) -> None:
    """It has no handler, and no time: nothing of the pool is alive either."""
    running = program()
    root_pid, *workers = said(running)
    running.send_signal(number)
    assert running.wait(PATIENCE) == -number
    eventually(lambda: not any(map(is_alive, (root_pid, *workers))))


def test_the_program_leaves_without_a_word(program: Callable[..., subprocess.Popen[bytes]]) -> None:
    """os._exit in the parent: nothing of the pool is alive either."""
    running = program(then="os._exit(0)")
    root_pid, *workers = said(running)
    assert running.wait(PATIENCE) == 0
    eventually(lambda: not any(map(is_alive, (root_pid, *workers))))


def test_a_fault_of_the_program_with_busy_workers(program: Callable[..., subprocess.Popen[bytes]]) -> None:
    """A segfault of the parent: nothing of the pool is alive either."""
    running = program(then="tasks.segfault()")
    root_pid, *workers = said(running)
    assert running.wait(PATIENCE) == -signal.SIGSEGV
    eventually(lambda: not any(map(is_alive, (root_pid, *workers))))


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_a_program_with_busy_workers(program: Callable[..., subprocess.Popen[bytes]], presses: int) -> None:
    """On its terminal, once or twice: KeyboardInterrupt where it waits, one traceback, and nothing is left alive."""
    ours, theirs = pty.openpty()
    try:
        running = program(stdin=theirs)
        os.close(theirs)
        family = [int(word) for word in read_until(ours, b"\n").split()]
        for _ in range(presses):
            os.write(ours, b"\x03")
        text = read_until(ours, None)
        assert running.wait(PATIENCE) == -signal.SIGINT
    finally:
        os.close(ours)
    assert text.count(b"KeyboardInterrupt\r\n") in range(1, presses + 1)
    assert b"Process " not in text
    eventually(lambda: not any(map(is_alive, family)))


def read_until(fd: int, end: bytes | None) -> bytes:
    """What a terminal shows, up to some bytes or to its end."""
    text = b""
    while end is None or end not in text:
        readable, _, _ = select.select([fd], [], [], PATIENCE)
        assert readable, text
        try:
            data = os.read(fd, 4096)
        except OSError:  # EIO: nobody has it open any more
            data = b""
        if not data:
            return text
        text += data
    return text


def test_a_terminal_interrupts_no_worker(pool: Pool) -> None:
    """Each is in a session of its own: SIGINT to our group is not for them."""
    pid = pool.submit(tasks.pid).result(PATIENCE)
    assert os.getsid(pid) == pid != os.getsid(0)


def test_the_template_is_killed(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """Running workers do not notice, and those who die afterwards are replaced, every time."""
    pool = hire(2)
    gate = str(tmp_path / "gate")
    running = pool.submit(tasks.wait_for, gate)
    eventually(running.running)
    for _ in range(5):
        for pid in eventually(lambda: templates(pool)):
            os.kill(pid, signal.SIGKILL)
        assert isinstance(among_innocents(pool, lambda: pool.options(retries=1).submit(tasks.kill)), TaskFailed)
    (tmp_path / "gate").touch()
    assert is_alive(running.result(PATIENCE))


def test_the_template_is_stopped(hire: Callable[..., Pool]) -> None:
    """It is replaced as if it had been killed."""
    pool = hire(2)
    Innocents(pool).check()
    for pid in eventually(lambda: templates(pool)):
        os.kill(pid, signal.SIGSTOP)
    assert isinstance(among_innocents(pool, lambda: pool.submit(tasks.kill)), TaskFailed)


def test_the_root_is_killed(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """With it go all workers; what they were at is tried again, what they were not at is done; nothing old is left."""
    pool = hire(2)
    path = str(tmp_path / "begun")
    others = Innocents(pool.options(retries=0))
    Innocents(pool).check()
    for times in range(1, 4):
        running = pool.submit(tasks.wait_in_turn, path, times)
        eventually(lambda times=times: len(tasks.noted(path)) == 2 * times - 1)  # type: ignore[misc]
        old = [root(pool), *kernel.descendants(root(pool))]
        os.kill(root(pool), signal.SIGKILL)
        assert running.result(PATIENCE) == 2 * times
        eventually(lambda old=old: not any(map(is_alive, old)))  # type: ignore[misc]
        others.check()


def test_the_root_is_stopped(pool: Pool) -> None:
    """While it is nothing can be born or buried; once it is continued everything goes on as if nothing had been."""
    Innocents(pool).check()
    os.kill(root(pool), signal.SIGSTOP)
    dying = pool.submit(tasks.kill)
    others = Innocents(pool)
    others.add(10)
    os.kill(root(pool), signal.SIGCONT)
    assert isinstance(dying.exception(PATIENCE), TaskFailed)
    others.check()
