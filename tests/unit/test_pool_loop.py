"""The loop of a pool's thread: who rings is heard, from wherever and whenever."""

from __future__ import annotations

import os
import threading
import time

from supervisor.pool.loop import Loop


def turn(loop: Loop, *, seconds: float = 5.0) -> float:
    """How long it slept."""
    began = time.monotonic()
    loop.turn(seconds, lambda: False)
    return time.monotonic() - began


def test_a_ring_is_heard_whenever_it_comes() -> None:
    """Before a turn, in the middle of one, after it; many are one."""
    lock = threading.RLock()
    loop = Loop(lock)
    with lock:
        loop.wake()
        loop.wake()
        assert turn(loop) < 2
        assert turn(loop, seconds=0.05) >= 0.05, "both were heard"
        reader, writer = os.pipe()

        def heard() -> None:
            os.read(reader, 1)
            loop.wake()

        loop.watch(reader, heard)
        os.write(writer, b"x")
        assert turn(loop) < 2
        assert turn(loop) < 2, "in the middle of the turn before"
        timer = threading.Timer(0.1, loop.wake)
        timer.start()
        assert 0.05 < turn(loop) < 4
        timer.join()
        loop.close()
    loop.wake()  # nobody is there, and nothing is written to a descriptor that may be another's
    os.close(reader)
    os.close(writer)
