"""Leaves processes behind: a plain child, a daemon (two forks), one with a cleared environment."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(heart: Heart, *, seconds: float = 60.0, then: float = 0.0) -> None:
    """Start three processes that live for `seconds`; end after `then` seconds without looking after them."""
    lives = str(seconds)
    plain = subprocess.Popen(["sleep", lives])
    _daemon(seconds)
    cleared = subprocess.Popen(["/usr/bin/env", "-i", "setsid", "sleep", lives])
    heart.ready("three processes started")
    heart.wait(then)
    for process in (plain, cleared):
        process.returncode = 0  # we leave without them, and Popen shall not complain


def _daemon(seconds: float) -> None:
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork() == 0:
        time.sleep(seconds)
    os._exit(0)
