"""`share(obj)`: something large that many tasks need, packed once, mapped once by each worker.

    table = share(huge)                       # in the parent
    pool.map(partial(score, table=table), items)
    ... table.get() ...                       # in the worker: unpacked once, then kept; arrays are read-only

A handle travels as a key. Whoever packs a task asks `shared_in` which handles it met, and sends a worker the segments it has
not had yet (`handle.key`, `handle.fd`) before the task; the worker takes them with `receive`, and lets go of them with
`forget`, for which `handle.tell_end` gives the time. A segment is sealed, so no worker can change it under the others; it
lives as long as a handle to it, or an array in it, in any process.
"""

from __future__ import annotations

import os
import struct
import weakref
from _pickle import PickleBuffer  # not pickle: see parcel.py
from _thread import RLock  # not threading: a millisecond of every cold start

from supervisor.pool import memory, segment
from supervisor.pool.arena import lay_out
from supervisor.pool.parcel import Parcel, Token, pack, unpack
from workers.hints import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
KEPT = 8  # shared objects a process keeps unpacked; an older one is unpacked again when it is asked for
_NUMBER = struct.Struct("<Q")

_lock = RLock()  # unpacking one may ask for another
_handles: weakref.WeakValueDictionary[int, Shared[Any]] = weakref.WeakValueDictionary()
_received: dict[int, Shared[Any]] = {}
_unpacked: dict[int, Any] = {}  # the one asked for last is the last


class Shared(Generic[T]):
    """A handle to something shared; `share` makes them. It may be copied, pickled into tasks and into other things shared."""

    def __init__(self, key: int, fd: int | None, *, holds: tuple[Shared[Any], ...] = ()) -> None:
        self.key = key
        self._fd = fd
        self._holds = holds

    @property
    def fd(self) -> int:
        """The descriptor of its segment, which can only be read from; it stays the handle's. Raises LookupError."""
        if self._fd is None:
            raise LookupError(
                f"{self!r}: this process was never sent it. A handle works where it was made, and in the workers of a pool that"
                f" are given it with a task or that their parent has shared it with"
            )
        return self._fd

    def get(self) -> T:
        """What was shared, the same object each time (of the last KEPT): a constant. Raises LookupError, MemoryError."""
        with _lock:  # and no loop in here: see latch.py
            return self._get()

    def _get(self) -> T:
        try:
            value = _unpacked.pop(self.key)
        except KeyError:
            value = self._unpack()
        _unpacked[self.key] = value
        for key in list(_unpacked)[:-KEPT]:
            _unpacked.pop(key, None)
        return value  # type: ignore[no-any-return]

    def tell_end(self, call: Callable[[int], object]) -> None:
        """When this process has no handle to it any more, call(key): in any thread, at any moment; it must not block."""
        weakref.finalize(self, call, self.key).atexit = False

    def _unpack(self) -> Any:
        fd = self.fd
        whole = segment.map_sealed(fd, segment.capacity(fd))
        (count,) = _NUMBER.unpack_from(whole)
        numbers = struct.unpack_from(f"<{2 * count}Q", whole, _NUMBER.size)
        data, *buffers = (
            whole[start : start + length] for start, length in zip(numbers[::2], numbers[1::2], strict=True)
        )
        return unpack(data, buffers)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol < 5:  # pickled by somebody else, or copied
            return _meet, (self.key,)
        token = Token()
        token.handle = self
        return _meet, (self.key, PickleBuffer(token))

    def __del__(self) -> None:
        _unpacked.pop(self.key, None)
        if self._fd is not None:
            os.close(self._fd)

    def __repr__(self) -> str:
        size = "not here" if self._fd is None else f"{os.fstat(self._fd).st_size:,} bytes"
        return f"<Shared {self.key:016x}: {size}>"


def share(obj: T) -> Shared[T]:
    """Put it into a sealed segment. Raises what pickling raises, and MemoryError, with figures."""
    parcel = pack(obj)
    views = [segment.flat(parcel.data), *map(segment.flat, parcel.buffers)]
    layout, size = lay_out(views, after=_NUMBER.size * (1 + 2 * len(views)))
    memory.check(size)
    fd = segment.create(size)
    try:
        head = struct.pack(f"<{1 + 2 * len(views)}Q", len(views), *(number for pair in layout for number in pair))
        segment.write(fd, memoryview(head), 0)
        for view, (start, _) in zip(views, layout, strict=True):
            segment.write(fd, view, start)
        segment.freeze(fd)
        handle = Shared[T](int.from_bytes(os.urandom(8)), segment.readable_only(fd), holds=parcel.met)
    finally:
        os.close(fd)
    _handles[handle.key] = handle
    return handle


def shared_in(parcel: Parcel) -> list[Shared[Any]]:
    """The handles in it, and those in what they stand for; each once."""
    found: dict[int, Shared[Any]] = {}
    waiting = list(parcel.met)
    while waiting:
        handle = waiting.pop()
        if handle.key not in found:
            found[handle.key] = handle
            waiting.extend(handle._holds)  # noqa: SLF001
    return list(found.values())


def receive(key: int, fd: int) -> None:
    """In a worker: the segment of that key; takes the descriptor. Raises ValueError if it is no segment."""
    segment.capacity(fd)
    _received[key] = _handles[key] = Shared(key, fd)


def forget(key: int) -> None:
    """In a worker: no task to come will need it. Tasks that kept the handle, or an array, keep it."""
    _received.pop(key, None)


def _meet(key: int, _token: object = None) -> Shared[Any]:
    """What a pickled handle becomes."""
    handle = _handles.get(key)
    return Shared(key, None) if handle is None else handle
