"""A thread for what may take its time: callbacks of futures, and pickling once more. Started by the first errand."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_S = 10.0  # seconds without an errand after which the thread ends


class Errands:
    """Run in order, one at a time; an exception of one is shown and ends none of the others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()  # None: look around
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, errand: Callable[[], object]) -> None:
        """Run it soon."""
        self._waiting.put(errand)
        if self._thread is None:  # it says so before it looks for the last time
            with self._lock:
                if self._thread is None:
                    self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        thread.start()
        self._thread = thread  # if we are interrupted before, it finds that it is nobody's

    def leave(self) -> None:
        """End when all are done. What is added later is done all the same."""
        self._is_closed = True
        self._waiting.put(None)

    def close(self) -> None:
        """Wait until all are done, and the thread has ended."""
        self.leave()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        with self._lock:
            is_wanted = self._thread is threading.current_thread()
        while is_wanted:
            try:
                errand = self._waiting.get(timeout=0.0 if self._is_closed else IDLE_S)
            except queue.Empty:
                with self._lock:
                    self._thread = None
                    if self._waiting.empty():
                        return
                    self._thread = threading.current_thread()
                continue
            if errand is not None:
                self._do(errand)
            del errand

    @staticmethod
    def _do(errand: Callable[[], object]) -> None:
        try:
            errand()
        except BaseException:  # noqa: BLE001 there is nobody else to tell; `exit()` in a callback ends nothing
            with contextlib.suppress(Exception):
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
