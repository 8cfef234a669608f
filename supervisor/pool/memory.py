"""How much memory may still be taken: by this machine, and by every control group we are in.

Asked before a segment is made, because nothing asks afterwards: the kernel kills. Linux with cgroup v2; limits of v1 are
not looked at, nor swap, which would only put off the end.
"""

from __future__ import annotations

import os

PROC = "/proc"
ROOT = "/sys/fs/cgroup"
RESERVE = 32 << 20  # bytes that others are left


def headroom() -> tuple[int, str]:
    """Bytes that may still be taken, and what sets that limit, in words."""
    found = [_of_machine(), *_of_groups()]
    return min(found)


def check(size: int) -> None:
    """Raises MemoryError, with figures, if `size` bytes more are not there."""
    room, what = headroom()
    if size > room - RESERVE:
        raise MemoryError(f"{size:,} bytes are needed, and {max(room, 0):,} are left ({what}; {RESERVE:,} stay free)")


def _of_machine() -> tuple[int, str]:
    with open(f"{PROC}/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"MemAvailable:"):
                room = int(line.split()[1]) * 1024
                return room, f"MemAvailable is {room:,}"
    raise OSError(f"{PROC}/meminfo says nothing of MemAvailable")


def _of_groups() -> list[tuple[int, str]]:
    """Of our own group and all above it, those with a limit."""
    found = []
    root, group = _own_group()
    while group.strip("/"):
        folder = root + group
        current = _number(f"{folder}/memory.current")
        for name in ("memory.max", "memory.high"):
            limit = _number(f"{folder}/{name}")
            if limit is not None and current is not None:
                # Its page cache can be dropped, so it counts as current but not as taken.
                room = limit - current + _droppable(folder)
                found.append((room, f"{name} of {folder} is {limit:,}, memory.current {current:,}"))
        group = os.path.dirname(group)
    return found


def _own_group() -> tuple[str, str]:
    try:
        with open(f"{PROC}/self/cgroup") as file:
            for line in file:
                if line.startswith("0::"):
                    return _mount(), line[3:].rstrip("\n")
    except OSError:
        pass
    return ROOT, "/"


def _mount() -> str:
    """Where cgroup v2 is mounted: beside v1 it has a folder of its own."""
    unified = f"{ROOT}/unified"
    return unified if os.path.exists(f"{unified}/cgroup.procs") else ROOT


def _droppable(folder: str) -> int:
    try:
        with open(f"{folder}/memory.stat", "rb") as file:
            fields = dict(line.split() for line in file)
    except (OSError, ValueError):
        return 0
    return int(fields.get(b"inactive_file", 0)) + int(fields.get(b"active_file", 0))


def _number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):  # not there (v1, the root group), or "max"
        return None
