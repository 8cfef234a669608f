"""grandchild: a daemon that the worker has left behind, which holds its pipes open. Many a server reloads itself so."""

from __future__ import annotations

import os
import signal
import time

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

LIVES = 3660.0  # seconds: longer than any fault, but not for ever

FAULT = Fault(
    kind="grandchild",
    place=INSIDE,
    summary="the worker forks a daemon that holds its pipes open, and exits",
    ends=MAYBE,
    detected="the anchor reaps the worker though its pipes have no end: worker.ended; the daemon is found by its brand: "
    "worker.orphan_swept",
    lasting=True,
    undone="the daemon is killed",
    parameters=(
        Parameter("exit", "flag", True, "whether the worker exits when its daemon lives; if not, it shows at its end"),
        Parameter("code", "count", 1, "its exit code", high=255),
    ),
)  # fmt: skip


def begin(act: Act) -> None:
    """A child that is nobody's child any more when this goes on; then the end."""
    from supervisor.chaos import aside  # noqa: PLC0415 - only for this

    read, write = os.pipe()
    try:
        child = aside.fork(lambda: _be_forked_again(write), dies_with_us=False)
        os.close(write)
        write = -1
        told = os.read(read, 32)
        aside.reap([child])
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    if not told:
        raise OSError("its child could not fork")
    act.kept["daemon"] = os.pidfd_open(int(told))
    if act.parameters["exit"] and not act.over:
        act.has_begun()
        os._exit(act.parameters["code"])


def _be_forked_again(write: int) -> None:
    os.setsid()
    if os.fork():
        return
    os.write(write, str(os.getpid()).encode())
    os.close(write)
    time.sleep(LIVES)


def end(act: Act) -> None:
    """Not by its number: that may be another's by now."""
    daemon = act.kept.pop("daemon", None)
    if daemon is not None:
        try:
            signal.pidfd_send_signal(daemon, signal.SIGKILL)
        except ProcessLookupError:  # it was killed, or has died
            pass
        finally:
            os.close(daemon)
