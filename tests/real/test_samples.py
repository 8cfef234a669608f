"""The sample workers, run by a real template: each shows its one behaviour."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from tests.real.template_world import PATIENCE, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World() as one:
        yield one


def test_hello_and_print_number_say_their_line(world: World) -> None:
    """The notes' functions run as they are."""
    hello = world.ask(target="workers.hello:process_function", args={"name": "Alice"})
    number = world.ask(target="workers.print_number:print_number", args={"number": 42})
    for life, text in ((hello, "Hello, Alice!\n"), (number, "Number: 42\n")):
        life.until("ready")
        assert life.ended() == 0
        assert life.read(life.out) == text


def test_the_ticker_ticks_and_stops(world: World) -> None:
    """It beats with progress, prints JSON and ends well at SIGTERM."""
    life = world.ask(target="workers.ticker:main", args={"every": 0.001, "lines_every": 1})
    assert life.until("beat").fields["progress"] >= 1
    os.kill(life.pid, signal.SIGTERM)
    assert life.ended() == 0
    assert json.loads(life.read(life.out).splitlines()[0])["worker"] == "it"


@pytest.mark.numpy
def test_the_cruncher_crunches() -> None:
    """It prepares, is ready, beats and says what it found."""
    pytest.importorskip("numpy")
    with World("numpy") as world:
        life = world.ask(target="workers.cruncher:main", args={"rounds": 3}, standby=True)
        assert life.until("busy").fields["for"] == 10
        life.until("prepared")
        life.say_go(name="it", replica=0)
        life.until("beat")
        assert life.ended() == 0
        assert life.read(life.out).startswith("crunched 3 walks")


def test_the_server_echoes_shares_its_port_and_stops_well(world: World) -> None:
    """Ready means it answers; a successor listens on the same port before the first has gone."""
    first = world.ask(target="workers.server:main")
    port = int(first.until("ready").fields["status"].split()[1])
    second = world.ask(target="workers.server:main", args={"port": port})
    second.until("ready")
    os.kill(first.pid, signal.SIGTERM)
    assert first.ended() == 0
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
    os.kill(second.pid, signal.SIGTERM)
    assert second.ended() == 0


@pytest.mark.parametrize(
    ("how", "code"), [("raise", 1), ("exit", 9), ("segfault", -11), ("abort", -6), ("kill", -9), ("none", 0)]
)
def test_the_crasher_crashes_as_told(world: World, how: str, code: int) -> None:
    """Every way to die is seen as what it is, with a stack where there is one."""
    life = world.ask(target="workers.crasher:main", args={"how": how, "after": 0, "code": 9})
    life.until("ready")
    assert life.ended() == code
    assert ("crasher.py" in life.stacks()) == (how in ("raise", "segfault", "abort"))


@pytest.mark.parametrize("how", ["sleep", "spin"])
def test_the_hanger_falls_silent_and_its_stack_says_where(world: World, how: str) -> None:
    """After its beats it hangs; the stack signal shows the line, spinning or asleep."""
    life = world.ask(target="workers.hanger:main", args={"beats": 2, "every": 0.03, "how": how})
    while life.until("beat").fields["progress"] < 2:
        pass
    deadline = time.monotonic() + PATIENCE
    while f"_{how}" not in life.stacks():
        assert time.monotonic() < deadline, life.stacks()
        os.kill(life.pid, kernel.STACK_SIGNAL)
        time.sleep(0.001)  # the stack is written when the worker runs next: there is nothing to wait on
    os.kill(life.pid, signal.SIGKILL)
    assert life.ended() == -signal.SIGKILL


def test_the_leaker_grows_to_its_ceiling(world: World) -> None:
    """Its memory grows by what it says and no further."""
    life = world.ask(target="workers.leaker:main", args={"step": 1 << 20, "every": 0.021, "ceiling": 8 << 20})
    before = life.until("beat").fields["progress"]
    while (held := life.until("beat").fields["progress"]) < 8 << 20:
        assert held >= before
    now = kernel.stat(life.pid)
    assert now is not None
    assert now.rss_bytes > 8 << 20
    assert life.until("beat").fields["progress"] == 8 << 20
    os.kill(life.pid, signal.SIGTERM)
    assert life.ended() == 0


def test_the_forker_leaves_three_behind_and_the_brand_finds_them(world: World) -> None:
    """A plain child, a daemon and a process with a cleared environment outlive it, all with its brand."""
    life = world.ask(target="workers.forker:main")
    life.until("ready")
    assert life.ended() == 0
    mine = kernel.brand(world.nonce, 1)
    orphans = [pid for pid in kernel.children(os.getpid()) if kernel.read_brand(pid) == mine]
    assert len(orphans) == 3


def test_the_flooder_writes_every_line(world: World) -> None:
    """All its lines are there, in order, at the width it was told."""
    life = world.ask(target="workers.flooder:main", args={"lines": 20_000, "width": 50})
    lines = life.read(life.out).splitlines()
    life.until("ready")
    assert life.ended() == 0
    assert [int(line) for line in lines] == list(range(20_000))
    assert {len(line) for line in lines} == {49}


def test_the_flooder_keeps_its_rate(world: World) -> None:
    """With a rate it takes the time that is due."""
    began = time.monotonic()
    life = world.ask(target="workers.flooder:main", args={"lines": 100, "rate": 1000})
    life.until("ready")
    assert life.ended() == 0
    assert 0.08 < time.monotonic() - began < 5


def test_the_stubborn_one_ignores_sigterm(world: World) -> None:
    """After SIGTERM it beats on; only SIGKILL ends it."""
    life = world.ask(target="workers.stubborn:main", args={"every": 0.021})
    life.until("ready")
    os.kill(life.pid, signal.SIGTERM)
    for _ in range(3):
        life.until("beat")
    os.kill(life.pid, signal.SIGKILL)
    assert life.ended() == -signal.SIGKILL
