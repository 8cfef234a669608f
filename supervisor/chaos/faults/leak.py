"""leak: the worker's memory grows, and is really used, up to a ceiling."""

from __future__ import annotations

import mmap
import resource
import time

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.chaos.aside import Beside
    from workers.chaos import Act

MIB = 1024 * 1024
TICK = 0.02  # seconds between two pieces
HEADROOM = 2 * MIB  # below the limit of `limit`: for the hook itself, which has to hear that it is over

FAULT = Fault(
    kind="leak",
    place=INSIDE,
    summary="the worker's memory grows at a rate up to a ceiling",
    ends=MAYBE,
    detected="memory.max or RLIMIT_AS, where there is one: worker.ended, by oom-kill or with a MemoryError; else not at all",
    lasting=True,
    undone="what was taken is given back to the kernel, and the limit it had is set again",
    parameters=(
        Parameter("rate", "size", 32 * MIB, "bytes a second", low=4096, high=2**40),
        Parameter("ceiling", "size", 128 * MIB, "bytes, and never one more", low=4096, high=2**40),
        Parameter("then", "word", "hold", "at the ceiling: hold it; memory-error: raise MemoryError in its main thread; "
                  "limit: RLIMIT_AS, so that it gets no more itself", words=("hold", "memory-error", "limit")),
    ),
)  # fmt: skip

_limiting: list[Act] = []  # at most one: two could not put the limit back each in its own time


def begin(act: Act) -> None:
    """A thread does it."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    if act.parameters["then"] == "limit":
        if _limiting:
            raise OSError("another leak is to set its RLIMIT_AS already")
        _limiting.append(act)
        act.kept["limits"] = resource.getrlimit(resource.RLIMIT_AS)
    act.kept["thread"] = aside.Beside(lambda thread: _leak(act, thread))


def _leak(act: Act, thread: Beside) -> None:
    rate, ceiling = act.parameters["rate"], _pages(act.parameters["ceiling"])
    held: list[mmap.mmap] = []
    taken, began = 0, time.monotonic()
    try:
        while taken < ceiling and not thread.pause(TICK):
            owed = min(ceiling, rate * (time.monotonic() - began)) - taken
            size = min(_pages(owed), 16 * MIB)  # no piece so large that the GIL is held for long
            if size:
                held.append(_used(size))
                taken += size
    except (OSError, MemoryError):  # a limit of its own is nearer than the ceiling: that is the ceiling then
        pass
    if not thread.over:
        _reached(act)
    while not thread.pause(1.0):
        pass
    for piece in held:
        piece.close()


def _pages(size: float) -> int:
    return int(size) // mmap.PAGESIZE * mmap.PAGESIZE


def _used(size: int) -> mmap.mmap:
    # A mapping of our own: what malloc is given back it may keep.
    piece = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, mmap.PAGESIZE):
        piece[at] = 1
    return piece


def _reached(act: Act) -> None:
    match act.parameters["then"]:
        case "memory-error":
            act.throw(MemoryError(f"chaos: a leak has reached its ceiling of {act.parameters['ceiling']:.0f} bytes"))
        case "limit":
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * mmap.PAGESIZE
            soft, hard = act.kept["limits"]
            least = [limit for limit in (size + HEADROOM, soft, hard) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min(least), hard))


def end(act: Act) -> None:
    """The limit first: to end a thread takes a little memory too; and once more, should it just have set it."""
    _lift(act)
    thread = act.kept.pop("thread", None)
    if thread is not None:
        thread.end()
    _lift(act)
    if act in _limiting:
        _limiting.remove(act)


def _lift(act: Act) -> None:
    if "limits" in act.kept:
        resource.setrlimit(resource.RLIMIT_AS, act.kept["limits"])
