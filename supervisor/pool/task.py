"""What the dispatcher deals in: functions known to workers, tasks, and chunks of a map. Nouns; they decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor.pool import frames
from supervisor.pool.errors import stamp_of
from supervisor.pool.parcel import unpack, unpack_error
from supervisor.pool.report import Attempt, CrashReport, TaskFailed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from supervisor.pool.arena import Place, Shelf
    from supervisor.pool.future import TaskFuture
    from supervisor.pool.options import Options
    from supervisor.pool.remote import Remote
    from supervisor.pool.share import Shared


class Function:
    """A pickled function with a number; workers are given it once. `gone` gets the number when nobody needs it any more."""

    __slots__ = ("__weakref__", "_gone", "data", "is_known", "is_of_main", "name", "number", "place", "shared")

    def __init__(
        self,
        number: int,
        name: str,
        data: bytes | None,
        place: Place | None,
        shared: tuple[Shared[Any], ...],
        gone: deque[Function],
    ) -> None:
        self.number, self.name, self.data, self.place, self.shared = number, name, data, place, shared
        self.is_known = False  # somebody has run it, and lived
        self.is_of_main = data is not None and b"_main__" in data  # in a worker it is called __mp_main__
        self._gone = gone

    def __del__(self) -> None:
        # Revived there until its segment was given back. May run in any thread, holding any lock.
        if hasattr(self, "_gone"):  # else whoever made it was interrupted
            self._gone.append(self)


class Task:
    """A call, or a run of items of a chunk.

    span: the items of its data that are meant, None for all. first, count: the items of the chunk that are. attempts: the
    deaths it was blamed for. alone: it took all memory, and is tried again only while nothing else runs.
    """

    is_plain = False  # small, and sent with whatever else there is
    place: Place | None = None
    shared: tuple[Shared[Any], ...] = ()
    future: TaskFuture | None = None
    chunk: Chunk | None = None
    span: tuple[int, int] | None = None
    first, count = 0, 1
    attempts: tuple[Attempt, ...] = ()
    returned = 0  # times it came back because its worker died of something else
    alone = False
    is_single = False  # nothing is sent along with it
    is_over = False
    where: tuple[Remote, int] | None = None  # whom it was sent to, and its number there

    def __init__(self, function: Function, shape: int, data: bytes, buffers: Sequence[Any], options: Options) -> None:
        self.function, self.shape, self.options = function, shape, options
        self.data: bytes | None = data
        self.buffers = buffers

    def message(self, sequence: int) -> tuple[Any, ...]:
        """As it travels."""
        return (frames.TASK, sequence, self.function.number, self.shape, self.data, self.place, self.span)

    def piece(self, first: int, count: int) -> Task:
        """Some of its items, as a task of the same chunk."""
        piece = Task(self.function, self.shape, b"", (), self.options)
        piece.data, piece.place, piece.shared, piece.chunk = self.data, self.place, self.shared, self.chunk
        piece.first, piece.count = first, count
        if self.chunk is not None:
            self.chunk.tasks.append(piece)
        return piece

    @property
    def needs_descriptors(self) -> bool:
        """Whether it comes with segments, or its function does."""
        function = self.function
        return bool(self.place or self.shared or function.place or function.shared)

    @property
    def item(self) -> int | None:
        """Its place among the inputs of a map, the first if it is more than one; None for a task of its own."""
        return None if self.chunk is None else self.chunk.index + self.first

    def report(self) -> CrashReport:
        """Its attempts."""
        return CrashReport(self.function.name, self.attempts, self.item)


class Error:
    """An exception in the ring, or a failure found here."""

    __slots__ = ("_cause",)
    is_error = True

    def __init__(self, cause: bytes | BaseException, function: str = "", item: int | None = None) -> None:
        self._cause = cause if isinstance(cause, BaseException) else (cause, function, item)

    def error(self) -> BaseException:
        """The exception."""
        if isinstance(self._cause, tuple):
            return _contained(unpack_error(self._cause[0]), *self._cause[1:])
        return self._cause

    def open(self) -> Any:
        """Raises it."""
        raise self.error()


class Placed:
    """A result, or an error, in a segment of the worker's; the segment goes back when nobody looks at it any more."""

    __slots__ = ("_data", "_function", "_item", "_place", "_released", "_shelf", "is_error")

    def __init__(
        self,
        shelf: Shelf,
        place: Place,
        data: bytes | None,
        *,
        is_error: bool,
        released: deque[int],
        function: str,
        item: int | None,
    ) -> None:
        self._shelf, self._data, self.is_error, self._released = shelf, data, is_error, released
        self._place: Place | None = place
        self._function, self._item = function, item

    def open(self) -> Any:
        """The value. Raises the error, or what unpickling raises."""
        place, self._place = self._place, None
        if place is None:
            raise RuntimeError("the result is lost: whoever unpickled it was interrupted")
        buffers = self._shelf.open(place, released=self._released.append)
        data, rest = (self._data, buffers) if self._data is not None else (buffers[0], buffers[1:])
        if self.is_error:
            raise _contained(unpack_error(bytes(data)), self._function, self._item)
        return unpack(data, rest)

    def __del__(self) -> None:
        if self._place is not None:  # nobody asked
            self._released.append(self._place.segment)


