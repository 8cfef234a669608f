"""What every child of a template does first, done in the template often enough that it costs the child nothing new.

An interpreter pays for code the first times it runs: it specialises bytecode in place, fills import caches, lists the
folders of sys.path. In a freshly forked child each of those writes copies a page as well. Done here, before the fork,
the result is shared: with NumPy preloaded the import of a worker's module takes 0.7 ms instead of 3, and a child has
0.4 MiB less of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from supervisor import kernel
from workers import wire
from workers.heart import Heart

if TYPE_CHECKING:
    from collections.abc import Callable

OFTEN = 24  # CPython specialises after 8 to 16 calls; a little more, for code that is reached on some of them only
SMALL = "workers.hello"  # a module to import again and again: pure, tiny, ours
NOWHERE = "ninelives_no_such_module"  # looking for it lists every folder of sys.path


def rehearse(often: int = OFTEN) -> None:
    """Leaves everything as it was, but for what the interpreter has learnt, and the pages a child will write to."""
    importlib.import_module("traceback")  # what a worker that fails needs
    importlib.util.find_spec(NOWHERE)
    threading = sys.modules.get("threading")
    forked: Callable[[], None] | None = getattr(threading, "_after_fork", None)
    with open(os.devnull, "wb", buffering=0) as nowhere:
        heart = Heart(nowhere.fileno(), name="rehearsal", beat_within=1.0)
        for _ in range(often):
            said = {"pid": os.getpid(), "start": kernel.own_start(), "spawn": SMALL}
            nowhere.write(wire.encode("hello", **said, heart=False, stacks=True))
            nowhere.write(wire.encode("started", at=round(time.monotonic(), 6)))
            signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
            heart.ready()
            heart.beat(progress=1)
            _import_again()
            if threading is not None and forked is not None and threading.active_count() == 1:
                forked()  # what the interpreter itself runs in every child; with one thread it changes nothing


def _import_again() -> None:
    kept = sys.modules.pop(SMALL, None)
    importlib.import_module(SMALL)
    if kept is not None:
        sys.modules[SMALL] = kept
