"""How a worker of a pool ended, as the kernel told its root."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple


class Ending(NamedTuple):
    """Exactly one of exit_code and signal is a number. CPU times in seconds, memory at its highest in bytes."""

    pid: int
    exit_code: int | None
    signal: int | None
    dumped: bool = False
    utime_s: float = 0.0
    stime_s: float = 0.0
    maxrss_bytes: int = 0

    @classmethod
    def of(cls, pid: int, status: int, rusage: dict[str, float]) -> Ending:
        """From a wait status and what getrusage says."""
        used = (rusage["utime_s"], rusage["stime_s"], int(rusage["maxrss_bytes"]))
        if os.WIFSIGNALED(status):
            return cls(pid, None, os.WTERMSIG(status), os.WCOREDUMP(status), *used)
        return cls(pid, os.WEXITSTATUS(status), None, False, *used)

    def __str__(self) -> str:
        """In words: "killed by SIGSEGV (core dumped)", "exit code 3"."""
        if self.signal is None:
            return f"exit code {self.exit_code}"
        known = self.signal in set(signal.Signals)
        name = signal.Signals(self.signal).name if known else f"signal {self.signal}"
        return f"killed by {name}{' (core dumped)' if self.dumped else ''}"
