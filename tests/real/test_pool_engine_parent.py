"""The program that has the pool may be anything: short of descriptors, with signals of its own, forking, without a terminal."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from tests.real.living import is_alive
from tests.real.pool_engine_rig import Rig, eventually
from tests.real.test_pool_engine_deaths import ROOT, branded

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENT = """
import os, sys
os.close(1)
os.close(2)
sys.path.insert(0, {root!r})
from tests.real.pool_engine_rig import Rig
with Rig() as rig:
    number, pid = rig.worker()
    os._exit(7 if rig.tell(number, "describe")["fds"] == [0, 1, 2, 3, 5, 6] else 8)
"""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as one:
        yield one


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def short_of(left: int) -> Iterator[None]:
    """So many descriptors may still be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 20, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(taken[0]))
        for _ in range(left):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in taken:
            os.close(fd)


def test_a_spawn_without_descriptors_is_unborn_and_leaks_nothing(rig: Rig) -> None:
    """Too many open files: said, however many are left; then all goes on."""
    rig.worker()
    before = descriptors()
    ends = []
    for left in range(2, 12):
        with short_of(left):
            number = rig.spawn()
            told = rig.outcome(number)
        ends.append(told[0])
        if ends[-1] == "unborn":
            assert "Too many open files" in told[2]
        else:
            rig.engine.kill(number)
            rig.until("ended", number)
        rig.forget(number)
        assert descriptors() == before
    assert (ends[0], ends[-1]) == ("unborn", "born")
    rig.worker()


def test_an_engine_without_descriptors_says_so() -> None:
    """Nothing is started, nothing left open; later it starts."""
    before = descriptors()
    for left in range(8):
        with Rig() as rig:
            with short_of(left), contextlib.suppress(OSError):
                rig.engine.start()
                raise AssertionError(f"it started with {left} descriptors left")
            rig.worker()
        assert descriptors() == before


@pytest.mark.timeout(120)
def test_a_thousand_births_leave_nothing(rig: Rig) -> None:
    """No descriptor, no zombie, no memfd, no process."""
    rig.worker()
    before = descriptors()
    for _ in range(25):
        numbers = [rig.spawn() for _ in range(40)]
        for number in numbers:
            rig.until("born", number)
        for number in numbers:
            rig.engine.kill(number)
        for number in numbers:
            rig.until("ended", number)
            rig.forget(number)
        rig.told.clear()
    assert descriptors() == before
    assert rig.engine._children.keys() == {1}
    eventually(lambda: len(rig.named("embryo pool")) == 1)
    assert sorted(kernel.children_of_one_thread(rig.root)) == sorted(
        [*rig.named("pool 1"), *rig.named("template pool"), *rig.named("embryo pool")]
    )


def test_the_parent_may_ignore_the_deaths_of_its_children(rig: Rig) -> None:
    """SIGCHLD ignored and everything blocked: workers' ends are told all the same, and no zombie stays."""
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with Rig() as one:
            number, _ = one.worker()
            assert one.tell(number, "describe")["blocked"] == []
            one.order(number, "exit", 4)
            assert one.until("ended", number).exit_code == 4
            root = one.root
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, old)
    assert kernel.stat(root) is None


def test_a_forked_child_leaves_the_pool_alone(rig: Rig) -> None:
    """It cannot use it, may close it, and takes nothing along when it ends."""
    number, pid = rig.worker()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with pytest.raises(RuntimeError, match="child forked"):
                rig.engine.kill(number)
            rig.engine.close(within=1)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert rig.tell(number, "describe")["pid"] == pid
    rig.worker()


def test_close_ends_everything(rig: Rig) -> None:
    """At once: busy workers, daemons, requests on their way."""
    with Rig() as one:
        pids = [one.worker()[1] for _ in range(3)]
        daemon = one.tell(1, "daemon")
        one.order(2, "sleep", 600)
        for _ in range(20):
            one.spawn()
        nonce, root = one.nonce, one.root
    assert branded(nonce) == []
    assert kernel.stat(root) is None
    assert not any(is_alive(pid) for pid in (*pids, daemon))


def test_close_waits_no_longer_than_it_was_told() -> None:
    """A root that is stopped is killed, and what it had is killed without it."""
    with Rig() as one:
        number, _ = one.worker()
        one.tell(number, "daemon")
        nonce, root = one.nonce, one.root
        os.kill(root, signal.SIGSTOP)
        began = time.monotonic()
        one.close(within=0.1)
        assert time.monotonic() - began < 2.0
    assert branded(nonce) == []
    assert kernel.stat(root) is None


def test_ctrl_c_is_the_parents(rig: Rig) -> None:
    """Neither root nor template nor worker is in its process group, or minds."""
    number, pid = rig.worker()
    groups = {os.getpgid(one) for one in (rig.root, rig.the("template pool"), pid)}
    assert os.getpgrp() not in groups
    for one in (rig.root, rig.the("template pool")):
        os.kill(one, signal.SIGINT)
    rig.worker()
    assert rig.tell(number, "describe")["pid"] == pid


def test_a_program_without_output_has_workers(rig: Rig) -> None:
    """Descriptors 1 and 2 are closed in the parent: they are /dev/null in a worker, and nothing else."""
    ended = subprocess.run([sys.executable, "-c", SILENT.format(root=ROOT)], check=False, timeout=30)
    assert ended.returncode == 7
    rig.worker()
