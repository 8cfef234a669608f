"""Big buffers on their way to another process: a Store writes them into segments, a Shelf opens them on the other side.

    Store.put ── Place (a few numbers, in a message; with the first of a segment its descriptor) ──> Shelf.open
        ^                                                                                              │
        └── release: nobody looks at it any more         drop: somebody keeps it <── released, still_used

Rules:
- A segment is written again only after `release`. What is only perhaps still looked at is dropped: its memory is then
  its readers', and goes with the last of them.
- A reader's view is private and writable. What he changes there nobody else sees, and so it is with a second try.
- Small ones are copied out and given back at once: results that are kept cost no segment, no mapping, no descriptor.
- A reader believes nothing: a place that is not in its segment is a ValueError, not a crash.
- No thread waits for another's copying: the lock of a Store is held for bookkeeping only.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock  # not threading: a millisecond of every cold start
from functools import partial
from itertools import count

from supervisor.pool import memory, segment
from supervisor.pool.segment import Segment
from workers.hints import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import ReadableBuffer

ALIGN = 64  # bytes: a cache line, and the widest vector
COPIED_BELOW = 512 * 1024  # bytes; copying that takes less than mapping it, touching it and unmapping it
IDLE_MOST = 256 << 20  # bytes of segments nobody uses that are kept in any case ...
RECENT_S = 5.0  # ... and as much as was in use at once within that time
IDLE_S = 30.0  # what nobody has used for that long goes
MAPPED_MOST = (
    16_000  # mappings of kept results; Linux gives a process 65,530, and the heap needs some (vm.max_map_count)
)
_SMALLEST = 128 * 1024  # bytes
_CHECKED_PER = 16 << 20  # bytes of new memory between two looks at what is left


_mappings: set[object] = set()  # one for each there is, of all shelves


class Place(NamedTuple):
    """Where buffers lie: in which segment, and (offset, length) of each there, in bytes."""

    segment: int
    layout: tuple[tuple[int, int], ...]


class Store:
    """The writer's side. Any thread may use it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = allocate_lock()
        self._used: dict[int, Segment] = {}
        self._idle: dict[int, Segment] = {}  # in the order they became so
        self._numbers = count(1)
        self._unchecked = _CHECKED_PER  # the first is
        self._peaks: list[tuple[float, int]] = []  # (when, bytes in use), falling, of the last RECENT_S
        self._in_use = 0

    def put(self, buffers: Sequence[ReadableBuffer]) -> Place:
        """Copy them into a segment nobody uses. Raises MemoryError, with figures, and OSError without descriptors."""
        views = [segment.flat(buffer) for buffer in buffers]
        layout, size = lay_out(views)
        chosen = self._take(size)
        try:
            chosen.write(views, layout)
        except BaseException:
            self.drop(chosen.number)
            raise
        return Place(chosen.number, layout)

    def fd(self, number: int) -> int:
        """The descriptor for readers of a segment; nothing can be written through it. It stays the store's."""
        with self._lock:
            found = self._used.get(number) or self._idle[number]
            if found.given is None:
                found.given = segment.readable_only(found.fd)
            return found.given

    def release(self, number: int) -> None:
        """Nobody looks at it any more: it may be written again."""
        with self._lock:
            found = self._used.get(number)
            if found is not None:
                self._no_more_in_use(found)
                found.idle_since = self._clock()
                self._idle[number] = found

    def drop(self, number: int) -> None:
        """It is never written again: somebody may look at it for ever, or nobody is there to say."""
        with self._lock:
            found = self._used.get(number)
            if found is not None:
                self._no_more_in_use(found)
            else:
                found = self._idle.pop(number, None)
        if found is not None:
            found.close()

    def trim(self) -> list[int]:
        """Give up idle segments, too many or too old, and their memory.

        Gives their numbers, for readers to forget: they hold a descriptor of each.
        """
        with self._lock:
            now = self._clock()
            self._note_use(now)
            allowed = max(IDLE_MOST, self._peaks[0][1] - self._in_use)
            kept, gone = 0, []
            for found in reversed(self._idle.values()):
                kept += found.size
                if kept > allowed or now - found.idle_since > IDLE_S:
                    gone.append(found)
            for found in gone:
                del self._idle[found.number]
        for found in gone:
            found.empty()
            found.close()
        return [found.number for found in gone]

    def close(self) -> None:
        """Give up all of them; what readers have mapped stays theirs."""
        with self._lock:
            everything = [*self._used.values(), *self._idle.values()]
            self._used.clear()
            self._idle.clear()
            self._in_use = 0
        for found in everything:
            found.close()

    def __repr__(self) -> str:
        idle = sum(found.size for found in list(self._idle.values()))
        return f"<Store: {len(self._used)} segments in use, {self._in_use:,} bytes; {len(self._idle)} idle, {idle:,} bytes>"

    def _take(self, size: int) -> Segment:
        most = 2 * _size_class(size)
        with self._lock:
            found = self._fitting(size, most)
            if found is not None:
                del self._idle[found.number]
        try:
            self._look(size - found.filled if found is not None else size)
            chosen = found or Segment(next(self._numbers), _size_class(size))
        except BaseException:
            if found is not None:
                with self._lock:
                    self._idle[found.number] = found
            raise
        with self._lock:
            self._used[chosen.number] = chosen
            self._in_use += chosen.size
            self._note_use(self._clock())
        return chosen

    def _fitting(self, least: int, most: int) -> Segment | None:
        fitting = [found for found in self._idle.values() if least <= found.size <= most]
        # Of the smallest the one used last: its pages are warm.
        return min(reversed(fitting), key=lambda one: one.size, default=None)

    def _look(self, missing: int) -> None:
        """Whether there is memory for that much more; asked for large ones, and now and then for small ones."""
        if missing <= 0:
            return
        self._unchecked += missing
        if self._unchecked > _CHECKED_PER:
            self._unchecked = 0
            memory.check(missing)

    def _no_more_in_use(self, found: Segment) -> None:
        self._note_use(self._clock())  # as it was until now
        del self._used[found.number]
        self._in_use -= found.size

    def _note_use(self, now: float) -> None:
        peaks = self._peaks
        while peaks and peaks[-1][1] <= self._in_use:
            peaks.pop()
        peaks.append((now, self._in_use))
        while peaks[0][0] < now - RECENT_S:
            del peaks[0]


