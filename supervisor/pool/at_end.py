"""What becomes of pools when their program ends, or forks."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.pool.dispatcher import Dispatcher

open_pools: weakref.WeakSet[Dispatcher] = weakref.WeakSet()
dropped_pools: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


def _at_exit() -> None:
    """As with every executor the program ends when its tasks are done; after Ctrl-C it just ends."""
    interrupted = isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)
    for dispatcher in list(open_pools):
        now = interrupted or dispatcher in dropped_pools
        with contextlib.suppress(KeyboardInterrupt):
            dispatcher.closing.close(cancel=now, now=now)
            dispatcher.closing.wait()
            continue
        dispatcher.closing.close(cancel=True, now=True)
        dispatcher.closing.wait()


def _in_child() -> None:
    for dispatcher in list(open_pools):
        dispatcher.closing.disown()
    open_pools.clear()


os.register_at_fork(after_in_child=_in_child)
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # noqa: SLF001 before threads are joined, as concurrent.futures does
