"""hb-slow: what the worker's heart says arrives late, as over a slow line; its stamps tell how late."""

from __future__ import annotations

import random
from _queue import Empty, SimpleQueue  # not queue: a signal's handler must find no lock of Python's
from time import monotonic

from supervisor.chaos import aside, tamper
from supervisor.chaos.fault import INSIDE, MAYBE, Fault, Parameter
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.chaos import Act

AGAIN = 0.02  # seconds until a full pipe is tried again

FAULT = Fault(
    kind="hb-slow",
    place=INSIDE,
    summary="the worker's beats arrive late",
    ends=MAYBE,
    detected="when delay and jitter are above beat_within: worker.hung, and it is put down; not at all below it",
    lasting=True,
    undone="what was held back is sent, and from then on all at once",
    parameters=(
        Parameter("delay", "seconds", 1.0, "how late", high=3600),
        Parameter(
            "jitter", "seconds", 0.0, "and up to so much later, each by chance; none overtakes another", high=3600
        ),
        Parameter("seed", "count", 0, "of that chance"),
    ),
)


class Line(tamper.Layer):
    """A slow one, with a thread at its end."""

    def __init__(self, delay: float, jitter: float, seed: int) -> None:
        self._delay, self._jitter = delay, jitter
        self._random = random.Random(seed)  # noqa: S311 - to be had again
        self._held: SimpleQueue[tuple[float, bytes, Callable[[bytes], None]]] = SimpleQueue()
        self._last = 0.0
        self.thread = aside.Beside(self._carry)

    def sends(self, data: bytes, onward: Callable[[bytes], None]) -> None:
        """Later."""
        self._last = max(self._last, monotonic() + self._delay + self._jitter * self._random.random())
        self._held.put((self._last, data, onward))

    def _carry(self, thread: aside.Beside) -> None:
        while not thread.over or not self._held.empty():
            try:
                due, data, onward = self._held.get(timeout=AGAIN)
            except Empty:
                continue
            while not thread.pause(due - monotonic()) and monotonic() < due:
                pass
            while not _sent(data, onward) and not thread.over:
                thread.pause(AGAIN)


def _sent(data: bytes, onward: Callable[[bytes], None]) -> bool:
    try:
        onward(data)
    except BlockingIOError:
        return False
    except OSError:  # nobody listens any more
        return True
    return True


def begin(act: Act) -> None:
    """From the next beat on."""
    delay, jitter, seed = (act.parameters[name] for name in ("delay", "jitter", "seed"))
    act.kept["layer"] = layer = Line(delay, jitter, seed)
    tamper.put_on(act.heart, layer)


def end(act: Act) -> None:
    """First no more of them, then what there is."""
    layer = act.kept.get("layer")
    if layer is not None:
        tamper.take_off(act.heart, layer)
        layer.thread.end()
