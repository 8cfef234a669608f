"""Whoever dies of a pool's parent, root, template and embryos: what lives on, what goes along, what is told."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from tests.real.living import is_alive
from tests.real.pool_engine_rig import Rig, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARENT = """
import os, sys, time
sys.path.insert(0, {root!r})
from tests.real.pool_engine_rig import Rig
rig = Rig()
pids = []
for _ in range(3):
    number, pid = rig.worker()
    pids += [pid, rig.tell(number, "daemon")]
    rig.order(number, "sleep", 600)
if {forks}:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    pids.append(child)
print(rig.nonce, rig.root, rig.the("template pool"), *pids, flush=True)
time.sleep(600)
"""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as one:
        yield one


def branded(nonce: int) -> list[int]:
    """Living processes of a pool, wherever they are."""
    found = []
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        value = kernel.read_brand(pid)
        if value is not None and value >> 32 & 0xFFFFFF == nonce and is_alive(pid):
            found.append(pid)
    return found


def parent(*, forks: bool) -> tuple[subprocess.Popen[str], list[int]]:
    """A program with three busy workers, each with a daemon; perhaps it has forked a child, which has all descriptors."""
    program = PARENT.format(root=ROOT, forks=forks)
    started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    return started, [int(word) for word in started.stdout.readline().split()]


@pytest.mark.parametrize("forks", [False, True], ids=["alone", "a forked child lives on"])
def test_nothing_outlives_a_killed_parent(forks: bool) -> None:
    """Within two seconds: busy workers, daemons, template and root."""
    started, (nonce, *_, last) = parent(forks=forks)
    assert len(branded(nonce)) >= 8
    started.kill()
    deadline = time.monotonic() + 2.0
    while branded(nonce):
        assert time.monotonic() < deadline, [kernel.stat(pid) for pid in branded(nonce)]
        time.sleep(0.01)
    started.wait()
    if forks:
        assert is_alive(last)
        os.kill(last, signal.SIGKILL)
    assert started.stdout is not None
    started.stdout.close()


def test_nothing_outlives_a_parent_killed_together_with_its_root() -> None:
    """The template is left, and sees to it."""
    started, (nonce, root, *_) = parent(forks=False)
    os.kill(root, signal.SIGSTOP)
    started.kill()
    os.kill(root, signal.SIGKILL)
    eventually(lambda: not branded(nonce))
    started.wait()
    assert started.stdout is not None
    started.stdout.close()


def test_a_killed_root_takes_all_along_and_is_told_once(rig: Rig) -> None:
    """The next worker gets a new root."""
    number, pid = rig.worker()
    daemon = rig.tell(number, "daemon")
    nonce, old = rig.nonce, rig.root
    os.kill(old, signal.SIGKILL)
    rig.until("lost")
    eventually(lambda: not branded(nonce))
    assert not is_alive(pid)
    assert not is_alive(daemon)
    rig.worker()
    assert rig.root != old
    assert [told[0] for told in rig.told] == ["born", "lost", "born"]


def test_roots_that_keep_dying_are_given_up(rig: Rig) -> None:
    """Five starts in a second, then an answer that says why; a second later one may try again."""
    why = None
    while why is None:
        number = rig.spawn()
        if rig.engine._trunk.root is not None:
            os.kill(rig.root, signal.SIGKILL)
            rig.until("lost")
            rig.told.clear()
            assert number <= 5
        else:
            why = rig.until("unborn", number)
    assert why == "the pool's root ended 5 times within 1 s; the last time: SIGKILL"
    eventually(lambda: rig.engine._trunk._starts[0] < time.monotonic() - 1.0)
    rig.worker()


def test_a_killed_template_takes_nobody_along(rig: Rig) -> None:
    """Workers live on, the next is born of the next template."""
    number, pid = rig.worker()
    for _ in range(3):
        old = rig.the("template pool")
        os.kill(old, signal.SIGKILL)
        eventually(lambda old=old: old not in rig.named("template pool"))  # type: ignore[misc]
        rig.worker()
    assert rig.tell(number, "describe")["pid"] == pid


def test_requests_to_a_template_that_dies_are_asked_again(rig: Rig) -> None:
    """Nobody who waits is forgotten, and nobody is born twice."""
    rig.worker()
    os.kill(rig.the("template pool"), signal.SIGSTOP)
    numbers = [rig.spawn() for _ in range(40)]
    pids = {rig.until("born", number) for number in numbers}
    assert len(pids) == 40
    assert len(rig.told) == 41


def test_a_stopped_embryo_keeps_nobody_waiting(rig: Rig) -> None:
    """Another one is made."""
    rig.worker()
    os.kill(rig.the("embryo pool"), signal.SIGSTOP)
    rig.worker()


def test_a_worker_stopped_while_it_is_born_keeps_nobody_waiting(rig: Rig) -> None:
    """From the moment it carries its brand: it is born, or another in its place, or that it stands still is told."""
    for _ in range(20):
        number = rig.spawn()
        brand = kernel.brand(rig.nonce, number)
        while not (mine := [pid for pid in kernel.children_of_one_thread(rig.root) if kernel.read_brand(pid) == brand]):
            rig.turn(0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(mine[0], signal.SIGSTOP)
        rig.outcome(number)
        rig.forget(number)


def test_a_killed_embryo_keeps_nobody_waiting(rig: Rig) -> None:
    """What it was asked is asked again, if it never happened."""
    for _ in range(5):
        embryo = rig.the("embryo pool") if rig.told else None
        number = rig.spawn()
        if embryo is not None:
            os.kill(embryo, signal.SIGKILL)
        told = rig.outcome(number)
        assert told[0] == "born" or "SIGKILL before it began" in told[2]


def test_where_forking_is_refused_each_worker_is_a_template_of_its_own(tmp_path: Path) -> None:
    """A preload has started a thread: the worker has it as well, for it was not forked from that."""
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nT = threading.Thread(target=time.sleep, args=(600,), daemon=True)\nT.start()\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        with Rig(preload=["threaded"]) as rig:
            (one, first), (two, second) = rig.worker(), rig.worker()
            assert first != second
            assert [rig.tell(number, "threads") for number in (one, two)] == [2, 2]
            rig.engine.kill(one)
            assert rig.until("ended", one).signal == signal.SIGKILL
    finally:
        sys.path.remove(str(tmp_path))


def test_a_preload_that_crashes_the_interpreter_is_told(tmp_path: Path) -> None:
    """After three templates; the next who asks is told after one more."""
    (tmp_path / "deadly.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with Rig(preload=["deadly"]) as rig:
            numbers = [rig.spawn() for _ in range(20)]
            for number in numbers:
                assert rig.until("unborn", number) == "its template ended 3 times before it was ready: SIGSEGV"
            assert "SIGSEGV" in rig.until("unborn", rig.spawn())
            assert len(rig.told) == 21
    finally:
        sys.path.remove(str(tmp_path))


def test_a_pool_inside_a_worker_goes_with_it(rig: Rig) -> None:
    """Its root sees that its parent is dead; and it is ours in the end."""
    number, _ = rig.worker()
    inner = rig.tell(number, "nested")
    assert all(is_alive(pid) for pid in inner.values())
    rig.engine.kill(number)
    rig.until("ended", number)
    eventually(lambda: not any(is_alive(pid) for pid in inner.values()))


def test_a_pool_inside_a_worker_is_closed_with_ours() -> None:
    """Even one whose root is stopped."""
    with Rig() as rig:
        number, _ = rig.worker()
        inner = rig.tell(number, "nested")
        os.kill(inner["root"], signal.SIGSTOP)
    assert not any(is_alive(pid) for pid in inner.values())


def test_the_thread_that_started_it_may_end(rig: Rig) -> None:
    """No signal of a parent's death is bound to it."""
    thread = threading.Thread(target=rig.engine.start)
    thread.start()
    thread.join()
    number, pid = rig.worker()
    assert rig.tell(number, "describe")["pid"] == pid
