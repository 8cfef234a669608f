"""Dies after some seconds, as it is told: by an exception, an exit code, a segmentation fault or a signal."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(heart: Heart, *, how: str = "raise", after: float = 1.0, code: int = 1) -> None:
    """how: raise, exit (with `code`), segfault, abort, kill, or none (a clean end)."""
    heart.ready(f"will {how}")
    if heart.wait(after):
        return
    if how == "raise":
        raise RuntimeError("crasher: as asked")
    if how == "exit":
        sys.exit(code)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "abort":
        os.abort()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
