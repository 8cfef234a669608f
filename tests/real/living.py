"""Whether a process lives."""

from __future__ import annotations

from supervisor import kernel


def is_alive(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    now = kernel.stat(pid)
    return now is not None and now.state not in "ZX"
