"""Something to wait for that happens once; waiting for it may be interrupted anywhere.

A signal handler may raise between any two steps of the main thread: KeyboardInterrupt is the usual case. Entering a
`threading.Condition` is written in Python, so an exception can come after the lock was taken and before the `with` block has
begun, and everybody else waits for ever. So, here and wherever else the main thread comes by:

- Locks are those of `_thread` (Lock, RLock), which are entered in one step.
- No loop stands in a `with` or `try` that has something to undo, but in a function called there: from Python 3.12 on what is
  raised at the end of a turn of a loop is not seen by the block around the loop.
- What must not stop half way is not done in the callers' threads: see `Dispatcher.ask`.
"""

from __future__ import annotations

import threading
from collections import deque


class Latch:
    """Closed at first, and then open for ever."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: deque[threading.Lock] = deque()

    def open(self) -> None:
        """Let everybody go."""
        self.is_open = True
        while self._waiting:
            self._waiting.popleft().release()

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is open, at most `timeout` seconds; whether it is."""
        mine = threading.Lock()
        mine.acquire()  # until `open` releases it
        self._waiting.append(mine)
        if self.is_open:  # perhaps since before it could be seen that we wait
            return True
        return mine.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX))
