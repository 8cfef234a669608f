"""cpu: the worker burns CPU beside its work, in threads, which take the GIL from it, or in processes, which do not."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.chaos.aside import Beside
    from workers.chaos import Act

PERIOD = 0.05  # seconds, of which `load` percent are busy

FAULT = Fault(
    kind="cpu",
    place=INSIDE,
    summary="threads or children of the worker are busy",
    ends=MAYBE,
    detected="not at all while its beats come within beat_within; worker.starved where it waits for a CPU, worker.hung later",
    lasting=True,
    undone="the threads return, the children are killed",
    parameters=(
        Parameter("load", "number", 100.0, "percent of one CPU, each", low=1, high=100),
        Parameter("n", "count", 1, "how many", low=1, high=64),
        Parameter("how", "word", "threads", "threads: they share the GIL with it; processes: they do not",
                  words=("threads", "processes")),
    ),
)  # fmt: skip


def begin(act: Act) -> None:
    """Returns when all of them are at it."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    busy = PERIOD * act.parameters["load"] / 100
    at_it = act.kept["at it"] = []
    for _ in range(int(act.parameters["n"])):
        if act.over:
            return
        if act.parameters["how"] == "threads":
            at_it.append(aside.Beside(lambda thread: _burn_in_thread(thread, busy)))
        else:
            at_it.append(aside.fork(lambda: _burn(busy, _sleep), dies_with_us=True))


def _burn_in_thread(thread: Beside, busy: float) -> None:
    _burn(busy, thread.pause)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _burn(busy: float, pause: Callable[[float], bool]) -> None:
    over = False
    while not over:
        until = time.monotonic() + busy
        while time.monotonic() < until:
            pass
        over = pause(PERIOD - busy)


def end(act: Act) -> None:
    """All of them, and what is left of a child."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    at_it: list[Beside | int] = act.kept.get("at it", [])
    gone, at_it[:] = list(at_it), []
    children = [each for each in gone if isinstance(each, int)]
    for pid in children:
        with contextlib.suppress(ChildProcessError):  # the worker's own code has reaped it
            if os.waitpid(pid, os.WNOHANG)[0] == 0:  # ours still, so nobody else's number
                os.kill(pid, signal.SIGKILL)
    for each in gone:
        if not isinstance(each, int):
            each.end()
    aside.reap(children)
