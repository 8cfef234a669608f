"""pipe-slice: good beats, cut into single bytes. No reader may think that a read is a line."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios

from supervisor.chaos import tamper
from supervisor.chaos.fault import INSIDE, NEVER, Fault
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.chaos import Act

ROOM = 8192  # bytes that are to be free in the pipe: half a line in a full one could not be made whole
WAITS = 50  # milliseconds for room, should it be gone all the same

FAULT = Fault(
    kind="pipe-slice",
    place=INSIDE,
    summary="the worker's beats are written byte by byte",
    ends=NEVER,
    detected="not at all: the reader puts them together",
    lasting=True,
    undone="beats are written whole again",
)


class Slicer(tamper.Layer):
    """A write a byte, if there is room."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._size = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)

    def sends(self, data: bytes, onward: Callable[[bytes], None]) -> None:
        """All of it, or none."""
        (filled,) = struct.unpack("i", fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)))
        if filled + len(data) + ROOM > self._size:
            raise BlockingIOError
        for at in range(len(data)):
            byte = data[at : at + 1]
            try:
                onward(byte)
            except BlockingIOError:
                room = select.poll()
                room.register(self._pipe, select.POLLOUT)
                room.poll(WAITS)
                os.write(self._pipe, byte)


def begin(act: Act) -> None:
    """From the next beat on."""
    act.kept["layer"] = layer = Slicer(act.pipe())
    tamper.put_on(act.heart, layer)


def end(act: Act) -> None:
    """The next beat is whole."""
    if "layer" in act.kept:
        tamper.take_off(act.heart, act.kept["layer"])
