"""What the pump knows, kept where its death cannot touch it: a memfd that the anchor holds.

The rule: a change is one `commit`. It writes a whole new record beside the current one and then flips one
byte, so a `kill -9` between any two instructions finds either the old world or the new one. What lies in the
ring beyond `head`, in an unflipped record or in an inbox already marked as consumed never happened.

    header | record A | record B | scratch | slots (one per source, sparse) | ring of finished lines
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import termios
from typing import NamedTuple

SLOTS = 8192  # two for each of 2,000 workers and their standbys
SLOT = 96 * 1024
MAGIC = b"9lives-2"
_FLIP = 16
_RING_SIZE = struct.Struct("<Q")
_READING = struct.Struct("<QI")
_READING_AT = 24
USED = 4096  # here stands a byte for each slot: 1, it is in use
_SCRATCH = USED + SLOTS
_RECORDS = _SCRATCH + 4096
_RECORD = 4096 + SLOT
_SLOTS = _RECORDS + 2 * _RECORD
_RING = _SLOTS + SLOTS * SLOT
_STATE = struct.Struct("<19QiI")
_SLOT = struct.Struct("<BIQQQIII")

# What became of the batch of lines on its way out (`Journal.phase`).
IDLE, STAGING, STAGED, WRITING, DRAINING = range(5)


class Slot(NamedTuple):
    """A source as the journal knows it: `info` is its `add` message, `pending` input that is not yet lines."""

    info: bytes
    pending: bytes = b""
    part: int = 0  # pieces of the current line that are out already
    lost: int = 0  # lines dropped and not yet said, their bytes, and since when (wall clock, ms)
    lost_bytes: int = 0
    lost_since: int = 0
    tail: bytes = b""  # the last it brought, for the event of its worker's end
    at_end: bool = False  # nothing more will come; the slot is kept for the tail


class Journal:
    """The durable state, the ring and the inbox. Positions in the ring are bytes since the beginning of time."""

    def __init__(self, fd: int, inbox: int, recent: int) -> None:
        self.inbox_fd = inbox
        self.seq = 1  # of the next line
        self.head = self.sent = 0  # end of the finished lines, and of those that are out
        self.consumed = 0  # generation of the inbox that was last turned into lines
        self.phase = IDLE
        self.batch = self.size = self.done = 0  # on its way out: its bytes in the ring, rendered, and written
        self.at = 0  # file position before the write
        self.torn = 0  # rest of a half-written line, in scratch
        self.lost = self.lost_bytes = self.lost_since = self.lost_errno = 0  # by the sink, not yet said
        self.told = self.told_at = 0  # lines the last log.dropped of the sink told of, and where it stands in the ring
        self.file_generation = self.file_inode = self.file_at = 0  # a raw write on its way
        fresh = os.fstat(fd).st_size == 0
        size = max(recent, 1 << 20)
        if not fresh:
            magic, size = os.pread(fd, 8, 0), _RING_SIZE.unpack(os.pread(fd, 8, 8))[0]
            fresh = magic != MAGIC
            size = max(recent, 1 << 20) if fresh else size
        if fresh:
            os.ftruncate(fd, _RING + size)
        self.ring_size = size
        self.guard = size // 8  # what one batch may overwrite of the history before it is committed
        self.map = mmap.mmap(fd, _RING + size)
        if fresh:
            self.map[8:16] = _RING_SIZE.pack(size)
            self.commit()
            self.map[:8] = MAGIC
        else:
            self._recover()

    # -- the record

    def commit(self, slot: int = -1, value: Slot | None = None) -> None:
        """Make everything set since the last commit, and one slot (None: free it), true at once."""
        blob = b"" if value is None else _pack(value)
        state = _STATE.pack(
            self.seq, self.head, self.sent, self.consumed, self.phase, self.batch, self.size, self.done, self.at,
            self.torn, self.lost, self.lost_bytes, self.lost_since, self.lost_errno, self.file_generation,
            self.file_inode, self.file_at, self.told, self.told_at, slot, len(blob),
        )  # fmt: skip
        side = 1 - self.map[_FLIP]
        start = _RECORDS + side * _RECORD
        record = state + blob
        self.map[start : start + len(record)] = record
        self.map[_FLIP] = side
        if slot >= 0:
            self._apply(slot, blob)

    def _recover(self) -> None:
        start = _RECORDS + self.map[_FLIP] * _RECORD
        (
            self.seq, self.head, self.sent, self.consumed, self.phase, self.batch, self.size, self.done, self.at,
            self.torn, self.lost, self.lost_bytes, self.lost_since, self.lost_errno, self.file_generation,
            self.file_inode, self.file_at, self.told, self.told_at, slot, length,
        ) = _STATE.unpack_from(self.map, start)  # fmt: skip
        if slot >= 0:  # killed before the slot was copied to its place, or after: the copy may be made twice
            blob = start + _STATE.size
            self._apply(slot, self.map[blob : blob + length])

    def _apply(self, slot: int, blob: bytes) -> None:
        at = _SLOTS + slot * SLOT
        self.map[at : at + len(blob)] = blob
        self.map[USED + slot] = 1 if blob else 0
        if not blob:
            self.map.madvise(mmap.MADV_REMOVE, at, SLOT)  # as sparse as before

    # -- slots

    def slots(self) -> dict[int, Slot]:
        """Every slot in use."""
        used = self.map[USED : USED + SLOTS]  # apart from the slots: looking at a sparse page allocates it
        return {number: self._slot(number) for number in range(SLOTS) if used[number]}

    def free_slot(self) -> int | None:
        """The lowest free slot, None when every one is taken."""
        number = self.map.find(b"\0", USED, USED + SLOTS)
        return None if number < 0 else number - USED

    def _slot(self, number: int) -> Slot:
        at = _SLOTS + number * SLOT
        at_end, part, lost, lost_bytes, since, *sizes = _SLOT.unpack_from(self.map, at)
        at += _SLOT.size
        blobs = []
        for size in sizes:
            blobs.append(self.map[at : at + size])
            at += size
        info, pending, tail = blobs
        return Slot(info, pending, part, lost, lost_bytes, since, tail, bool(at_end))

    # -- the inbox

    def receive(self, slot: int, fd: int, most: int) -> bytes | None:
        """Take at most `most` bytes from a pipe through the inbox; b"" at its end, None if it is empty.

        The kernel empties the pipe and extends the inbox in one go, so the inbox's size says what was taken
        even if we are killed right behind it. The next commit must say `consumed = generation`, then call
        `clear_inbox`.
        """
        # The inbox is empty here: until the splice it does not matter whose it is, so no commit is needed.
        _READING.pack_into(self.map, _READING_AT, self.consumed + 1, slot)
        try:
            count = os.splice(fd, self.inbox_fd, most, offset_dst=0, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        return os.pread(self.inbox_fd, count, 0) if count else b""

    def left_over(self) -> tuple[int, bytes] | None:
        """(slot, bytes) that a dead pump took from a pipe and did not turn into lines."""
        size = os.fstat(self.inbox_fd).st_size
        generation, slot = _READING.unpack_from(self.map, _READING_AT)
        if size == 0 or generation != self.consumed + 1:
            self.clear_inbox()
            return None
        return slot, os.pread(self.inbox_fd, size, 0)

    def clear_inbox(self) -> None:
        """Forget what the inbox holds."""
        os.ftruncate(self.inbox_fd, 0)

    # -- the ring

    @property
    def unsent(self) -> int:
        """Bytes of finished lines that are not out."""
        return self.head - self.sent

    def room(self, reserve: int = 0) -> int:
        """Bytes that one commit may add without overwriting what is not out; `reserve` is left for others."""
        return min(self.ring_size - reserve - self.unsent, self.guard)

    def append(self, lines: bytes) -> None:
        """Write behind the head; true with the next commit."""
        at = self.head % self.ring_size
        first = min(len(lines), self.ring_size - at)
        start = _RING + at
        self.map[start : start + first] = lines[:first]
        if first < len(lines):
            self.map[_RING : _RING + len(lines) - first] = lines[first:]
        self.head += len(lines)

    def read(self, start: int, end: int) -> bytes:
        """The bytes of the ring between two positions."""
        at, length = start % self.ring_size, end - start
        first = min(length, self.ring_size - at)
        text = self.map[_RING + at : _RING + at + first]
        return text if first == length else text + self.map[_RING : _RING + length - first]

    def oldest(self) -> int:
        """Where the oldest whole line of the history starts."""
        start = max(self.head - self.ring_size + self.guard, 0)
        if start == 0:
            return 0
        return start + self.read(start, min(start + 4096, self.head)).find(b"\n") + 1

    def whole_lines(self, start: int, most: int) -> bytes:
        """Whole lines from `start` on, at most so many bytes (at least one line, if there is one)."""
        text = self.read(start, min(self.head, start + max(most, 4096)))
        return text[: text.rfind(b"\n") + 1]

    def save_torn(self, rest: bytes) -> None:
        """Keep the rest of a half-written line; true with the next commit."""
        self.map[_SCRATCH : _SCRATCH + len(rest)] = rest
        self.torn = len(rest)

    def torn_rest(self) -> bytes:
        """The rest of a half-written line."""
        return self.map[_SCRATCH : _SCRATCH + self.torn]


def _pack(value: Slot) -> bytes:
    info, pending, part, lost, lost_bytes, since, tail, at_end = value
    sizes = len(info), len(pending), len(tail)
    return _SLOT.pack(at_end, part, lost, lost_bytes, since, *sizes) + info + pending + tail


def waiting_in(fd: int) -> int:
    """Bytes in a pipe (FIONREAD)."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])
