"""The pump, started as the program it is, with this test playing anchor, supervisor and workers."""

from __future__ import annotations

import json
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervisor import kernel
from tests.real.pump_rig import Rig

MAKE = Callable[..., Rig]


@pytest.fixture
def make() -> Iterator[MAKE]:
    rigs: list[Rig] = []

    def build(stdout: int, **options: Any) -> Rig:
        rigs.append(Rig(stdout, **options))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.close()
        os.close(rig.stdout)


class Drain(threading.Thread):
    """Reads a pipe to its end, as fast as it comes."""

    def __init__(self, fd: int) -> None:
        super().__init__(daemon=True)
        self.fd, self.chunks = fd, list[bytes]()
        self.start()

    def run(self) -> None:
        while data := os.read(self.fd, 1 << 18):
            self.chunks.append(data)
        os.close(self.fd)

    def lines(self) -> list[dict[str, Any]]:
        self.join(20)
        assert not self.is_alive()
        return parsed(b"".join(self.chunks))


def parsed(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n") or not data
    raw = data.split(b"\n")[:-1]
    assert all(len(line) < 4096 for line in raw)
    return [json.loads(line) for line in raw]


def read_lines(fd: int, enough: Callable[[list[dict[str, Any]]], bool], seconds: float = 10.0) -> list[dict[str, Any]]:
    data, deadline = b"", time.monotonic() + seconds
    while not enough(lines := parsed(data[: data.rfind(b"\n") + 1])):
        assert select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0], f"only {len(lines)} lines came"
        chunk = os.read(fd, 1 << 16)
        assert chunk, f"closed after {len(lines)} lines"
        data += chunk
    return lines


def assert_gapless(lines: list[dict[str, Any]]) -> None:
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def file_stdout(path: str, flags: int = os.O_APPEND) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def beats(rig: Rig) -> None:
    """The pump lives: it beats twice more."""
    while select.select([rig.beat_r], [], [], 0)[0]:
        os.read(rig.beat_r, 65536)
    for _ in range(2):
        assert select.select([rig.beat_r], [], [], 10)[0], "no beat"
        assert json.loads(os.read(rig.beat_r, 4096).splitlines()[0])["kind"] == "beat"


def hang_up(fd: int) -> None:
    """Close what is behind the descriptor, and keep its number."""
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, fd, inheritable=False)
    os.close(null)


def log_of(out: int, drain: Drain | None, path: str) -> list[dict[str, Any]]:
    """All that came out, when the pump is gone."""
    if drain:
        hang_up(out)
        return drain.lines()
    with open(path, "rb") as file:
        return parsed(file.read())


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# -- every kind of stdout


@pytest.mark.parametrize("kind", ["pipe", "file", "append", "socket"])
def test_lines_get_through(make: MAKE, tmp_path: Any, kind: str) -> None:
    """A worker's lines and the supervisor's events come out in order, numbered, in every kind of stdout."""
    path = str(tmp_path / "log")
    drain = None
    if kind == "pipe":
        reader, out = os.pipe()
        drain = Drain(reader)
    elif kind == "socket":
        ours, theirs = socket.socketpair()
        drain, out = Drain(ours.detach()), theirs.detach()
    else:
        out = file_stdout(path, os.O_APPEND if kind == "append" else 0)
    rig = make(out)
    worker = rig.add("a#1/out")
    for number in range(5000):
        os.write(worker, b"line %d\n" % number)
    os.close(worker)
    rig.wait_ended("a#1/out")
    rig.event("worker.ended", worker="a")
    assert rig.stop() == 0
    lines = log_of(out, drain, path)
    assert_gapless(lines)
    assert [line["msg"] for line in lines[:-1]] == [f"line {number}" for number in range(5000)]
    assert lines[-1]["event"] == "worker.ended"
    assert list(lines[0])[:7] == ["timestamp", "level", "event", "msg", "schema", "seq", "instance_id"]


def test_a_terminal_gets_text_for_people(make: MAKE) -> None:
    """On a terminal, `auto` shows the worker and its words, coloured, and lets no control character through."""
    primary, secondary = os.openpty()
    rig = make(secondary, fmt="auto", env={"TERM": "xterm"})
    worker = rig.add("mailer#1/out")
    os.write(worker, b"hello \x1b[2Jyou\n")
    seen = b""
    while b"you" not in seen:
        assert select.select([primary], [], [], 5)[0]
        seen += os.read(primary, 4096)
    os.close(worker)
    os.close(primary)
    assert b"mailer" in seen
    assert b"hello \\x1b[2Jyou" in seen
    assert b"\x1b[92mmailer" in seen
    assert b"{" not in seen


