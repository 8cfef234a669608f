"""The memory a worker shares with its parent: what it is doing now, and a ring of what it has done.

The first page is words of 64 bits; each is written by one side only, and says what survives a SIGKILL: which task, which
item of it, in which phase. Behind it lies the ring: a result counts as told the moment TAIL moves behind it, without a
system call, so a worker that dies in its next task takes no finished one along.

Rules:
- A side writes its own words only. What must be seen in order is on both sides separated by `fence`.
- RUNG: the worker rings (a byte on the socket) only when the parent has looked since it last rang. So a parent that is
  busy is not woken, and one that sleeps is woken once.
- SKIP_FROM to SKIP_TO: tasks the parent has taken back. The worker says SEQUENCE first and looks second, the parent says
  SKIP first and looks second: so of a task that is taken back either both know or none has begun.
- A parent believes nothing it reads here: `Broken` says what is impossible, and costs the worker its life.
"""

from __future__ import annotations

import mmap
import os
import struct
from _thread import allocate_lock  # not threading: a millisecond of every cold start

PAGE = 4096
RING = 1 << 18  # bytes; a power of two
LARGEST = RING // 4  # bytes of one record; what is larger travels in a segment
ROUND = 15  # a record begins and ends at a multiple of 16, so that a filler has room for its own head
_RECORD = struct.Struct("<QII")
_HEAD = _RECORD.size
_pack_into = _RECORD.pack_into

# Written by the worker.
SEQUENCE, PHASE, ITEM, BEGAN_NS, TAIL, BUSY_NS, DONE, FULL = range(8)
# Written by the parent (RUNG by both: 1 by the worker, 0 by the parent).
HEAD, SKIP_FROM, SKIP_TO, SOFT, RUNG = range(16, 21)

# Phases: what a worker was at when it died.
IDLE, UNPICKLING, RUNNING, PICKLING, WRITING, STARTING = range(6)
PHASES = ("between two tasks", "unpickle arguments", "run", "pickle result", "write", "initializer")

# What a record is.
FILLER, VALUE, PLACED, ERROR, SKIPPED, FREED, KEPT, UP, INITIALIZER, TRIMMED = range(10)
_KINDS = 10


class Broken(Exception):
    """What the worker has written to its page cannot be."""


Record = tuple[int, int, bytes]
"""One thing the worker told: the number of the task it is about (or 0), its kind, and what belongs to it."""


class Page:
    """Both ends of it, each using its half of the methods. Raises OSError when it cannot be mapped."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE + RING)
        self._view = memoryview(self._map)
        self.words = self._view[:PAGE].cast("Q")
        self._at = 0  # the parent's HEAD, the worker's TAIL
        lock = allocate_lock()
        self._acquire, self._release = lock.acquire, lock.release

    @classmethod
    def create(cls) -> tuple[Page, int]:
        """A new one, and the descriptor to give to the worker."""
        fd = os.memfd_create("ninelives-page", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, PAGE + RING)
            page = cls(fd)
        except OSError:
            os.close(fd)
            raise
        return page, fd

    def close(self) -> None:
        """Give the mapping back."""
        self.words.release()
        self._view.release()
        self._map.close()

    def fence(self) -> None:
        """What was written before is seen by the other side before what is read after."""
        # An atomic exchange: a full barrier on x86; on others the parent's look now and then is behind it.
        self._acquire()
        self._release()

    # -- the worker's ------------------------------------------------------------------------------------------------

    def write(self, sequence: int, kind: int, payload: bytes) -> bool:
        """Put a record into the ring; False when there is no room for it."""
        length = len(payload)
        need = _HEAD + (length + ROUND & ~ROUND)
        words, at = self.words, self._at
        offset = at & RING - 1
        if need > RING - offset:
            if need + RING - offset > RING - (at - words[HEAD]):
                return False
            _pack_into(self._map, PAGE + offset, 0, FILLER, RING - offset - _HEAD)
            at += RING - offset
            offset = 0
        elif need > RING - (at - words[HEAD]):
            return False
        start = PAGE + offset
        _pack_into(self._map, start, sequence, kind, length)
        start += _HEAD
        self._view[start : start + length] = payload
        self._at = words[TAIL] = at + need
        return True

    def must_ring(self) -> bool:
        """Whether the parent sleeps, or soon will, and has to be woken for what was written."""
        self._acquire()  # a fence
        self._release()
        if self.words[RUNG]:
            return False
        self.words[RUNG] = 1
        return True

    # -- the parent's ------------------------------------------------------------------------------------------------

    def read(self, *, rest: bool = True) -> list[Record]:
        """Everything told since the last call. rest: and be rung for what comes next. Raises Broken."""
        words, memory = self.words, self._map
        if rest:
            words[RUNG] = 0
            self.fence()
        tail, at = words[TAIL], self._at
        if tail == at:
            return []
        if not 0 <= tail - at <= RING or tail & ROUND:
            raise Broken(f"its ring ends at {tail}, read up to {at}")
        records = []
        unpack = _RECORD.unpack_from
        while at < tail:
            start = PAGE + (at & RING - 1)
            if start + _HEAD > PAGE + RING:
                raise Broken(f"a record at {at} is cut by the ring's end")
            sequence, kind, length = unpack(memory, start)
            start += _HEAD
            end = start + length
            if end > PAGE + RING or kind >= _KINDS:
                raise Broken(f"a record of kind {kind} and {length} bytes at {at}")
            if kind != FILLER:
                records.append((sequence, kind, memory[start:end]))
            at += _HEAD + (length + ROUND & ~ROUND)
        if at != tail:
            raise Broken(f"its last record ends at {at}, its ring at {tail}")
        self._at = words[HEAD] = at
        return records

    def skip(self, first: int, end: int) -> None:
        """Take tasks back: those that are numbered so and not yet begun will be told as skipped."""
        # In this order a range that is still in force only ever grows, and one that is over is empty in between.
        self.words[SKIP_FROM] = first
        self.words[SKIP_TO] = end
        self.fence()
