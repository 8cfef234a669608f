"""A thread for what may take its time: callbacks of futures, and pickling once more. Started by the first errand."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_S = 10.0  # seconds without an errand after which the thread ends


class Errands:
    """Run in order, one at a time; an exception of one is shown and ends none of the others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[Callable[[], object]] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, errand: Callable[[], object]) -> None:
        """Run it soon."""
        with self._condition:
            self._waiting.append(errand)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            else:
                self._condition.notify()

    def leave(self) -> None:
        """End when all are done. What is added later is done all the same."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def close(self) -> None:
        """Wait until all are done, and the thread has ended."""
        self.leave()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting:
                    if self._is_closed or (not self._condition.wait(IDLE_S) and not self._waiting):
                        self._thread = None
                        return
                errand = self._waiting.popleft()
            try:
                errand()
            except BaseException:  # noqa: BLE001 there is nobody else to tell; `exit()` in a callback ends nothing
                with contextlib.suppress(Exception):
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            del errand
