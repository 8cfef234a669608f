"""Stops the supervisor for a while, and lets it go on: a program of its own, for who is stopped can do nothing.

`argv`: the supervisor's pid and start time, seconds, and the anchor's pid. Started by the anchor, and gone as soon as the time
is over or the supervisor is dead: the anchor kills one that is silent for too long. Should this die first, so does that.
"""

from __future__ import annotations

import os
import select
import signal

from supervisor import kernel


def main(argv: list[str]) -> int:
    """0: it goes on, or is dead; 1: there was nobody to stop."""
    pid, start, anchor = int(argv[0]), int(argv[1]), int(argv[3])
    kernel.name_process("nl-pause")
    if not kernel.die_with_parent(anchor):
        return 1
    pidfd = kernel.open_pidfd(pid, start)
    if pidfd is None:
        return 1
    kernel.send_signal(pidfd, signal.SIGSTOP)
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    ended.poll(float(argv[2]) * 1000)
    kernel.send_signal(pidfd, signal.SIGCONT)
    os.close(pidfd)
    return 0
