"""Arguments that take their time, exceptions that refuse, and what a task sees of the worker it is in."""

from __future__ import annotations

import dataclasses
import os
import random
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor import kernel
from tests.real.pool_tasks import ENDS, FOREVER, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

# -- on the way -------------------------------------------------------------------------------------------------------


class Slow:
    """A number that takes so many seconds to be pickled, or until a file is there; it says so in another."""

    def __init__(self, number: int, *, seconds: float = 0.0, gate: str = "", begun: str = "") -> None:
        self.number, self.seconds, self.gate, self.begun = number, seconds, gate, begun

    def __reduce__(self) -> tuple[Callable[[int], int], tuple[int]]:
        if self.begun:
            open(self.begun, "w").close()
        time.sleep(self.seconds)
        if self.gate:
            wait_for(self.gate)
        return int, (self.number,)


class SlowToOpen:
    """A number that takes so many seconds to be unpickled."""

    def __init__(self, number: int, seconds: float) -> None:
        self.number, self.seconds = number, seconds

    def __reduce__(self) -> tuple[Callable[[int, float], int], tuple[int, float]]:
        return opened_slowly, (self.number, self.seconds)


def opened_slowly(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


def with_pid(number: int) -> tuple[int, int]:
    return number, os.getpid()


def slow_result(number: int, gate: str, begun: str) -> Slow:
    """Its worker is at the pickling of it until that file is there."""
    return Slow(number, gate=gate, begun=begun)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Refuses every assignment, those of a cause and a traceback included."""

    code: int

    def __reduce__(self) -> tuple[type[Frozen], tuple[int]]:
        return Frozen, (self.code,)


def raise_frozen(code: int) -> None:
    raise Frozen(code) from KeyError(code)


# -- what there is a lot of -------------------------------------------------------------------------------------------


_CYCLE = b"0123456789?"  # a prime length: a piece that is not in its place is another one


def cycle(size: int) -> bytes:
    """So many bytes, a multiple of eleven, of which any ten say where they stand to within eleven."""
    return _CYCLE * (size // len(_CYCLE))


def in_cycle(at: int) -> bytes:
    """What stands there: ten bytes."""
    return bytes(_CYCLE[place % len(_CYCLE)] for place in range(at, at + 10))


def pieces(data: bytes, where: list[int]) -> tuple[int, list[bytes]]:
    """How many bytes there are, and ten of them at each of these places."""
    return len(data), [data[at : at + 10] for at in where]


_kept: list[bytes] = []


def keep(data: bytes) -> None:
    """An initializer."""
    _kept.append(data)


def pieces_of_kept(where: list[int]) -> tuple[int, list[bytes]]:
    return pieces(_kept[0], where)


def size_of(data: bytes) -> int:
    return len(data)


class Circle:
    """Garbage that only a collector finds."""

    def __init__(self, size: int) -> None:
        self.memory = bytearray(os.urandom(1) * size)
        self.itself = self


def double_and_litter(number: int, size: int) -> tuple[int, int, int]:
    """Twice the number, our pid, and how many bytes of memory we have; we leave a circle of so many bytes behind."""
    Circle(size)
    return 2 * number, os.getpid(), own_rss()


def own_rss() -> int:
    now = kernel.stat(os.getpid())
    assert now is not None
    return now.rss_bytes


def hang_beside(_: object) -> None:
    time.sleep(FOREVER)


def zeros(size: int) -> bytes:
    return bytes(size)


def no_large_files(size: int) -> None:
    """From now on no file of ours may be larger, nor a segment."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


# -- where we are -----------------------------------------------------------------------------------------------------


def shared_with_others() -> tuple[set[str], set[str]]:
    """What we could block another process by: descriptors beyond the standard ones, and shared mappings we may write to."""
    names = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found = os.stat(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # that of listdir
            continue
        if int(fd) > 2:
            names.add(f"{os.readlink(f'/proc/self/fd/{fd}')} {found.st_dev}:{found.st_ino}")
    mappings = set()
    with open("/proc/self/maps") as file:
        for line in file:
            words = line.split()
            if words[1].startswith("rw") and words[1].endswith("s"):
                mappings.add(" ".join(words[3:]))
    return names, mappings


def pid_and_shared(_number: int) -> tuple[int, tuple[set[str], set[str]]]:
    return os.getpid(), shared_with_others()


def drawn(folder: str, count: int) -> tuple[int, list[float]]:
    """Our pid and what chance gives us: of Python, of NumPy if we have it. So many of us draw, each in its own process."""
    open(f"{folder}/{os.getpid()}", "w").close()
    deadline = time.monotonic() + 30
    while len(os.listdir(folder)) < count and time.monotonic() < deadline:
        time.sleep(0.002)
    numbers = [random.random()]
    if "numpy" in sys.modules:
        import numpy as np  # noqa: PLC0415

        numbers.append(float(np.random.random()))  # noqa: NPY002 the global one is what a fork copies
    return os.getpid(), numbers


def is_in_a_segment(address: int) -> bool:
    """Whether that address of ours is mapped from a memfd, and not memory it was copied to."""
    with open("/proc/self/maps") as file:
        for line in file:
            first, _, last = line.split()[0].partition("-")
            if int(first, 16) <= address < int(last, 16):
                return "memfd:" in line
    return False


def addresses(table: Any) -> list[int]:
    """Where the numbers of an array, a pandas DataFrame or an Arrow table lie."""
    if hasattr(table, "ctypes"):
        return [table.ctypes.data]
    if hasattr(table, "to_numpy"):
        return [table[name].to_numpy(copy=False).ctypes.data for name in table]
    return [chunk.buffers()[1].address for column in table.columns for chunk in column.chunks]


def where_it_lies(table: Any) -> list[bool]:
    """Of each of its columns: whether it is in a segment."""
    return [is_in_a_segment(address) for address in addresses(table)]


def spoilt(frame: Any) -> tuple[float, float]:
    """The first number of a column before and after we have written to it."""
    before = float(frame.loc[0, "b"])
    frame.loc[0, "b"] = -1.0
    return before, float(frame.loc[0, "b"])


def look_and_end(handle: Any, how: str) -> None:
    """With what was shared in hand."""
    held = handle.get()
    ENDS[how]()
    del held