def sleeps(pid: int) -> bool:
    """It waits for something, and has noted what it did before."""
    now = kernel.stat(pid)
    return now is not None and now.state == "S"


def test_a_terminal_that_was_stopped_shows_each_line_once_whatever_was_killed(make: MAKE) -> None:
    """The pump is killed again and again with half of it out: no line is missing, none is shown again."""
    primary, secondary = os.openpty()
    tty.setraw(secondary)
    rig = make(secondary, fmt="json")
    worker = rig.add("mailer#1/out")
    os.write(worker, b"".join(b"line %d\n" % number for number in range(2000)))
    os.close(worker)
    rig.wait_ended("mailer#1/out")
    data, kills = b"", 0
    while data.count(b"\n") < 2000:
        assert select.select([primary], [], [], 10)[0], f"{len(data)} bytes, and no more"
        data += os.read(primary, 4096)
        if len(data) > 50_000 * (kills + 1):
            wait_until(
                lambda: not select.select([], [secondary], [], 0)[1] and sleeps(rig.pid)
            )  # in the middle of a batch
            rig.kill()
            rig.start()
            kills += 1
    os.close(primary)
    assert kills > 5
    assert_gapless(parsed(data))


def test_journald_is_told_the_priority(make: MAKE) -> None:
    """When $JOURNAL_STREAM names stdout, every line starts with its syslog priority."""
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    rig = make(theirs.detach(), fmt="auto", env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    rig.event("worker.hung", level="error")
    ours.settimeout(5)
    assert ours.recv(4096).startswith(b'<3>{"timestamp"')
    ours.close()


# -- kill -9


WRITER = (
    "import os, sys\n"
    "for number in range(int(sys.argv[1])):\n"
    "    os.write(1, b'%s %d %s\\n' % (sys.argv[2].encode(), number, b'x' * (number % 150)))\n"
)


def rotated(path: str) -> list[str]:
    """What the files hold, oldest first."""
    texts = []
    for name in [*(f"{path}.{number}" for number in range(100, 0, -1)), path]:
        if os.path.exists(name):
            with open(name) as file:
                texts.append(file.read())
    return texts


def flood_and_kill(rig: Rig, workers: int, kills: int) -> int:
    """Kill the pump at seeded moments until so many kills are done and all workers have ended; events written."""
    chance = random.Random(9)
    events = killed = 0
    while killed < kills or len(rig.ended) < workers:
        events += 1
        rig.event("worker.spawned", number=events)
        if killed < kills and chance.random() < 0.3:
            # Half of the kills fall into its start, where it recovers from the one before.
            select.select([], [], [], chance.random() * 0.05 + (0.045 if killed % 2 else 0.0))
            rig.kill()
            while rig.hear(0):
                pass
            rig.start()
            killed += 1
        rig.hear(0.002)
    return events


@pytest.mark.parametrize("kind", ["pipe", "file", "rotated"])
def test_kill_9_loses_and_doubles_nothing(make: MAKE, tmp_path: Any, kind: str) -> None:
    """Killed 30 times at any instruction while it is flooded: every line comes out once, no gap in seq."""
    count, names = 40_000, ("w0", "w1", "w2")
    path, raw = str(tmp_path / "log"), str(tmp_path / "raw")
    reader, out = os.pipe() if kind == "pipe" else (-1, file_stdout(path))
    drain = Drain(reader) if kind == "pipe" else None
    rig = make(out)
    workers = []
    for name in names:
        output: dict[str, Any] = {"to": "file", "file": raw + name, "max": 1_000_000, "keep": 100}
        output = output if kind == "rotated" else {}
        end = rig.add(f"{name}#1/out", **output)
        workers.append(subprocess.Popen([sys.executable, "-c", WRITER, str(count), name], stdout=end))
        os.close(end)
    events = flood_and_kill(rig, len(names), 30)
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert rig.stop() == 0
    lines = log_of(out, drain, path)
    assert_gapless(lines)
    numbers = [line["number"] for line in lines if line["event"] == "worker.spawned"]
    assert numbers == list(range(1, events + 1))
    for name in names:
        said = [line["msg"] for line in lines if line.get("worker") == name]
        if kind == "rotated":
            files = rotated(raw + name)
            assert len(files) > 2
            said = "".join(files).splitlines()
        assert said == [f"{name} {number} {'x' * (number % 150)}" for number in range(count)]
