"""What workers of a pool are given to do in these tests: sensible things, and everything that ends a process.

A module of its own, so that workers import it by name. Nothing here sleeps to be in time: what hangs hangs for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

FOREVER = 600  # seconds: longer than any test
_libc = ctypes.CDLL(None)


class Odd(Exception):
    """Raised by tasks."""


# -- sensible ---------------------------------------------------------------------------------------------------------


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def echo(value: Any) -> Any:
    return value


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def wait_for(path: str) -> int:
    """Until that file is there."""
    while not os.path.exists(path):
        time.sleep(0.002)
    return os.getpid()


def wait_for_if_called(name: str, path: str) -> None:
    """As `wait_for`, in the process of that name (`ps -o comm`) only."""
    with open("/proc/self/comm") as file:
        if file.read().strip() == name:
            wait_for(path)


def note(path: str) -> None:
    """One line more in a file that outlives us."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


def noted(path: str) -> list[int]:
    """The pids in there."""
    try:
        with open(path) as file:
            return [int(line) for line in file]
    except FileNotFoundError:
        return []


# -- ends of a process ------------------------------------------------------------------------------------------------


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(0)


def leave_through_libc() -> None:
    _libc.exit(0)


def leave_with_three() -> None:
    os._exit(3)


def give_up() -> None:
    sys.exit("enough")


def interrupt() -> None:
    raise KeyboardInterrupt


def complain() -> None:
    raise Odd("as asked")


ENDS: dict[str, Callable[[], None]] = {
    act.__name__: act for act in (kill, segfault, abort, leave, leave_through_libc, give_up, interrupt, complain)
}


class Bomb:
    """Something that ends its process at a certain moment: "pickle" or "unpickle"; `only_in`: there and nowhere else."""

    def __init__(self, moment: str, end: str, *, spares: int = 0) -> None:
        self.moment, self.end, self.spares = moment, end, spares

    def __getstate__(self) -> dict[str, Any]:
        if self.moment == "pickle":
            self.go_off()
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.moment == "unpickle":
            self.go_off()

    def go_off(self) -> None:
        if os.getpid() != self.spares:
            ENDS[self.end]()


class SecondTimeBomb:
    """Ends every process it is unpickled in but the first, and one that it spares."""

    def __init__(self, path: str, *, spares: int) -> None:
        self.path, self.spares = path, spares

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if os.getpid() != self.spares:
            note(self.path)
            if os.getpid() != noted(self.path)[0]:
                kill()

    def __call__(self, item: int) -> int:
        return item


class DeathBed:
    """Ends its process when it is let go of, if that is a worker."""

    def __init__(self, end: str) -> None:
        self.end = end
        self.made_by = os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.made_by:
            ENDS[self.end]()


def end(how: str) -> None:
    ENDS[how]()


def make_bomb(moment: str, how: str) -> Bomb:
    """A result that goes off while it is pickled here, or unpickled there."""
    return Bomb(moment, how, spares=os.getpid() if moment == "unpickle" else 0)


def end_if(number: int, poison: int, how: str = "kill") -> int:
    if number == poison:
        ENDS[how]()
    return 2 * number


def end_noted(path: str, how: str) -> None:
    """Says in a file that it has begun, and ends."""
    note(path)
    ENDS[how]()


def end_until(path: str, times: int, how: str) -> int:
    """Ends its process the first few times."""
    note(path)
    if len(noted(path)) <= times:
        ENDS[how]()
    return len(noted(path))


def kill_other(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


# -- exceptions and results with a will of their own ------------------------------------------------------------------


class TakesTwo(Exception):
    """Pickles, and does not unpickle: its arity is not that of its args."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")
        self.second = second


class HasALock(Exception):
    """Does not pickle."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def raise_takes_two() -> None:
    raise TakesTwo("one", "two")


def raise_has_a_lock() -> None:
    raise HasALock("locked")


def return_lock() -> Any:
    return threading.Lock()


def return_lambda() -> Any:
    return lambda: None


def scribble_and_end(array: np.ndarray[Any, Any], path: str, how: str = "kill") -> float:
    """What the numbers add up to, after one attempt that has set them to -1 and died."""
    note(path)
    total = float(array.sum())
    array[:] = -1.0
    if len(noted(path)) == 1:
        ENDS[how]()
    return total


def append_and_end(numbers: list[int], path: str) -> int:
    """How many there are, after one attempt that has made them more and died."""
    note(path)
    length = len(numbers)
    numbers.extend(range(1000))
    if len(noted(path)) == 1:
        kill()
    return length


def make_bomb_of(item: Any) -> Any:
    """What was given, if it is a number; else what it says."""
    return item if isinstance(item, int) else make_bomb(*item)


def note_and_perhaps_end(path: str, how: str) -> None:
    note(path)
    if how:
        ENDS[how]()


def end_with(how: str, _: object) -> None:
    ENDS[how]()


def size_of(array: np.ndarray[Any, Any]) -> int:
    return array.nbytes


def wait_in_turn(path: str, times: int) -> int:
    """Says it has begun, and hangs the first of two times."""
    note(path)
    if len(noted(path)) < 2 * times:
        time.sleep(FOREVER)
    return len(noted(path))


def double_slowly(number: int) -> int:
    time.sleep(0.0002)
    return 2 * number


def note_slowly(path: str) -> None:
    note(path)
    time.sleep(0.002)
