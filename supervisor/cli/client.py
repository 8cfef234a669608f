"""Ask a service something and wait for its answer, though it may be killed in the middle.

The listening socket outlives supervisors, so a connection is refused only when there is no service: that is
told at once (exit code 4). A supervisor that is away for a moment is waited for; when a connection drops
before the answer, what can be asked twice is asked again. Standard library only.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor import place

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 5.0  # for a supervisor that is away
_RETRY_S = 0.05
_REASSURE_S = 1.0
_CHUNK = 64 * 1024


class NoAnswer(Exception):
    """No service answers; code is the exit code."""

    code = 4


class Dropped(Exception):
    """The connection ended before the answer: what was asked may or may not have been done."""

    code = 1


class Denied(Exception):
    """The service answered with an error; code is the exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def find(name: str | None, path: str | None) -> str:
    """Return the path of the socket meant by -n NAME and --socket PATH; NoAnswer lists the choices."""
    if path is not None:
        return path
    there = place.services()
    if name is not None:
        return there.get(name) or place.socket_path(name)
    if len(there) > 1:
        answering = {name: path for name, path in there.items() if _answers(path)}
        if len(answering) > 1:
            raise Denied(f"which service? there are {', '.join(answering)}: say -n NAME", 2)
        there = answering or there
    return next(iter(there.values()), None) or place.socket_path("default")


def ask(
    path: str,
    request: dict[str, Any],
    *,
    patience: float | None = PATIENCE_S,
    again: bool = True,
    reassure: bool = True,
) -> Any:
    """Return the result of one request.

    patience: seconds to wait for the answer, None for as long as it takes. again: ask once more when the
    connection drops. reassure: tell a terminal that we wait. Raises NoAnswer, Dropped, Denied.
    """
    deadline = None if patience is None else time.monotonic() + patience
    dropped_at: float | None = None
    while True:
        try:
            with connect(path, deadline) as sock:
                return _exchange(sock, request, deadline, reassure=reassure)
        except Dropped:
            now = time.monotonic()
            dropped_at = dropped_at or now
            if not again or now - dropped_at > PATIENCE_S:
                raise
            time.sleep(_RETRY_S)


def connect(path: str, deadline: float | None) -> socket.socket:
    """Connect, waiting for room until `deadline` (monotonic); NoAnswer."""
    limit = time.monotonic() + PATIENCE_S if deadline is None else deadline
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(path)
        except BlockingIOError:  # the backlog is full, and only a blocking connect would wait
            sock.close()
            if time.monotonic() > limit:
                raise NoAnswer(f"{path}: the service is busy or hung; nothing was asked") from None
            time.sleep(_RETRY_S)
        except OSError as error:
            sock.close()
            raise NoAnswer(f"no service answers at {path}: {error.strerror or error}") from error
        else:
            return sock


def send(sock: socket.socket, request: dict[str, Any]) -> None:
    """Send one request; Dropped."""
    sock.settimeout(PATIENCE_S)
    try:
        sock.sendall(json.dumps(request).encode() + b"\n")
    except OSError as error:
        raise Dropped(f"the service hung up: {error}") from error
    finally:
        sock.setblocking(False)


def lines(sock: socket.socket, deadline: float | None, *, reassure: bool = True) -> Iterator[bytes]:
    """Yield lines (bytes) as they come; ends when the other side has closed. NoAnswer at `deadline`."""
    rest = b""
    while True:
        _wait(sock, deadline, reassure=reassure)
        try:
            data = sock.recv(_CHUNK)
        except BlockingIOError:
            continue
        except OSError:
            return
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def result(line: bytes) -> Any:
    """Unpack an answer; Denied when it is an error."""
    answer = json.loads(line)
    if answer.get("ok"):
        return answer.get("result")
    raise Denied(str(answer.get("error")), int(answer.get("code", 1)))


def _exchange(sock: socket.socket, request: dict[str, Any], deadline: float | None, *, reassure: bool) -> Any:
    send(sock, {"id": 1, **request})
    for line in lines(sock, deadline, reassure=reassure):
        return result(line)
    raise Dropped("the supervisor went away before it answered")


def _wait(sock: socket.socket, deadline: float | None, *, reassure: bool) -> None:
    began = time.monotonic()
    if not _readable(sock, _REASSURE_S if deadline is None else min(_REASSURE_S, deadline - began)):
        if reassure and deadline is not None and sys.stderr.isatty():
            print("waiting for the supervisor…", file=sys.stderr)
        if not _readable(sock, None if deadline is None else deadline - time.monotonic()):
            raise NoAnswer("the service is there, but its supervisor does not answer")


def _readable(sock: socket.socket, timeout: float | None) -> bool:
    return bool(select.select([sock], [], [], timeout and max(0.0, timeout))[0])


def _answers(path: str) -> bool:
    try:
        connect(path, 0.0).close()
    except NoAnswer:
        return False
    return True
