"""Probes against real sockets on the loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from supervisor.probe import ask
from supervisor.spec import Probe

if TYPE_CHECKING:
    from pathlib import Path

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def never(_command: tuple[str, ...]) -> int:
    raise AssertionError("no command was to be run")


def saying(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side goes
    await reader.read()
    writer.close()


def asked(handler: Handler, probe: Callable[[int], Probe], *, host: str = "127.0.0.1") -> str | None:
    """The answer a server with this handler gets from a probe of its port; checks that no socket is left."""

    async def main() -> str | None:
        async with await asyncio.start_server(handler, host, 0) as server:
            before = sockets()
            answer = await ask(probe(server.sockets[0].getsockname()[1]), run=never)
            # The server's half is its own business: it goes when it sees ours gone.
            await until(lambda: not sockets() - before)
            return answer

    return asyncio.run(asyncio.wait_for(main(), 5))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the table of descriptors has no event to wait for
        await asyncio.sleep(0.002)


def sockets() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the descriptor of listdir itself
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def http(port: int) -> Probe:
    return Probe(http=f"http://127.0.0.1:{port}/health?deep=1")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\nfine", b"HTTP/1.0 204\r\n\r\n", b"HTTP/1.1 302 Found\r\n\r\n"]
)
def test_http_says_yes_to_2xx_and_3xx(answer: bytes) -> None:
    """Somebody is at home."""
    assert asked(saying(answer), http) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503 Service Unavailable"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404 Not Found"),
        (b"SSH-2.0-OpenSSH\r\n", "which is not HTTP"),
        (b"\xff\x00\xff\n", "which is not HTTP"),
        (b"x" * 100_000, "limit"),
        (b"", "without an answer"),
    ],
)
def test_http_says_why_not(answer: bytes, why: str) -> None:
    """Anything else is a sentence with the address and the reason."""
    said = asked(saying(answer), http)
    assert said is not None
    assert said.startswith("http://127.0.0.1:")
    assert why in said


def test_an_endless_page_does_not_keep_the_probe() -> None:
    """The first line decides; a body without end is left after a moment."""

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)
        except OSError:
            writer.close()

    assert asked(endless, http) is None


@pytest.mark.parametrize("probe", [lambda port: Probe(http=f"http://127.0.0.1:{port}/", timeout=0.1)])
def test_silence_ends_with_the_timeout(probe: Callable[[int], Probe]) -> None:
    """A server that accepts and says nothing costs the timeout, not more, and no socket."""
    begun = time.monotonic()
    said = asked(silent, probe)
    assert said is not None
    assert said.endswith("no answer within 0.1 s")
    assert 0.1 <= time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("127.0.0.1", "localhost"), ("::1", "localhost")],
)
def test_both_kinds_of_address_and_localhost_are_reached(host: str, written: str) -> None:
    """IPv4, IPv6, and the name that means either."""
    assert asked(silent, lambda port: Probe(tcp=f"{written}:{port}"), host=host) is None
    said = asked(
        saying(b"HTTP/1.1 200 OK\r\n\r\n"), lambda port: Probe(http=f"http://{written}:{port}"), host=host
    )
    assert said is None


@pytest.mark.parametrize("written", ["127.0.0.1", "localhost"])
def test_a_closed_port_is_a_refusal(written: str) -> None:
    """Nobody listening is said in the system's words."""
    probe = Probe(tcp=f"{written}:{closed_port()}")
    assert asyncio.run(ask(probe, run=never)) == f"{probe.tcp}: Connection refused"


@pytest.mark.parametrize(
    "probe",
    [
        Probe(tcp="nonsense"),
        Probe(tcp="host:99999"),
        Probe(tcp="[::1:80"),
        Probe(http="https://127.0.0.1/"),
        Probe(http="http://"),
        Probe(http="http://127.0.0.1:x/"),
        Probe(http="http://[/"),
        Probe(tcp="unix:/nowhere/at/all"),
        Probe(tcp="unix:" + "x" * 200),
    ],
)
def test_a_malformed_address_is_an_answer_not_an_exception(probe: Probe) -> None:
    """A probe never raises, whatever is written in it."""
    assert asyncio.run(ask(probe, run=never))


def test_a_unix_socket_can_be_asked(tmp_path: Path) -> None:
    """unix:/PATH is an address like any other."""

    async def main() -> str | None:
        async with await asyncio.start_unix_server(silent, str(tmp_path / "s")):
            return await ask(Probe(tcp=f"unix:{tmp_path}/s"), run=never)

    assert asyncio.run(main()) is None


def test_a_command_answers_with_its_exit_code() -> None:
    """0 is yes; everything else is no, with the command and the code."""

    async def run(command: tuple[str, ...]) -> int:
        return {"true": 0, "false": 1}[command[0]]

    assert asyncio.run(ask(Probe(exec=("true",)), run=run)) is None
    assert asyncio.run(ask(Probe(exec=("false", "-x")), run=run)) == "false -x: ended with exit code 1"


def test_a_command_that_does_not_end_is_cancelled() -> None:
    """The timeout reaches the runner as a cancellation, so that it can put the command down."""
    cancelled = []

    async def run(command: tuple[str, ...]) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(command)
            raise
        return 0

    said = asyncio.run(ask(Probe(exec=("sleep", "9"), timeout=0.05), run=run))
    assert said == "sleep 9: no answer within 0.05 s"
    assert cancelled == [("sleep", "9")]


def test_a_cancelled_probe_leaves_no_socket() -> None:
    """Whoever loses interest in the middle of a question leaves nothing behind."""

    async def main() -> None:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            before = sockets()
            task = asyncio.create_task(ask(http(server.sockets[0].getsockname()[1]), run=never))
            await until(lambda: bool(sockets() - before))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not sockets() - before)

    asyncio.run(asyncio.wait_for(main(), 5))
