"""Many calls of one function: cut into chunks, sent ahead, given out in order or as they come.

What has a length is worked on whether anybody takes results or not; of any other iterable no more is taken in than a few
chunks per worker beyond what was given out, so it may be infinite. Its items are always taken in the consumer's own thread.

Chunks begin with one item and grow to take CHUNK_S seconds, by what they were seen to take.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sized
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from supervisor.pool import frames
from supervisor.pool.future import TaskFuture
from supervisor.pool.parcel import Parcel, pack
from supervisor.pool.progress import Progress
from supervisor.pool.task import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from supervisor.pool.executor import Core
    from supervisor.pool.options import Options
    from supervisor.pool.task import Function

CHUNK_S = 0.005  # seconds a chunk is to take
GROWTH = 16  # times as large as the last one a chunk may be
LARGEST = 10_000  # items
AHEAD = 3  # chunks per worker that are under way or wait, at least ...
AHEAD_S = 0.02  # ... and as many as take so many seconds: four times as long as a thread may wait for the interpreter
MOST = 512  # chunks per worker
_BUILTIN = (list, tuple, range, str, bytes, bytearray)


class Plan:
    """The chunks of one map: cut, sent, waited for. window: chunks per worker that are sent ahead, None for all."""

    def __init__(
        self,
        core: Core,
        options: Options,
        function: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        *,
        chunksize: int | None = None,
        buffersize: int | None = None,
        timeout: float | None = None,
        is_starred: bool = False,
        is_ordered: bool = True,
        window: int | None = AHEAD,
    ) -> None:
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"chunksize: {chunksize} is less than 1")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize: {buffersize} is less than 1")
        self._core, self._options = core, options
        self._function = core.function(function)
        self.is_lazy = buffersize is not None or not all(isinstance(items, Sized) for items in iterables)
        if not self.is_lazy:  # in another thread: nobody may change them, or mind where they are read
            iterables = tuple(items if isinstance(items, _BUILTIN) else list(items) for items in iterables)
        self.total = (
            None
            if self.is_lazy and buffersize is None
            else min((len(i) for i in iterables if isinstance(i, Sized)), default=0)
        )
        self._items = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=False)
        shape = frames.STAR if is_starred or len(iterables) != 1 else frames.EACH
        self._shape = shape | frames.TIMED if options.is_watched else shape
        # Not a method, and weak: a chunk whose result nobody takes is in a circle with its future, and would keep the pool.
        self._again = partial(_once_more, weakref.ref(core), options, self._function, self._shape)
        self._fixed = 1 if not options.idempotent else chunksize
        self._size = self._fixed or 1
        self._buffersize = buffersize
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.chunks: deque[Chunk] = deque()  # in order, not yet given out
        self._is_ordered = is_ordered
        self.done: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._under_way = 0
        self._cut = 0  # items
        self.taken = 0  # items given out, or skipped
        self.is_exhausted = False
        self._failure: Exception | None = None  # what ended the input; told when everything before it is given out
        self._lock = threading.RLock()
        self._asked = False  # the feeder was asked to go on
        self._workers = core.dispatcher.crew.most
        # Who says how much is to be taken in need not be told it twice.
        self._window = sys.maxsize if window is None or buffersize is not None else window * self._workers
        try:
            core.dispatcher.closing.accept(self, is_lazy=self.is_lazy)
            self.feed()
        except BaseException:  # raised again: nobody will ever ask for the rest
            self.close()
            raise

    def feed(self) -> None:
        """Send chunks until enough are under way."""
        with self._lock:
            self._feed()

    def _feed(self) -> None:
        self._asked = False
        while not self.is_exhausted and self._has_room():
            size = self._size if self._fixed is not None else min(self._size, self._fair_share())
            if self._buffersize is not None:
                size = min(size, self._buffersize - (self._cut - self.taken))
            items: list[Any] = []
            try:
                items.extend(islice(self._items, size))  # what comes before an exception is in it
                self.is_exhausted = len(items) < size
            except Exception as error:  # noqa: BLE001 it has its place among the results
                self._fail(error)
            if items:
                self._send(items)
        if self.is_exhausted:
            self._core.dispatcher.closing.accepted(self)

    def _fail(self, error: Exception) -> None:
        self._failure, self.is_exhausted = error, True

    def _has_room(self) -> bool:
        if self._buffersize is not None and self._cut - self.taken >= self._buffersize:
            return False
        return (len(self.chunks) if self.is_lazy else self._under_way) < self._window

    def _send(self, items: list[Any]) -> None:
        core = self._core
        future = TaskFuture(core.dispatcher)
        chunk = Chunk(future, items, self._cut, self._function.name, self._again)
        future.hook = lambda: self._on_done(chunk)
        parcel, submit = Parcel(b"", []), core.dispatcher.submit
        try:
            parcel = pack(items)
        except Exception:  # noqa: BLE001 it is that of one item, which is found by trying each
            submit = core.dispatcher.submit_singly
        task = core.task(self._function, self._shape, parcel, self._options)
        chunk.takes(task)
        self._under_way += 1
        try:
            submit(task, is_accepted=not self.is_lazy)
        except Exception as error:  # noqa: BLE001 closed or broken meanwhile; this may be the feeder's thread, where nobody sees it
            self._under_way -= 1
            self._fail(error)
            return
        self._cut += len(items)
        self.chunks.append(chunk)

    def _on_done(self, chunk: Chunk) -> None:
        """In the dispatcher's thread: no more than to say so."""
        # Circles that only the garbage collector would break, with all the arguments and results of a chunk.
        chunk.future.hook = None
        chunk.tasks.clear()
        self._under_way -= 1
        if chunk.seconds:
            self._adapt(chunk)
        if not self._is_ordered:
            self.done.put(chunk)
        if not self.is_lazy and not self.is_exhausted and not self._asked:
            self._asked = True
            self._core.dispatcher.feeder.add(self.feed)

    def _adapt(self, chunk: Chunk) -> None:
        if self._fixed is None:
            wanted = int(CHUNK_S / (chunk.seconds / len(chunk.items)))
            self._size = max(1, min(wanted, self._size * GROWTH, LARGEST))
        elif self._window < sys.maxsize:
            self._window = self._workers * max(AHEAD, min(MOST, int(AHEAD_S / chunk.seconds)))

    def _fair_share(self) -> int:
        """Towards the end chunks get smaller, so that all workers end at the same time."""
        left = LARGEST if self.total is None else self.total - self._cut
        if self._buffersize is not None:  # one chunk must not fill it: all workers are to have something
            left = min(left, self._buffersize)
        return LARGEST if left == LARGEST else max(1, left // (2 * self._workers))

    def next(self) -> Chunk | None:
        """The next chunk that is done; None after the last. Raises TimeoutError."""
        if self.is_lazy:
            self.feed()
        while not self.chunks:
            if not self.is_exhausted:
                self.feed()  # or wait until the feeder has
                continue
            if self._failure is None:
                return None
            failure, self._failure = self._failure, None
            raise failure
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        if self._is_ordered:
            chunk = self.chunks[0]
            chunk.future.result(left) if left is not None else chunk.future.result()
            self.chunks.popleft()
            return chunk
        try:
            chunk = self.done.get(timeout=left)
        except queue.Empty:
            raise TimeoutError from None
        with self._lock:  # it may be done before whoever sends it has put it there
            self.chunks.remove(chunk)
        return chunk

    def close(self) -> None:
        """Nobody wants the rest."""
        # Not here: the garbage collector may be who closes it, in any thread, holding any lock.
        if (self.chunks or not self.is_exhausted) and not self._core.dispatcher.closing.has_ended:
            self._core.dispatcher.feeder.add(self._call_off)
        self.is_exhausted = True

    def _call_off(self) -> None:
        with self._lock:
            self._core.dispatcher.call_off([task for chunk in self.chunks for task in chunk.tasks])
        self._core.dispatcher.closing.accepted(self)


def _once_more(
    pool: weakref.ref[Core], options: Options, function: Function, shape: int, item: Any, index: int
) -> TaskFuture:
    """An item by itself. Raises what submit raises; RuntimeError when nobody has the pool any more."""
    core = pool()
    if core is None:
        raise RuntimeError("the pool is gone")
    future = TaskFuture(core.dispatcher)
    task = core.task(function, shape, pack([item]), options)
    Chunk(future, [item], index, function.name).takes(task)
    core.dispatcher.submit(task)
    return future


def results(plan: Plan, *, on_error: str, progress: bool) -> Iterator[Any]:
    """What the calls returned; the work has begun already. An iterator that is dropped calls off what is not begun."""
    if on_error not in ("raise", "return", "skip"):
        plan.close()
        raise ValueError(f'on_error: {on_error!r} is none of "raise", "return", "skip"')
    # Chained, so that to take an item costs no turn of the interpreter.
    return chain.from_iterable(_lists(plan, on_error, Progress(plan.total) if progress else None))


def _lists(plan: Plan, on_error: str, progress: Progress | None) -> Iterator[list[Any]]:
    try:
        yield from _each(plan, on_error, progress)
    finally:
        plan.close()
        if progress is not None:
            progress.end()


def _each(plan: Plan, on_error: str, progress: Progress | None) -> Iterator[list[Any]]:
    while (chunk := plan.next()) is not None:
        values, errors = chunk.future.result()
        plan.taken += len(values)
        if progress is not None:
            progress.add(len(values), len(errors))
        if not errors:
            yield values
        elif on_error == "skip":
            yield [value for at, value in enumerate(values) if at not in errors]
        elif on_error == "return":
            yield [errors.get(at, value) for at, value in enumerate(values)]
        else:
            first = min(errors)
            yield values[:first]
            raise errors[first]
