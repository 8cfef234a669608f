"""`multiprocessing.Pool`'s interface on our pool: change the import, and nothing else.

    from supervisor.pool.compat import Pool

    pool = Pool(processes=5)
    results = pool.map(worker_function, inputs)
    pool.close()
    pool.join()

What differs is what happens when a worker dies: multiprocessing waits for ever, here the task is tried again and at last
raises TaskFailed, and all others are done. What does not: every item of a map is worked on, whatever another one raised;
a result is ready when its callback has been called; what is not done when the program ends is dropped.
"""

from __future__ import annotations

import builtins
import multiprocessing.context
import threading
import time
from collections import deque
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, TypeVar

from supervisor.pool import executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from typing import Self

    from supervisor.pool.mapping import Plan

T = TypeVar("T")


class TimeoutError(multiprocessing.context.TimeoutError, builtins.TimeoutError):  # noqa: A001 as multiprocessing calls it
    """It took longer than one would wait: to whoever knows multiprocessing's, and to whoever knows Python's."""


class AsyncResult:
    """What the `_async` methods return."""

    def __init__(
        self,
        futures: Sequence[Future[Any]],
        combine: Callable[[list[Any]], Any],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._futures, self._combine = futures, combine
        self._callback, self._error_callback = callback, error_callback
        self._called: threading.Event | None = None  # the callback has been
        self._caller: threading.Thread | None = None
        self._missing = len(futures)
        self._lock = threading.Lock()
        if callback is None and error_callback is None:
            return
        self._called = threading.Event()
        for future in futures:
            future.add_done_callback(self._on_done)
        if not futures:
            self._call_back()

    def _on_done(self, _future: Future[Any]) -> None:
        with self._lock:  # in the pool's thread, or in ours for what is done already
            self._missing -= 1
            if self._missing:
                return
        self._call_back()

    def _call_back(self) -> None:
        assert self._called is not None
        self._caller = threading.current_thread()
        try:
            try:
                value = self.get()
            except Exception as error:  # noqa: BLE001 it is the callback's to see
                if self._error_callback is not None:
                    self._error_callback(error)
                return
            if self._callback is not None:
                self._callback(value)
        finally:
            self._called.set()

    def get(self, timeout: float | None = None) -> Any:
        """The result, waited for at most `timeout` seconds. Raises what the function raised, TimeoutError."""
        if not self._wait(timeout):
            raise TimeoutError
        return self._combine([future.result() for future in self._futures])

    def _wait(self, timeout: float | None) -> bool:
        until = None if timeout is None else time.monotonic() + timeout
        if wait(self._futures, timeout).not_done:
            return False
        if self._called is None or self._caller is threading.current_thread():
            return True
        return self._called.wait(None if until is None else max(0.0, until - time.monotonic()))

    def wait(self, timeout: float | None = None) -> None:
        """Until it is there, or so many seconds."""
        self._wait(timeout)

    def ready(self) -> bool:
        """Whether it is there."""
        return self._wait(0)

    def successful(self) -> bool:
        """Whether nothing was raised. Raises ValueError if it is not there yet."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return all(future.exception() is None for future in self._futures)


class Results:
    """What `imap` and `imap_unordered` return. An error is raised in its item's place, and the next items come after it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ready: deque[tuple[Any, BaseException | None]] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result, waited for at most `timeout` seconds; after TimeoutError it can be asked for again."""
        while not self._ready:
            self._plan.deadline = None if timeout is None else time.monotonic() + timeout
            try:
                chunk = self._plan.next()
            except builtins.TimeoutError:
                raise TimeoutError from None
            if chunk is None:
                raise StopIteration
            values, errors = chunk.future.result()
            self._plan.taken += len(values)
            self._ready.extend((value, errors.get(at)) for at, value in enumerate(values))
        value, error = self._ready.popleft()
        if error is not None:
            raise error
        return value


class Pool:
    """See the head of this file; `context` is taken and has no meaning, for workers are always forked from a template."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        maxtasksperchild: int | None = None,
        context: object = None,  # noqa: ARG002
    ) -> None:
        self._pool = executor.Pool(
            processes, initializer=initializer, initargs=tuple(initargs), max_tasks_per_child=maxtasksperchild
        )
        self._pool.drop_at_exit()

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> T:
        """One call in a worker: func(*args, **kwds)."""
        return self.apply_async(func, args, kwds).get()  # type: ignore[no-any-return]

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """As `apply`, without waiting."""
        future = self._open().submit(func, *args, **(kwds or {}))
        return AsyncResult([future], lambda values: values[0], callback, error_callback)

    def map(self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None) -> list[T]:
        """What func makes of every item, in order."""
        return self.map_async(func, iterable, chunksize).get()  # type: ignore[no-any-return]

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """What func(*item) makes of every item, in order."""
        return self.starmap_async(func, iterable, chunksize).get()  # type: ignore[no-any-return]

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """As `map`, without waiting."""
        futures = self._open().chunks(func, _sized(iterable), chunksize=chunksize)
        return AsyncResult(futures, _joined, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """As `starmap`, without waiting."""
        futures = self._open().chunks(func, _sized(iterable), chunksize=chunksize, is_starred=True)
        return AsyncResult(futures, _joined, callback, error_callback)

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> Results:
        """What func makes of every item, in order, as they come; the iterable may be infinite."""
        return Results(self._open().plan(func, iter(iterable), chunksize=chunksize))

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> Results:
        """What func makes of every item, each as soon as it is there."""
        return Results(self._open().plan(func, iter(iterable), chunksize=chunksize, is_ordered=False))

    def _open(self) -> executor.Pool:
        if self._pool.is_closed:
            raise ValueError("Pool not running")
        return self._pool

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False)

    def terminate(self) -> None:
        """End the workers now."""
        self._pool.terminate()

    def join(self) -> None:
        """Wait until the workers are gone. Raises ValueError before close or terminate."""
        if not self._pool.is_closed:
            raise ValueError("Pool is still running")
        self._pool.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()


def _sized(iterable: Iterable[Any]) -> Sequence[Any]:
    return iterable if isinstance(iterable, (list, tuple, range)) else list(iterable)


def _joined(chunks: list[tuple[list[Any], dict[int, BaseException]]]) -> list[Any]:
    found: list[Any] = []
    for values, errors in chunks:
        if errors:
            raise errors[min(errors)]
        found.extend(values)
    return found
