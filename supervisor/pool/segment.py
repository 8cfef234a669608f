"""One segment: memory without a name (a memfd), written by one process and mapped by others.

Rules:
- A segment never shrinks: it is sealed against that when it is made. So no mapping of one ever ends in a SIGBUS,
  whatever the other side does, and `adopt` refuses a descriptor that is not sealed so.
- Pages are made by pwrite, never by a write to a mapping: pwrite says ENOSPC or ENOMEM, a mapping says SIGBUS. It is
  also faster, because a page that is written whole is not zeroed first (32 MB: 18 ms, against 25 ms after a fallocate).
- Pages that are there are written through a mapping that is kept: 3 ms for 32 MB, where pwrite takes 9 ms. It is done in
  pieces of half a millisecond, so that other threads get the interpreter when they have waited for its switch interval.
- Others get a descriptor that can only be read from. What they map is private to them: they may scribble on it, and
  nobody else sees that.

mmap.mmap is not used: it keeps a descriptor of its own for every mapping (up to Python 3.12), and results that are kept
are mappings that are kept.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import resource
import weakref
from _pickle import PickleBuffer  # not pickle: see parcel.py
from functools import cache

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import ReadableBuffer

PAGE = mmap.PAGESIZE
_PIECE = 4 << 20  # bytes copied between two chances for another thread
_MOST = 1 << 30  # bytes; Linux writes at most 2 GiB - 4 KiB at once
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # FALLOC_FL_...
_SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_NEVER_SHRINKS = _SIZE_SEALS | fcntl.F_SEAL_SEAL
_ALL_SEALS = _SIZE_SEALS | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Segment:
    """The writer's: what is written once, and may be written again."""

    def __init__(self, number: int, size: int) -> None:
        self.number, self.size = number, size
        self.fd = create(size)
        keep_size(self.fd)
        self.given: int | None = None  # the descriptor for readers
        self.filled = 0  # bytes from its beginning that have pages
        self.mapping: memoryview | None = None
        self.idle_since = 0.0

    def write(self, views: Sequence[memoryview], layout: Sequence[tuple[int, int]]) -> None:
        """Put each where the layout says. Raises MemoryError."""
        end = sum(layout[-1]) if layout else 0
        if 0 < end <= self.filled:
            if self.mapping is None:
                self.mapping = map_shared(self.fd, self.filled)
            if len(self.mapping) >= end:
                for view, (offset, _) in zip(views, layout, strict=True):
                    copy(view, self.mapping, offset)
                return
        for view, (offset, _) in zip(views, layout, strict=True):
            write(self.fd, view, offset)
        # Between two buffers there may be a hole of less than ALIGN bytes; the first page of a buffer fills it
        self.filled, self.mapping = max(self.filled, end), None

    def empty(self) -> None:
        """Give its memory back, whoever still has a descriptor of it; for when nobody looks at it."""
        self.mapping, self.filled = None, 0
        _linux()[1].fallocate(self.fd, _PUNCH_HOLE | _KEEP_SIZE, 0, self.size)

    def close(self) -> None:
        """What readers have mapped stays theirs."""
        self.mapping = None
        os.close(self.fd)
        if self.given is not None:
            os.close(self.given)


def flat(buffer: ReadableBuffer) -> memoryview:
    """The bytes of a buffer, in the order of its memory (C or Fortran). Raises BufferError if it has gaps."""
    return PickleBuffer(buffer).raw()


def create(size: int) -> int:
    """The descriptor of a new segment of `size` bytes, none of which takes memory yet. Raises MemoryError, OSError."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and size > limit:
        raise MemoryError(
            f"a segment of {size:,} bytes is above the limit on the size of files, {limit:,} bytes (RLIMIT_FSIZE, ulimit -f),"
            f" which holds for memory shared with workers too"
        )
    fd = os.memfd_create("ninelives", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def keep_size(fd: int) -> None:
    """Seal it: it never shrinks or grows again."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _NEVER_SHRINKS)


def freeze(fd: int) -> None:
    """Seal it: it never changes again. Raises OSError (EBUSY) while somebody has a writable shared mapping of it."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _ALL_SEALS)


def readable_only(fd: int) -> int:
    """Another descriptor of the segment, which nothing can be written through."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def capacity(fd: int) -> int:
    """The size of a segment that came from another process, in bytes. Raises ValueError if it is none of ours."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    if not seals & fcntl.F_SEAL_SHRINK:
        raise ValueError(f"descriptor {fd} is no segment: it could shrink under whoever maps it")
    return os.fstat(fd).st_size


def write(fd: int, data: memoryview, at: int) -> None:
    """Write all of it, making pages where there are none. Raises MemoryError."""
    while data:
        try:
            written = os.pwrite(fd, data[:_MOST], at)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT}:
                raise MemoryError(f"no memory for {len(data):,} bytes more in a segment ({error.strerror})") from error
            raise
        data, at = data[written:], at + written


def copy(data: memoryview, target: memoryview, at: int) -> None:
    """Copy all of it into a mapping whose pages are there."""
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        target[at + start : at + start + len(piece)] = piece


def map_shared(fd: int, size: int) -> memoryview:
    """For the writer: writes reach the segment. The pages are looked up now, not at each first touch."""
    return _map(fd, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_POPULATE, None)


def map_sealed(fd: int, size: int) -> memoryview:
    """For readers of what never changes; whoever writes to it dies."""
    return _map(fd, size, mmap.PROT_READ, mmap.MAP_SHARED, None).toreadonly()


def map_private(fd: int, size: int, unmapped: Callable[[], None]) -> memoryview:
    """For readers: a writable view, whose changes nobody else sees.

    `unmapped` is called when the last view of it is gone, from whatever thread that happens in.
    """
    return _map(fd, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, unmapped)


def _map(fd: int, size: int, protection: int, flags: int, unmapped: Callable[[], None] | None) -> memoryview:
    ctypes, libc = _linux()
    address = libc.mmap(None, size, protection, flags, fd, 0)
    if address in {None, ctypes.c_void_p(-1).value}:
        number = ctypes.get_errno()
        raise MemoryError(f"a segment cannot be mapped, {size:,} bytes: {os.strerror(number)}")
    # Views hold the array, so it is gone when the last of them is, and not before.
    array = (ctypes.c_ubyte * size).from_address(address)
    ending = weakref.finalize(array, _unmap, libc.munmap, address, size, unmapped)
    ending.atexit = False  # views may be in use until the very end; the kernel unmaps
    return flat(array)


def _unmap(munmap: Callable[[int, int], int], address: int, size: int, unmapped: Callable[[], None] | None) -> None:
    munmap(address, size)
    if unmapped is not None:
        unmapped()


@cache
def _linux() -> tuple[Any, Any]:
    """The ctypes module, and libc; imported when first needed, and called without the interpreter lock."""
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return ctypes, libc
