"""The line that tells how far a map is."""

from __future__ import annotations

import sys
import time


class Progress:
    """How far it is, on one line of stderr, if that is a terminal; else only at the end."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = self._failed = 0
        self._began = time.monotonic()
        self._shown = 0.0
        self._is_terminal = sys.stderr.isatty()

    def add(self, done: int, failed: int) -> None:
        """So many items more."""
        self._done += done
        self._failed += failed
        now = time.monotonic()
        if self._is_terminal and now - self._shown > 0.1:
            self._shown = now
            print(f"\r{self._line()}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """The last word."""
        start, stop = ("\r", "\x1b[K") if self._is_terminal else ("", "")
        print(f"{start}{self._line()}{stop}", file=sys.stderr, flush=True)

    def _line(self) -> str:
        seconds = time.monotonic() - self._began
        rate = self._done / seconds if seconds else 0.0
        of = f" of {self._total:,} ({self._done / self._total:.0%})" if self._total else ""
        failed = f", {self._failed:,} failed" if self._failed else ""
        left = (
            f", {(self._total - self._done) / rate:.0f} s left"
            if self._total and rate and self._done < self._total
            else ""
        )
        return f"{self._done:,}{of} in {seconds:.1f} s, {rate:,.0f} a second{failed}{left}"
