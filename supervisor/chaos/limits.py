"""Limits of a worker's process, read and set from outside. Only the soft ones: the hard ones could not be put back."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from supervisor import kernel
from supervisor.chaos.fault import GONE, Impossible

if TYPE_CHECKING:
    from supervisor.process import Process



def soft(process: Process, number: int) -> int:
    """The soft limit of this resource; raises Impossible."""
    return _limit(process, number)[0]


def set_soft(process: Process, number: int, value: int) -> None:
    """Another soft limit, at most the hard one; raises Impossible."""
    hard = _limit(process, number)[1]
    _set(process.pid or 0, number, (value, hard))


def put_back(process: Process, number: int, *, ours: int, was: int) -> int:
    """Put the soft limit back where it is still the one we have set, in the process and all below it; in how many it was.

    What a worker has forked meanwhile got our limit with its birth.
    """
    _check(process)
    pid = process.pid or 0
    found = 0
    for each in (pid, *kernel.descendants(pid)):
        try:
            now = resource.prlimit(each, number)
        except OSError:
            continue
        if now[0] == ours:
            _set(each, number, (was, now[1]))
            found += 1
    return found


def _limit(process: Process, number: int) -> tuple[int, int]:
    _check(process)
    try:
        return resource.prlimit(process.pid or 0, number)
    except ProcessLookupError:
        raise Impossible(GONE) from None
    except PermissionError:
        raise Impossible("its limits are not ours to change: it runs as another user") from None


def _set(pid: int, number: int, value: tuple[int, int]) -> None:
    try:
        resource.prlimit(pid, number, value)
    except ProcessLookupError:
        raise Impossible(GONE) from None
    except PermissionError:
        raise Impossible("its limits are not ours to change: it runs as another user") from None


def _check(process: Process) -> None:
    """The number of a process that has ended may be another's by now."""
    if process.pid is None or process.exit.done() or kernel.start_of(process.pid) != process.start:
        raise Impossible(GONE)
