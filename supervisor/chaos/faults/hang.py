"""hang: the worker's main thread gets on no more, while the process lives and looks busy or asleep."""

from __future__ import annotations

from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="hang",
    place=INSIDE,
    summary="the worker's main thread hangs: in a loop, in C with the GIL held, or in a deadlock",
    ends=MAYBE,
    detected="no beat within beat_within: worker.hung with its stacks, and it is put down",
    lasting=True,
    undone="the loop, the call or the lock is left",
    parameters=(
        Parameter("how", "word", "loop", "loop: Python, busy; gil: in C, GIL held; deadlock: waits for its own lock",
                  words=("loop", "gil", "deadlock")),
    ),
)  # fmt: skip


def begin(act: Act) -> None:
    """Does not return before it is undone."""
    act.has_begun()
    match act.parameters["how"]:
        case "gil":
            _hold_the_gil(act)
        case "deadlock":
            _wait_for_own_lock(act)
        case _:
            while not act.over:
                pass


def _hold_the_gil(act: Act) -> None:
    import ctypes  # noqa: PLC0415 - only for this

    libc = ctypes.PyDLL(None)  # unlike CDLL it keeps the GIL during a call
    while not act.over:
        libc.sleep(3600)  # left early when a signal comes: the hook's own may be the end of this


def _wait_for_own_lock(act: Act) -> None:
    import threading  # noqa: PLC0415 - only for this

    lock = threading.Lock()
    act.kept["lock"] = lock
    lock.acquire()
    lock.acquire()


def end(act: Act) -> None:
    """Called from the signal's handler, within `begin`, which sees `act.over`."""
    lock = act.kept.pop("lock", None)
    if lock is not None:
        lock.release()