class _Book:
    """Of a Shelf: a segment that another process wrote, and which mappings of it are looked at."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.mappings: set[object] = set()
        self.size = segment.capacity(fd)

    def __del__(self) -> None:
        os.close(self.fd)  # when neither its shelf nor an open() under way in another thread has it any more


class Shelf:
    """The reader's side. Any thread may use it; views outlive it."""

    def __init__(self) -> None:
        self._books: dict[int, _Book] = {}

    def adopt(self, number: int, fd: int) -> None:
        """A segment we may be sent places in; takes the descriptor. Raises ValueError if it is none."""
        self._books[number] = _Book(fd)

    def open(self, place: Place, *, released: Callable[[int], None] | None = None) -> list[memoryview]:
        """Each buffer of it, writable and ours alone.

        `released` is called with the segment's number once, when the last view is gone: it may be any moment in any thread,
        before we return too, and in the middle of a garbage collection, so it must take no lock (a deque's append is right).
        Raises KeyError for a segment nobody adopted, ValueError for a place outside it, MemoryError.
        """
        book = self._books[place.segment]
        end = max((offset + length for offset, length in place.layout), default=0)
        if end > book.size or any(offset < 0 or length < 0 for offset, length in place.layout):
            raise ValueError(f"{place!r:.200} is not in its segment of {book.size:,} bytes")
        tell = None if released is None else partial(released, place.segment)
        if end >= COPIED_BELOW and len(_mappings) < MAPPED_MOST:
            whole = _mapped(book, end, tell)
        else:
            whole = _copied(book.fd, end)
            if tell is not None:
                tell()
        return [whole[offset : offset + length] for offset, length in place.layout]

    def __contains__(self, number: int) -> bool:
        return number in self._books

    def still_used(self, number: int) -> bool:
        """Whether anybody looks at it."""
        book = self._books.get(number)
        return book is not None and bool(book.mappings)

    def forget(self, number: int) -> None:
        """It is sent no more; views of it stay good."""
        self._books.pop(number, None)

    def __repr__(self) -> str:
        used = sum(bool(book.mappings) for book in list(self._books.values()))
        return f"<Shelf: {len(self._books)} segments, {used} looked at>"


def _mapped(book: _Book, size: int, released: Callable[[], None] | None) -> memoryview:
    mapping = object()
    book.mappings.add(mapping)
    _mappings.add(mapping)
    try:
        return segment.map_private(book.fd, size, partial(_unmapped, book.mappings, mapping, released))
    except BaseException:
        _unmapped(book.mappings, mapping, None)
        raise


def _unmapped(mappings: set[object], mapping: object, released: Callable[[], None] | None) -> None:
    mappings.discard(mapping)
    _mappings.discard(mapping)
    if released is not None:
        released()


def _copied(fd: int, size: int) -> memoryview:
    copy = bytearray(size)
    if size and os.preadv(fd, [copy], 0) != size:
        raise ValueError(f"a segment ends before byte {size:,}")
    return memoryview(copy)


def lay_out(views: Sequence[memoryview], after: int = 0) -> tuple[tuple[tuple[int, int], ...], int]:
    """(offset, length) for each, aligned, beginning after so many bytes; and where the last of them ends."""
    layout, end = [], after
    for view in views:
        start = (end + ALIGN - 1) // ALIGN * ALIGN
        end = start + len(view)
        layout.append((start, len(view)))
    return tuple(layout), end


def _size_class(size: int) -> int:
    """The next of 4 sizes to each power of two, so that a quarter is wasted at most: and of that only addresses."""
    size = max(size, _SMALLEST)
    step = 1 << (size - 1).bit_length() - 3
    return (size + step - 1) // step * step
