"""What a life leaves behind, found among the anchor's children by its brand; and killed.

Whatever a worker daemonised, whatever cleared its environment or began a session of its own: the kernel has handed the brand
on to it, and the anchor has become its parent.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

from supervisor import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

EMBRYO = "embryo "  # how the name of a process begins that a template has forked ahead of time


class Orphan(NamedTuple):
    """A process that outlived its worker, and was killed for it."""

    pid: int
    command: str


class Orphans:
    """Of one anchor. `spared()`: its children that are somebody's, and so no orphans."""

    def __init__(self, nonce: int, anchor_pid: int, *, spared: Callable[[], set[int | None]]) -> None:
        self._nonce, self._anchor_pid, self._spared = nonce, anchor_pid, spared
        self._loop = asyncio.get_running_loop()
        self._seen: dict[int, list[kernel.Stat]] | None = None

    async def sweep(self, number: int) -> list[Orphan]:
        """Kill everything that carries the brand of this spawn; return when none of it is alive."""
        swept: dict[int, Orphan] = {}
        pause = 0.0
        while True:
            found = self.of(number)
            if not found:
                return list(swept.values())
            # Stopped first, so that none of them forks while we go through them; then killed, children included.
            everything = found + [
                below for root in found for pid in kernel.descendants(root.pid) if (below := kernel.stat(pid))
            ]
            for each in everything:
                send(each.pid, each.start, signal.SIGSTOP)
            for each in everything:
                if each.state not in "ZX":
                    swept.setdefault(each.pid, Orphan(each.pid, each.command))
                send(each.pid, each.start, signal.SIGKILL)
            pause = min(pause * 2 + 0.001, 0.05)
            await asyncio.sleep(pause)

    def kill_embryos(self) -> None:
        """Of all templates: each makes another. What a stuck one would have taken is taken by the next."""
        for pid in kernel.children_of_one_thread(self._anchor_pid):
            self.kill_embryo(pid)

    def kill_embryo(self, pid: int, *, states: str = "") -> None:
        """If it is one still, and (if any are given) in one of these states. Its template makes another."""
        now = kernel.stat(pid) if kernel.read_brand(pid) == kernel.brand(self._nonce, 0) else None
        if now is not None and now.command.startswith(EMBRYO) and (not states or now.state in states):
            send(pid, now.start, signal.SIGKILL)

    def of(self, number: int) -> list[kernel.Stat]:
        """The children of the anchor that carry this brand and are nobody's; one look serves all who ask in a turn."""
        if self._seen is None:
            self._seen = self._look()
            self._loop.call_soon(self._forget)
        return self._seen.get(number, [])

    def _forget(self) -> None:
        self._seen = None

    def _look(self) -> dict[int, list[kernel.Stat]]:
        spared = self._spared()
        found: dict[int, list[kernel.Stat]] = {}
        for pid in kernel.children_of_one_thread(self._anchor_pid):
            if pid in spared:
                continue
            value = kernel.read_brand(pid)
            if value is None or (value >> 32) & 0xFFFFFF != self._nonce or not value & 0xFFFFFFFF:
                continue  # number 0: an embryo or another of our own programs
            now = kernel.stat(pid)
            if now is not None and now.state not in "ZX":
                found.setdefault(value & 0xFFFFFFFF, []).append(now)
        return found


def send(pid: int, start: int, number: int) -> bool:
    """A signal to the process that is (pid, start), and to no other; False if it is gone, or another user's."""
    pidfd = kernel.open_pidfd(pid, start)
    if pidfd is None:
        return False
    try:
        return kernel.send_signal(pidfd, number)
    except PermissionError:
        return False
    finally:
        os.close(pidfd)
