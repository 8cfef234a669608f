"""Ignores SIGTERM, so that only the SIGKILL after the grace ends it; it gives up by itself in the end."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(heart: Heart, *, every: float = 0.1, seconds: float = 600.0) -> None:
    """Beat `every` so many seconds, for `seconds`, whatever is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    heart.ready("not listening")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        heart.wait(every)
        heart.beat()
