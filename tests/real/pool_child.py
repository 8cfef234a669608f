"""A forked process at the other end of a pool's segments, and the line between it and the test."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool.arena import COPIED_BELOW

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = 2 * COPIED_BELOW

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # OpenBLAS


class Link:
    """One end of a socket: objects and descriptors, a message at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def say(self, word: Any, *fds: int) -> None:
        socket.send_fds(self.sock, [pickle.dumps(word)], fds)

    def hear(self) -> tuple[Any, list[int]]:
        data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 8)
        if not data:
            raise EOFError("the other side is gone")
        return pickle.loads(data), fds

    def word(self) -> Any:
        return self.hear()[0]


class Child:
    """A forked process that runs `life(link)`."""

    def __init__(self, life: Callable[[Link], None]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                ours.close()
                life(Link(theirs))
                code = 0
            except BaseException:  # noqa: BLE001 the test sees the exit code
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        ours.settimeout(20)
        self.link = Link(ours)
        self.is_over = False

    def end(self) -> int:
        self.link.sock.close()
        self.is_over = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL
