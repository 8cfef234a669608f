"""One process of a worker: from the asking to the reaping.

It is (pid, start time), said by itself in its `hello`, and what is known of it: its pipes, its note at the anchor, its end.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor import kernel
from workers.wire import Decoder, Message, Violation

if TYPE_CHECKING:
    from collections.abc import Callable


class Exit(NamedTuple):
    """What the anchor reaped; `at` is CLOCK_MONOTONIC, `rusage` in seconds and bytes. id None: it never existed."""

    id: int | None
    status: int | None
    rusage: dict[str, float]
    at: float


def is_end_of(packet: dict[str, Any], pid: int | None, start: int | None) -> bool:
    """Whether the anchor tells of the end of the process that is (pid, start).

    An anchor that could not read the start time says 0. Its number alone will do then, if that process is gone: none but
    the anchor could reap it, and what it reaps it tells of. If it is there still, the end is that of an earlier process
    which had the same number, and is told late.
    """
    if pid is None or packet["pid"] != pid:
        return False
    if packet["start"]:
        return bool(packet["start"] == start)
    now = kernel.stat(pid)
    return now is None or now.start != start


class Process:
    """One spawn, from the asking to the reaping."""

    def __init__(
        self, spawn_id: str, number: int, beat_fd: int, stack_fd: int, go_fd: int | None, note: dict[str, Any]
    ) -> None:
        self.spawn_id, self.number = spawn_id, number
        self.beat_fd, self.stack_fd, self.go_fd = beat_fd, stack_fd, go_fd
        self.note = note  # what the anchor keeps of it: worker, spawned_at, ready_at, pid, start …
        self.decoder = Decoder()
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._heard: Callable[[Message | Violation], None] | None = None
        self._unheard: list[Message | Violation] = []  # said before anybody listened
        self.refused = False
        self.at_end = False
        self.handled = 0  # bytes at the front of its pipe that were told already, and are still there
        self.listening = False

    def __repr__(self) -> str:
        return f"<Process {self.spawn_id} pid={self.pid}>"

    @property
    def pid(self) -> int | None:
        """Known after `hello`."""
        return self.note.get("pid")

    @property
    def start(self) -> int | None:
        """Start time in ticks since boot, known after `hello`."""
        return self.note.get("start")

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens to what it says."""
        return self._heard is not None

    @property
    def heard(self) -> Callable[[Message | Violation], None]:
        """Who is told what it says."""
        return self._heard or self._unheard.append

    @heard.setter
    def heard(self, listener: Callable[[Message | Violation], None]) -> None:
        self._heard = listener
        unheard, self._unheard = self._unheard, []
        for message in unheard:
            listener(message)

    def kept_from_now_on(self) -> list[int] | None:
        """What the anchor shall hold of a standby that has taken over: not its go pipe any more. None: what it holds."""
        if "prepared" not in self.note:
            return None
        kept: list[int] = []
        try:
            kept.append(os.dup(self.beat_fd))
            kept.append(os.dup(self.stack_fd))
        except OSError:  # out of descriptors: it goes on holding one too many
            for fd in kept:
                os.close(fd)
            return None
        return kept

    def close(self) -> None:
        """Close our descriptors; the anchor closes its own when the note is dropped."""
        for fd in (self.beat_fd, self.stack_fd, self.go_fd):
            if fd is not None and fd >= 0:
                os.close(fd)
        self.beat_fd = self.stack_fd = -1
        self.go_fd = None
