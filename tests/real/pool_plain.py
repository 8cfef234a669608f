"""Sensible tasks, and inputs that tell how much of them was taken, for the tests of the pool's interface."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.real import pool_tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Odd(Exception):
    """Raised by tasks."""


class Unwilling:
    """Does not pickle, and says so."""

    def __reduce__(self) -> str:
        raise Odd("I stay")


class Counted:
    """An iterator that knows how many were taken from it; it raises after `fails_after`."""

    def __init__(self, items: Iterable[Any], *, fails_after: int | None = None) -> None:
        self._items = iter(items)
        self.taken = 0
        self._fails_after = fails_after

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.taken == self._fails_after:
            raise Odd("no more of those")
        item = next(self._items)
        self.taken += 1
        return item


def odd_is_wrong(number: int) -> int:
    if number % 2:
        raise Odd(number)
    return number


def add(*numbers: int) -> int:
    return sum(numbers)


def tell(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def tell_with_pid(number: int) -> tuple[int, int]:
    return number, os.getpid()


def first_waits(job: tuple[int, str]) -> int:
    """The first one waits until that file is there."""
    number, gate = job
    if number == 0:
        pool_tasks.wait_for(gate)
    return number


def note_and_wait(job: tuple[int, str, str]) -> int:
    """The first item is done at once; all others leave a note and wait for the gate."""
    number, gate, path = job
    if number:
        pool_tasks.note(path)
        pool_tasks.wait_for(gate)
    return number


def note_number(job: tuple[int, str]) -> int:
    """Says in a file that it was run."""
    number, path = job
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def numbers_in(path: str) -> list[int]:
    with open(path) as file:
        return [int(line) for line in file]


_initialized: list[Any] = []


def remember(*what: Any) -> None:
    _initialized.extend(what)


def remembered() -> list[Any]:
    return _initialized


def remembered_sum() -> float:
    """Of an array that the initializer was given, after it was written to."""
    array = _initialized[0]
    array[0] = 5.0
    return float(array.sum())


def until_together(count: int, folder: str) -> bool:
    """Whether so many of us were at work at once: each leaves a file and waits for the others'."""
    open(f"{folder}/{os.getpid()}", "w").close()
    deadline = time.monotonic() + 30
    while len(os.listdir(folder)) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def inner_pool(count: int) -> list[int]:
    """A pool within a worker."""
    from supervisor.pool import Pool  # noqa: PLC0415 in the worker

    with Pool(1, standby=0) as pool:
        return list(pool.map(pool_tasks.double, range(count)))


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def modules(*names: str) -> list[bool]:
    """Which of these are imported already."""
    import sys  # noqa: PLC0415

    return [name in sys.modules for name in names]


def hoard(mebibytes: int) -> int:
    """Keeps so much more memory, for good; and tells who did."""
    _initialized.append(bytearray(mebibytes << 20))
    return os.getpid()


def sum_of_shared(handles: list[Any]) -> int:
    return sum(handle.get() for handle in handles)


def wait_and_make_list(gate: str) -> list[int]:
    pool_tasks.wait_for(gate)
    return [1, 2, 3]


class Weak:
    """Something that can be looked at without being held."""


def length_of(table: Any, _number: int) -> int:
    return len(table.get())


def large_maps(size: int) -> int:
    """Mappings of files of this process that are as long as that, to within a page."""
    found = 0
    with open("/proc/self/maps") as file:
        for line in file:
            first, _, last = line.split()[0].partition("-")
            found += "memfd" in line and 0 <= int(last, 16) - int(first, 16) - size < 65536
    return found


def add_one_in_place(array: Any, _number: int = 0) -> Any:
    array += 1
    return array
