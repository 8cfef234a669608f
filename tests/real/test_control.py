"""The control socket over a real socket to a real process: what one client does, no other client notices."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.control_world import Client, Host


def test_a_request_is_answered_with_its_id(host: Host, connect: Callable[[], Client]) -> None:
    """Whatever the id is, it comes back with the answer."""
    host.serve()
    client = connect()
    for identity in (1, "one", None, [1, {"a": 2}]):
        answer = client.ask({"id": identity, "verb": "release", "workers": ["x"]})
        assert answer == {"id": identity, "ok": True, "result": {"released": ["x"]}}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"garbage\n", "not a JSON object"),
        (b"\xff\xfe\n", "not a JSON object"),
        (b"\n", "not a JSON object"),
        (b"[" * 30_000 + b"\n", "not a JSON object"),
        (b"[]\n", "a request is an object"),
        (b"{}\n", "no verb None"),
        (b'{"verb": "statsu"}\n', "did you mean 'status'"),
        (b'{"verb": ["status"]}\n', "no verb"),
        (b'{"verb": "stop"}\n', "workers"),
        (b'{"verb": "stop", "workers": "all"}\n', "array"),
        (b'{"verb": "stop", "workers": ["a"], "wiat": true}\n', "wiat"),
        (b'{"verb": "scale", "worker": "a", "replicas": true}\n', "int"),
        (b'{"verb": "follow", "filter": {"evnt": []}}\n', "evnt"),
    ],
)
def test_nonsense_gets_a_sentence_and_the_connection_lives(
    host: Host, connect: Callable[[], Client], line: bytes, says: str
) -> None:
    """A bad line is answered with code 2 and what is wrong; the next line is served."""
    host.serve()
    client = connect()
    answer = client.ask(line)
    assert (answer["ok"], answer["code"]) == (False, 2)
    assert says in answer["error"]
    assert client.ask({"verb": "status"})["ok"]


def test_an_oversized_line_is_told_and_cut(host: Host, connect: Callable[[], Client]) -> None:
    """A line over the limit ends its connection with a sentence, and costs nobody else anything."""
    host.serve()
    big, other = connect(), connect()
    big.send(b'{"id": "' + b"x" * (64 * 1024 + 1))
    assert "at most 65536 bytes" in big.read()["error"]
    assert big.read() is None
    assert other.ask({"verb": "status"})["ok"]


def test_a_half_sent_line_is_given_up(host: Host, connect: Callable[[], Client]) -> None:
    """A request without its newline is given up after a while, however slowly its bytes trickle."""
    host.serve(half_sent=0.2)
    client = connect()
    client.send(b'{"verb":')
    assert "given up" in client.read()["error"]
    assert client.read() is None


def test_a_line_in_pieces_is_one_line(host: Host, connect: Callable[[], Client]) -> None:
    """Bytes may come one at a time, and several lines at once."""
    host.serve()
    client = connect()
    for byte in b'{"id":1,"verb":"status"}\n':
        client.send(bytes([byte]))
    assert client.read()["id"] == 1
    client.send(b'{"id":2,"verb":"status"}\n{"id":3,"verb":"status"}\n')
    assert {client.read()["id"], client.read()["id"]} == {2, 3}


def test_who_closes_its_sending_side_still_gets_its_answers(
    host: Host, connect: Callable[[], Client]
) -> None:
    """`echo … | nc -U` works: the end of what a client says is not the end of what it hears."""
    host.serve()
    client = connect()
    client.send({"id": 1, "verb": "stop", "workers": ["slow"]})
    client.sock.shutdown(socket.SHUT_WR)
    assert connect().ask({"verb": "release", "workers": ["slow"]})["ok"]
    assert client.read()["id"] == 1
    assert client.read() is None


def test_nobody_waits_behind_a_slow_stop(host: Host, connect: Callable[[], Client]) -> None:
    """While one worker's stop takes its time, requests on the same and on other connections are answered."""
    host.serve()
    slow, other = connect(), connect()
    slow.send({"id": "slow", "verb": "stop", "workers": ["slow"]})
    assert other.ask({"id": 1, "verb": "start", "workers": ["web-0"]})["ok"]
    assert slow.ask({"id": "quick", "verb": "status"})["id"] == "quick"
    assert other.ask({"verb": "release", "workers": ["slow"]})["ok"]
    assert slow.read()["id"] == "slow"


