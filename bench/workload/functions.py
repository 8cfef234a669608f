"""The same workers as functions of ninelives, with a heart."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from workers.heart import Heart


def main(heart: Heart, bell: str, *, every: float = 1.0, beats: bool = True) -> None:
    """Ready, said on the bell too; then a beat `every` so many seconds, or none."""
    heart.ready()
    if beats:
        heart.beat()
    ring(bell, heart.name)
    while not heart.wait(every if beats else 3600.0):
        heart.beat()


def hanging(heart: Heart, bell: str, *, every: float = 1.0) -> None:
    """As main, but SIGUSR1 makes it hang for good; it says when its last beat was."""
    last = time.monotonic()

    def hang(_number: int, _frame: FrameType | None) -> None:
        ring(bell, "hang", last)
        while True:
            time.sleep(60)

    signal.signal(signal.SIGUSR1, hang)
    heart.ready()
    ring(bell, heart.name)
    while not heart.wait(every):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # a beat and its time are one
        heart.beat()
        last = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def ring(bell: str, word: str, stamp: float | None = None) -> None:
    """One datagram; without a listener, none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect(bell)
        sock.send(f"{word} {os.getpid()} {stamp or time.monotonic()}".encode())
