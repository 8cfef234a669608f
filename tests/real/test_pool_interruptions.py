"""What may come between: signal handlers that use the pool, or raise, and forks of the program that has it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from tests.real import pool_interrupted
from tests.real import pool_tasks as tasks
from tests.real.control_world import ROOT
from tests.real.pool_world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from supervisor.pool import Pool


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Has that called in the main thread on SIGUSR2, wherever it is."""
    before = signal.getsignal(signal.SIGUSR2)

    def watch(act: Callable[[], object]) -> None:
        signal.signal(signal.SIGUSR2, lambda *_: act())

    yield watch
    signal.signal(signal.SIGUSR2, before)


def test_a_signal_handler_may_do_anything_with_the_pool(
    hire: Callable[..., Pool], on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """Submit, cancel, shut down: in the middle of whatever the main thread was doing with it."""
    pool = hire()
    extra: list[Future[Any]] = []

    def interfere() -> None:
        extra.append(pool.submit(tasks.double, len(extra)))
        if len(extra) % 3 == 0:
            extra[-1].cancel()

    on_signal(interfere)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.0005):
            os.kill(os.getpid(), signal.SIGUSR2)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        futures = [pool.submit(tasks.double, n) for n in range(3000)]
        assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(3000)]
    finally:
        stop.set()
        thread.join()
    for future in extra:
        with contextlib.suppress(CancelledError):
            assert future.result(PATIENCE) >= 0
    assert len(extra) > 3


def test_a_handler_that_ends_the_pool_in_the_middle_of_a_submit(
    hire: Callable[..., Pool], on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """Even where that very thread holds the pool's lock."""
    pool = hire()
    pool.submit(tasks.double, 1).result(PATIENCE)
    on_signal(lambda: pool.shutdown(wait=True, cancel_futures=True))
    with pool._core.dispatcher.lock:
        os.kill(os.getpid(), signal.SIGUSR2)
        eventually(lambda: pool.is_closed)
    pool.shutdown()
    assert pool._core.dispatcher.closing.has_ended


@pytest.mark.parametrize("way", [*pool_interrupted.WAYS, "lives"])
def test_a_signal_handler_may_raise_anywhere(way: str) -> None:
    """Ctrl-C in the middle of a call: the call is lost, and nothing else. See pool_interrupted.py."""
    seed, times = random.randrange(1 << 32), 40 if way == "lives" else 300
    ran = subprocess.run(
        [sys.executable, "-m", "tests.real.pool_interrupted", way, str(seed), str(times)],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, ""), f"seed {seed}: {ran.stderr}"
    assert int(ran.stdout) > times / 4, "calls were interrupted"


# -- fork -------------------------------------------------------------------------------------------------------------


def in_fork(act: Callable[[], Any]) -> str:
    """What it says in a child of ours that ends like any program."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            said = repr(act())
        except BaseException as error:  # noqa: BLE001 told to the parent
            said = repr(error)
        os.write(writer, said.encode())
        threading._shutdown()  # type: ignore[attr-defined]
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        said = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said


def test_a_fork_of_the_parent_has_no_part_in_its_pools(hire: Callable[..., Pool], tmp_path: Path) -> None:
    """There nothing can be asked of them, and who waits is told; here nothing happens."""
    pool = hire()
    gate = tmp_path / "gate"
    blocked = [pool.submit(tasks.wait_for, str(gate)) for _ in range(4)]
    called: list[int] = []
    blocked[0].add_done_callback(lambda _: called.append(os.getpid()))
    done = pool.submit(tasks.double, 3)
    eventually(blocked[0].running)
    words = f"RuntimeError(\"this pool is process {os.getpid()}'s"
    assert in_fork(lambda: pool.submit(tasks.double, 1)).startswith(words)
    assert in_fork(lambda: blocked[0].result(PATIENCE)).startswith(words)
    assert in_fork(lambda: next(pool.map(tasks.double, [1]))).startswith(words)
    assert in_fork(blocked[0].cancel) == "False"
    assert in_fork(pool.shutdown) == "None"
    assert in_fork(pool.terminate) == "None"
    assert in_fork(lambda: None) == "None"
    assert not any(future.done() for future in blocked)
    gate.touch()
    assert len({future.result(PATIENCE) for future in blocked}) <= 2
    assert done.result(PATIENCE) == 6
    assert [pool.submit(tasks.double, n).result(PATIENCE) for n in range(20)] == [2 * n for n in range(20)]
    pool.shutdown()
    assert called == [os.getpid()]


def test_a_fork_may_have_pools_of_its_own(hire: Callable[..., Pool]) -> None:
    """Beside those it was born with."""
    from supervisor.pool import Pool  # noqa: PLC0415 in the child

    def own() -> list[int]:
        with Pool(1, standby=0) as other:
            return list(other.map(tasks.double, range(5)))

    pool = hire()
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
    assert in_fork(own) == "[0, 2, 4, 6, 8]"
    assert pool.submit(tasks.double, 1).result(PATIENCE) == 2
