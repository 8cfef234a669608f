"""A worker's side of the pipe: cheap, never blocking, and silent where nobody listens."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from workers import heart as heart_module
from workers import wire
from workers.heart import Heart

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ear:
    """The other end of a heart's pipe."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def heard(self) -> list[wire.Message]:
        decoder, found = wire.Decoder(), []
        while True:
            try:
                data = os.read(self.read_end, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            found += decoder.feed(data)
        assert all(isinstance(one, wire.Message) for one in found)
        return [one for one in found if isinstance(one, wire.Message)]


@pytest.fixture
def ear() -> Iterator[Ear]:
    one = Ear()
    yield one
    for fd in (one.read_end, one.write_end):
        os.close(fd)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(heart_module, "monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def term() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_beats_are_coalesced(ear: Ear, clock: list[float]) -> None:
    """However often beat is called, one line in 20 ms is written, with the stamp of its call."""
    heart = Heart(ear.write_end)
    for _ in range(1000):
        heart.beat(progress=1)
    clock[0] += 0.021
    heart.beat(progress=2)
    assert [m.fields for m in ear.heard()] == [{"at": 100.0, "progress": 1}, {"at": 100.021, "progress": 2}]


def test_the_gap_follows_beat_within(ear: Ear, clock: list[float]) -> None:
    """With a beat_within of 0.1 s beats are told every 2 ms."""
    heart = Heart(ear.write_end, beat_within=0.1)
    for _ in range(10):
        heart.beat()
        clock[0] += 0.0021
    assert sum(m.times for m in ear.heard()) == 10


def test_a_new_status_is_told_at_once(ear: Ear, clock: list[float]) -> None:
    """A status is sent when it changes, and only then, however soon."""
    heart = Heart(ear.write_end)
    for status in ("a", "a", "b", "b", None, "a"):
        heart.beat(status=status)
    assert [m.fields.get("status") for m in ear.heard()] == ["a", "b", "a"]
    assert clock == [100.0]


def test_everything_else_is_told_at_once(ear: Ear, clock: list[float]) -> None:
    """ready, busy and leaving are never held back."""
    heart = Heart(ear.write_end)
    heart.beat()
    heart.ready("up")
    heart.busy(3)
    heart.leaving()
    assert [m.kind for m in ear.heard()] == ["beat", "ready", "busy", "leaving"]
    assert clock == [100.0]


def test_a_full_pipe_is_tried_again(ear: Ear, clock: list[float]) -> None:
    """What a full pipe did not take comes with the next message: the newest of each kind, in order."""
    fcntl.fcntl(ear.write_end, fcntl.F_SETPIPE_SZ, 4096)
    heart = Heart(ear.write_end)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ear.write_end, b'{"kind":"beat","at":1}\n')
    heart.ready("up")
    for progress in range(5):
        clock[0] += 1
        heart.beat(progress=progress)
    heart.busy(3)
    assert {m.fields["at"] for m in ear.heard()} == {1}
    clock[0] += 1
    heart.beat(progress=7)
    told = [(m.kind, m.fields.get("progress")) for m in ear.heard()]
    assert told == [("ready", None), ("busy", None), ("beat", 7)]


def test_a_closed_pipe_is_silence() -> None:
    """When nobody reads any more the heart goes quiet and the worker goes on."""
    read, write = os.pipe()
    os.close(read)
    heart = Heart(write)
    heart.ready()
    heart.beat()
    assert "fd" not in repr(heart)
    os.close(write)


def test_odd_values_do_no_harm(ear: Ear) -> None:
    """A progress that is not finite is left out, a long status is cut, an endless busy is refused."""
    heart = Heart(ear.write_end)
    heart.beat(progress=math.nan, status="ü" * 1000)
    heart.beat(progress=10**400, status="\ud800")
    first, second = ear.heard()
    assert "progress" not in first.fields
    assert len(first.fields["status"]) > 100
    assert second.fields["status"] == "?"
    with pytest.raises(ValueError, match="finite"):
        heart.busy(math.inf)


def test_a_forked_child_does_not_speak(ear: Ear) -> None:
    """Only the process the heart was made in is the worker."""
    heart = Heart(ear.write_end)
    pid = os.fork()
    if pid == 0:
        heart.beat()
        os._exit(0)
    os.waitpid(pid, 0)
    assert ear.heard() == []


def test_a_forked_child_dies_of_sigterm(ear: Ear) -> None:
    """SIGTERM ends a child that inherited the handler, and does not stop the worker."""
    heart = Heart(ear.write_end)
    heart.listen_for_stop()
    pid = os.fork()
    if pid == 0:
        os.write(ear.write_end, b"up")  # a signal during the fork itself would be forgotten by Python
        heart.wait(30)
        os._exit(0)
    os.set_blocking(ear.read_end, True)
    os.read(ear.read_end, 2)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    assert not heart.stopping


def test_sigterm_ends_a_wait(ear: Ear) -> None:
    """wait returns as soon as SIGTERM comes, in every thread, and from then on at once."""
    heart = Heart(ear.write_end)
    heart.listen_for_stop()
    assert not heart.wait(0)
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    assert heart.wait(30)
    assert heart.stopping
    assert heart.wait(30)
    assert time.monotonic() - began < 10


def test_a_program_started_by_hand_has_a_heart_that_says_nothing() -> None:
    """Without the environment of a worker everything works and nothing is written."""
    heart = Heart.from_environment({})
    heart.ready()
    heart.beat(1, "x")
    heart.leaving()
    assert (heart.name, heart.replica, heart.stopping) == ("", 0, False)


def test_a_descriptor_that_is_no_pipe_is_left_alone() -> None:
    """An inherited NINELIVES_BEAT_FD that now names a file, or nothing, is not written to."""
    fd = os.memfd_create("database")
    for text in (str(fd), "9999", "99999999999999999999", "x", "-1"):
        Heart.from_environment({"NINELIVES_BEAT_FD": text}).beat()
    assert os.fstat(fd).st_size == 0
    os.close(fd)


def test_a_heart_from_the_environment_speaks(ear: Ear) -> None:
    """A program finds its pipe, name, replica and beat_within in the environment, and hears SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    heart = Heart.from_environment(
        {"NINELIVES_BEAT_FD": str(ear.write_end), "NINELIVES_NAME": "it-3", "NINELIVES_REPLICA": "3"}
    )
    heart.ready()
    signal.raise_signal(signal.SIGTERM)
    assert (heart.name, heart.replica, heart.stopping) == ("it-3", 3, True)
    assert [m.kind for m in ear.heard()] == ["ready"]


def test_the_helper_thread_beats(ear: Ear) -> None:
    """The helper thread beats while the program does something else."""
    heart = Heart(ear.write_end)
    heart.helper_thread(every=0.001)
    os.set_blocking(ear.read_end, True)
    assert wire.Decoder().feed(os.read(ear.read_end, 4096))
    heart._fd = None


def test_a_heart_needs_only_the_standard_library() -> None:
    """Importing the heart loads nothing of supervisor, and nothing from site-packages."""
    code = "import sys; sys.path += sys.argv[1:]; import workers.heart; print('supervisor' in sys.modules)"
    root = os.path.dirname(os.path.dirname(os.path.abspath(heart_module.__file__)))
    argv = [sys.executable, "-I", "-S", "-c", code, root]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "False\n"
