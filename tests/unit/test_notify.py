"""What workers may say over sd_notify, what we make of it, and what systemd is told."""

from __future__ import annotations

import array
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import notify
from supervisor.notify import Notification

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    path = str(tmp_path / "notify" / "mailer")
    sock = notify.bind(path)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(path)
    yield sock, client
    sock.close()
    client.close()


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"READY=1", Notification(ready=True)),
        (b"READY=1\nSTATUS=listening on 80\n", Notification(ready=True, status="listening on 80")),
        (b"READY=0", Notification()),
        (b"RELOADING=1\nMONOTONIC_USEC=12", Notification(reloading=True)),
        (b"STOPPING=1", Notification(stopping=True)),
        (b"WATCHDOG=1", Notification(watchdog=True)),
        (b"WATCHDOG=trigger", Notification(hung=True)),
        (b"EXTEND_TIMEOUT_USEC=2500000", Notification(extend_s=2.5)),
        (b"EXTEND_TIMEOUT_USEC=-1", Notification()),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 400, Notification()),
        (b"EXTEND_TIMEOUT_USEC=\xc2\xb2", Notification()),
        (b"MAINPID=1", Notification()),
        (b"X_UNKNOWN=1\nREADY", Notification()),
        (b"STATUS=\x1b[31mred\xff", Notification(status="?[31mred\ufffd")),
        (b"", Notification()),
    ],
)
def test_each_word_of_the_protocol_has_one_meaning(said: bytes, heard: Notification) -> None:
    """A datagram says exactly what sd_notify(3) says it says, and everything else says nothing."""
    assert notify.parse(said) == heard


@given(st.binary(max_size=5000))
def test_no_datagram_raises(datagram: bytes) -> None:
    """Whatever a worker sends, parsing ends with a notification."""
    heard = notify.parse(datagram)
    assert heard.status is None or len(heard.status) <= notify.LONGEST_STATUS
    assert heard.extend_s is None or heard.extend_s >= 0


def test_everything_waiting_is_received_in_order(pair: Pair) -> None:
    """Receiving drains the socket, oldest first, and then finds nothing."""
    sock, client = pair
    for word in (b"READY=1", b"WATCHDOG=1", b"STOPPING=1"):
        client.send(word)
    assert notify.receive(sock) == [
        Notification(ready=True),
        Notification(watchdog=True),
        Notification(stopping=True),
    ]
    assert notify.receive(sock) == []


def test_a_flood_is_taken_in_portions(pair: Pair) -> None:
    """A worker that sends without end holds the caller for `at_most` datagrams."""
    sock, client = pair
    for _ in range(5):
        client.send(b"WATCHDOG=1")
    assert len(notify.receive(sock, at_most=3)) == 3
    assert len(notify.receive(sock, at_most=3)) == 2


def test_an_oversized_datagram_says_nothing(pair: Pair) -> None:
    """Half a message is not a message."""
    sock, client = pair
    client.send(b"READY=1\nSTATUS=" + b"x" * 9000)
    client.send(b"READY=1")
    assert notify.receive(sock) == [Notification(), Notification(ready=True)]


def test_descriptors_a_worker_sends_are_closed(pair: Pair) -> None:
    """A passed descriptor (FDSTORE, BARRIER) never becomes ours and is released at once."""
    sock, client = pair
    read, write = os.pipe()
    client.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write]))])
    os.close(write)
    before = set(os.listdir("/proc/self/fd"))
    assert notify.receive(sock) == [Notification()]
    assert set(os.listdir("/proc/self/fd")) == before
    os.set_blocking(read, False)
    assert os.read(read, 1) == b""  # end of file: no write end is open anywhere
    os.close(read)


def test_the_socket_is_private_and_its_folder_can_only_be_walked_through(tmp_path: Path) -> None:
    """Only the worker's user can send; others can neither list nor write."""
    old = os.umask(0o077)
    try:
        sock = notify.bind(str(tmp_path / "n" / "w"))
    finally:
        os.umask(old)
    with sock:
        assert stat.S_IMODE(os.stat(tmp_path / "n").st_mode) == 0o711
        assert stat.S_IMODE(os.stat(tmp_path / "n" / "w").st_mode) == 0o600
        assert not os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())


@pytest.mark.root
def test_the_socket_belongs_to_the_workers_user(tmp_path: Path) -> None:
    """A worker with `user` set can write to its own socket."""
    with notify.bind(str(tmp_path / "w"), 12345):
        assert os.stat(tmp_path / "w").st_uid == 12345


def test_a_socket_left_by_an_earlier_life_is_replaced(tmp_path: Path) -> None:
    """Binding twice is no error; the second socket hears what is sent from then on."""
    path = str(tmp_path / "w")
    with (
        notify.bind(path),
        notify.bind(path) as second,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"READY=1", path)
        assert notify.receive(second) == [Notification(ready=True)]


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    """The error says which path, and leaves nothing behind."""
    path = str(tmp_path / ("x" * 120))
    with pytest.raises(OSError, match="at most 107 bytes"):
        notify.bind(path)
    assert list(tmp_path.iterdir()) == []


def test_what_systemd_is_told() -> None:
    """Each message is what sd_notify(3) asks for, and no text can smuggle in a key."""
    assert notify.ready("2 of 2 ready") == "READY=1\nSTATUS=2 of 2 ready"
    assert notify.status("a\nMAINPID=1\n") == "STATUS=a MAINPID=1"
    assert notify.stopping("SIGTERM") == "STOPPING=1\nSTATUS=SIGTERM"
    assert notify.reloading(17) == "RELOADING=1\nMONOTONIC_USEC=17"
    assert notify.extend(1.5) == "EXTEND_TIMEOUT_USEC=1500000"
    assert notify.watchdog() == "WATCHDOG=1"


def test_nothing_that_systemd_says_to_us_may_reach_a_worker() -> None:
    """The names to scrub include every one that makes a library believe it is the unit's main process."""
    assert {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "JOURNAL_STREAM",
        "INVOCATION_ID",
    } < notify.SCRUB