def test_a_client_that_leaves_cancels_nothing(host: Host, connect: Callable[[], Client]) -> None:
    """A stop goes on after the one who asked for it has gone, and its connection is closed in the end."""
    host.serve()
    other = connect()
    before = other.ask({"verb": "status"})["result"]["descriptors"]
    leaver = host.client()
    leaver.send({"verb": "stop", "workers": ["slow"]})
    leaver.close()
    assert other.ask({"verb": "release", "workers": ["slow"]})["ok"]
    _eventually(lambda: other.ask({"verb": "status"})["result"]["descriptors"] == before)


def test_abandoned_requests_do_not_block_the_door(host: Host, connect: Callable[[], Client]) -> None:
    """Many clients that gave up waiting: the status is still told, and what changes things is bounded."""
    host.serve(clients=4, unfinished=20)
    for _ in range(20):
        leaver = host.client()
        leaver.send({"verb": "stop", "workers": ["slow"]})
        leaver.close()
    other = connect()
    assert other.ask({"verb": "status"})["ok"]
    _eventually(lambda: other.ask({"verb": "scale", "worker": "a", "replicas": 1})["ok"] is False)
    assert "under way" in other.ask({"verb": "start", "workers": ["web-0"]})["error"]


def test_answers_that_nobody_takes_are_bounded_together(host: Host, connect: Callable[[], Client]) -> None:
    """Over the sum, who has kept us waiting longest is cut; its number is used again without harm."""
    host.serve(unsent=200_000)
    for _ in range(3):
        lazy = connect()
        with contextlib.suppress(OSError):
            lazy.sock.settimeout(0.2)
            while True:
                lazy.send({"verb": "status", "id": "x" * 50_000})
        assert connect().ask({"verb": "status"})["ok"]


def test_a_reader_that_does_not_read_is_cut(host: Host, connect: Callable[[], Client]) -> None:
    """Answers nobody takes are kept for a while, then the connection is cut; the others are served."""
    host.serve(unread=0.3)
    lazy, other = connect(), connect()
    before = other.ask({"verb": "status"})["result"]["descriptors"]
    lazy.sock.settimeout(0.05)
    with contextlib.suppress(OSError):  # cut, or full in both directions
        while True:
            lazy.send({"verb": "status", "id": "x" * 10_000})
    _eventually(lambda: other.ask({"verb": "status"})["result"]["descriptors"] == before - 1)


@pytest.mark.alone  # it measures milliseconds
def test_five_hundred_clients_at_once(host: Host, connect: Callable[[], Client]) -> None:
    """All of them are answered, though fewer are served at once, and the loop is never 20 ms late."""
    host.serve()
    assert connect().ask({"verb": "status"})["ok"]
    clients = [connect() for _ in range(500)]
    for at, client in enumerate(clients):
        client.send({"id": at, "verb": "status"})
    assert [client.read()["id"] for client in clients] == list(range(500))
    lag = connect().ask({"verb": "status"})["result"]["lag_s"]
    assert lag < 0.02, f"the loop was {lag * 1000:.1f} ms late"


def test_idle_connections_make_room(host: Host, connect: Callable[[], Client]) -> None:
    """When all places are taken by clients that ask nothing, the one idle longest has to go."""
    host.serve(clients=4, idle=0.1)
    idle = [connect() for _ in range(4)]
    assert all(client.ask({"verb": "status"})["ok"] for client in idle)
    assert connect().ask({"verb": "status"})["ok"]
    assert idle[0].read() is None


def test_out_of_descriptors_is_said_to_the_one(host: Host, connect: Callable[[], Client]) -> None:
    """Who connects when no descriptor is left gets a sentence; those who are connected notice nothing."""
    host.serve(limit=30)
    first = connect()
    assert first.ask({"verb": "status"})["ok"]
    crowd = [connect() for _ in range(40)]
    assert "out of file descriptors" in crowd[-1].read()["error"]
    assert first.ask({"verb": "start", "workers": ["web-0"]})["ok"]


def test_many_requests_leave_nothing_behind(host: Host, connect: Callable[[], Client]) -> None:
    """Ten thousand requests and a thousand connections: the same descriptors, no more memory."""
    host.serve()
    client = connect()
    assert host.process is not None

    def burst() -> None:
        for at in range(5_000):
            client.ask({"id": at, "verb": "status", "worker": "mailer"})
        for _ in range(500):
            host.client().close()

    def descriptors() -> int:
        return int(client.ask({"verb": "status"})["result"]["descriptors"])

    idle = descriptors()
    burst()
    _eventually(lambda: descriptors() == idle)  # the last of them may not be seen to have gone yet
    before = _rss(host.process.pid)
    burst()
    _eventually(lambda: descriptors() == idle)
    assert _rss(host.process.pid) - before < 512 * 1024


def _eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll a state that another process reaches on its own; there is no event to wait for here."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"


def _rss(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()