def _contained(error: BaseException, function: str, item: int | None = None) -> BaseException:
    """SystemExit and its like end a process, and so stop at its border: to us they are a task that failed."""
    if isinstance(error, Exception):
        return error
    pid, phase, seconds = stamp_of(error)
    cause = f"raised {type(error).__name__}({', '.join(map(repr, error.args))})"
    failed = TaskFailed(CrashReport(function, (Attempt(pid, cause, phase, seconds),), item))
    failed.__cause__ = error
    return failed


class Chunk:
    """Items of a map that were pickled together; one future for all, whose result is (values, errors by place).

    index: of its first item among all. seconds: what its items took together, as far as known. again: has an item of it,
    given with its place among all, done once more by itself; raises when the pool takes no more.
    """

    is_error = False

    def __init__(
        self,
        future: TaskFuture,
        items: Sequence[Any],
        index: int,
        name: str,
        again: Callable[[Any, int], TaskFuture] | None = None,
    ) -> None:
        self.future, self.items, self.index, self._name, self._again = future, items, index, name, again
        self.seconds = 0.0
        self.tasks: list[Task] = []  # that do it, those that are over among them
        self._parts: list[tuple[int, int, Any]] = []
        self._missing = len(items)

    def takes(self, task: Task) -> None:
        """A task that does all of it."""
        task.chunk, task.count = self, len(self.items)
        self.tasks.append(task)

    def add(self, first: int, count: int, sealed: Any) -> None:
        """Some of its items are done; with the last of them the future is."""
        self._parts.append((first, count, sealed))
        self._missing -= count
        if self._missing == 0:
            self.future.deliver(self)

    def open(self) -> tuple[list[Any], dict[int, BaseException]]:
        """Every value, None in the place of one that failed, and the errors."""
        found: list[Any] = [None] * len(self.items)
        errors: dict[int, BaseException] = {}
        for first, count, sealed in self._parts:
            try:
                values, packed = unpack(sealed) if isinstance(sealed, bytes) else sealed.open()
            except (Exception, SystemExit) as error:  # noqa: BLE001 whatever it is, it is what an item has to tell
                for at in range(first, first + count):
                    found[at], errors[at] = None, error
                if count > 1:
                    self._open_singly(range(first, first + count), found, errors)
                continue
            for at, data in packed.items():
                errors[first + at] = _contained(unpack_error(data), self._name, self.index + first + at)
            if count == len(found):
                return values, errors
            found[first : first + count] = values
        return found, errors

    def _open_singly(self, places: range, found: list[Any], errors: dict[int, BaseException]) -> None:
        """Values that came together, one of which cannot be unpickled here: each is made again, and comes by itself."""
        assert self._again is not None
        try:
            futures = [self._again(self.items[at], self.index + at) for at in places]
        except Exception:  # noqa: BLE001 no more to be had: what it was stands in every place
            return
        for at, future in zip(places, futures, strict=True):
            try:
                (found[at],), failed = future.result()
            except Exception as error:  # noqa: BLE001 cancelled
                failed = {0: error}
            errors.pop(at)
            errors.update((at, error) for error in failed.values())
