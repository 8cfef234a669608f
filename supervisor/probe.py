"""Questions asked of a worker from outside, over HTTP, by connecting, or with a command.

One question, one answer: when to ask again and what follows is decided above. Every question ends within the
probe's own timeout and leaves no socket behind, whichever way it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from supervisor.spec import Probe

Run = Callable[[tuple[str, ...]], Awaitable[int]]

LONGEST_LINE = 8192  # bytes of a status line
LONGEST_BODY = 65536  # bytes read after it
DRAIN_S = 0.1


async def ask(probe: Probe, *, run: Run) -> str | None:
    """None if the answer is yes, else a sentence that says why not.

    `run` starts a command and gives its exit status; cancelled (the timeout), it puts the command down.
    """
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.http is not None:
                return await _http(probe.http)
            if probe.tcp is not None:
                return await _tcp(probe.tcp)
            return await _exec(probe.exec or (), run)
    except TimeoutError:
        return f"{_name(probe)}: no answer within {probe.timeout:g} s"
    except (OSError, EOFError, ValueError) as error:  # refused, cut short, or no address at all
        return f"{_name(probe)}: {_reason(error)}"


async def _http(url: str) -> str | None:
    """200 to 399 is yes: a redirect shows that somebody is at home."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("only http://HOST[:PORT]/PATH can be asked")
    path = quote(parts.path or "/", safe="/%:;=@!$&'()*+,~") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ninelives\r\nConnection: close\r\n\r\n"
    async with _connected(parts.hostname, parts.port or 80) as (reader, writer):
        writer.write(request.encode())
        line = await reader.readline()
        await _drain(reader)
    if not line:
        raise EOFError("closed the connection without an answer")
    version, _, rest = line.decode("latin-1").strip().partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError(f"answered {line[:40]!r}, which is not HTTP")
    return None if 200 <= int(rest[:3]) < 400 else f"{url}: answered {rest}"


async def _tcp(address: str) -> str | None:
    """An accepted connection to HOST:PORT, [IPV6]:PORT or unix:/PATH is yes."""
    if address.startswith("unix:"):
        _reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        await _close(writer)
        return None
    parts = urlsplit(f"//{address}")
    if not parts.hostname or parts.port is None:
        raise ValueError("not HOST:PORT, [IPV6]:PORT or unix:/PATH")
    async with _connected(parts.hostname, parts.port):
        return None


async def _exec(command: tuple[str, ...], run: Run) -> str | None:
    code = await run(command)
    return None if code == 0 else f"{' '.join(command)}: ended with exit code {code}"


@contextlib.asynccontextmanager
async def _connected(
    host: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await _open(host, port)
    try:
        yield reader, writer
    finally:
        await _close(writer)


async def _open(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if host != "localhost":
        return await asyncio.open_connection(host, port, limit=LONGEST_LINE)
    # A resolver is a thread that cannot be cancelled; the one name people do write needs none.
    try:
        return await asyncio.open_connection("127.0.0.1", port, limit=LONGEST_LINE)
    except OSError as error:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("::1", port, limit=LONGEST_LINE)
        raise error from None


async def _drain(reader: asyncio.StreamReader) -> None:
    """Read on for a moment: a server cut off in the middle of its page fills its log with broken pipes."""
    left = LONGEST_BODY
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(DRAIN_S):
            while left > 0 and (piece := await reader.read(left)):
                left -= len(piece)


async def _close(writer: asyncio.StreamWriter) -> None:
    # abort, not close: close waits for unsent bytes, and a worker that does not read would keep our socket.
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _name(probe: Probe) -> str:
    return probe.http or probe.tcp or " ".join(probe.exec or ())


def _reason(error: Exception) -> str:
    # asyncio words a refusal as "Connect call failed ('127.0.0.1', 80)"; the system's own words say why.
    if isinstance(error, OSError) and error.errno and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
