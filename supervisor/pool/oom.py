"""Whether the kernel has killed a worker for want of memory. It counts its kills; whom they hit it does not say."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RECENT = 1.0  # seconds: workers killed together are buried one after the other


def kills() -> int:
    """Kills in our control group and below it; where that is not told, on the whole machine."""
    for path in (f"/sys/fs/cgroup{_group()}/memory.events", "/proc/vmstat"):
        _, found, rest = _read(path).partition(b"\noom_kill ")
        if found:
            return int(rest.partition(b"\n")[0])
    return 0


class Kills:
    """Those nobody has died of yet."""

    def __init__(self, *, count: Callable[[], int] = kills, clock: Callable[[], float] = time.monotonic) -> None:
        self._count, self._clock = count, clock
        self._counted = count()
        self._unclaimed = 0
        self._seen_at = 0.0

    def claim(self) -> bool:
        """Whether somebody who was killed by SIGKILL, a moment ago, will have been one of them; each is one death's only."""
        now, counted = self._clock(), self._count()
        if now - self._seen_at > RECENT:
            self._unclaimed = 0
        if counted > self._counted:
            self._unclaimed += counted - self._counted
            self._counted, self._seen_at = counted, now
        is_one = self._unclaimed > 0
        self._unclaimed -= is_one
        return is_one


def _group() -> str:
    """Our control group's path (v2), "/" if there is none."""
    _, found, rest = (b"\n" + _read("/proc/self/cgroup")).partition(b"\n0::")
    return os.fsdecode(rest.partition(b"\n")[0]) if found else "/"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
