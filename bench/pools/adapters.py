"""The same calls to every pool: one class each, with that pool's defaults and two workers.

`stream` is the pool's own way to hand out items one by one and to get results as they come (imap where there is one, else
map); `gathered` its map() to a list, cut as the pool itself cuts when nobody says how; `cut` with chunks of a given size;
`submit` one task, and gives back what to call with seconds to have its result. None of them catches anything.

A package is imported by `load` only, so that its import can be timed, and so that none pays for another's.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.pools import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Wait = Callable[[float], Any]

WORKERS = 2


class Adapter:
    """What they have in common; `packages` are the modules a user imports."""

    packages: tuple[str, ...]
    cuts = False  # map() makes chunks of its own accord
    submits = True
    shares = False  # there is a way to give an array once for all
    edges: Callable[[Any], float] = staticmethod(tasks.edges)  # of what `share` gave

    @classmethod
    def load(cls) -> None:
        for package in cls.packages:
            import_module(package)

    def __init__(self, workers: int = WORKERS) -> None:
        self.workers = workers
        self.pool: Any = self.open()

    def open(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def submit(self, function: Callable[..., Any], *args: Any) -> Wait:
        raise NotImplementedError

    def submit_fatal(self, function: Callable[..., Any], *args: Any) -> Wait:
        """A task which is known to kill, and is not to be tried again."""
        return self.submit(function, *args)

    def stream(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        raise NotImplementedError

    def gathered(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.stream(function, items))

    def cut(self, function: Callable[..., Any], items: Sequence[Any], size: int) -> Iterable[Any]:
        raise NotImplementedError

    def survivors(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        """What map() gives of tasks some of which kill, one at a time as it comes."""
        return self.stream(function, items)

    def share(self, thing: Any) -> Any:
        return thing


class Multiprocessing(Adapter):
    """multiprocessing.Pool; billiard's is a fork of it."""

    packages: tuple[str, ...] = ("multiprocessing", "multiprocessing.pool")
    cuts = True

    def open(self) -> Any:
        return import_module(self.packages[0]).Pool(self.workers)

    def close(self) -> None:
        self.pool.terminate()
        self.pool.join()

    def submit(self, function: Callable[..., Any], *args: Any) -> Wait:
        wait: Wait = self.pool.apply_async(function, args).get
        return wait

    def stream(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.imap(function, items)
        return results

    def gathered(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(function, items))

    survivors = gathered

    def cut(self, function: Callable[..., Any], items: Sequence[Any], size: int) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items, size)
        return results


class Billiard(Multiprocessing):
    packages = ("billiard", "billiard.pool")


class Futures(Adapter):
    """concurrent.futures.ProcessPoolExecutor, and who looks like it."""

    packages: tuple[str, ...] = ("concurrent.futures", "concurrent.futures.process")

    def open(self) -> Any:
        return import_module(self.packages[-1]).ProcessPoolExecutor(self.workers)

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, function: Callable[..., Any], *args: Any) -> Wait:
        wait: Wait = self.pool.submit(function, *args).result
        return wait

    def stream(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items)
        return results

    def cut(self, function: Callable[..., Any], items: Sequence[Any], size: int) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items, chunksize=size)
        return results


class Ninelives(Futures):
    """One standby, as its documentation recommends."""

    cuts = True
    shares = True
    edges = staticmethod(tasks.edges_of_shared)

    @classmethod
    def load(cls) -> None:
        _ = import_module("supervisor").Pool

    def open(self) -> Any:
        return import_module("supervisor").Pool(max_workers=self.workers, standby=1)

    def submit_fatal(self, function: Callable[..., Any], *args: Any) -> Wait:
        wait: Wait = self.pool.options(retries=0).submit(function, *args).result
        return wait

    def survivors(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items, on_error="skip")
        return results

    def share(self, thing: Any) -> Any:
        return self.pool.share(thing)


class Loky(Futures):
    packages = ("loky",)

    def open(self) -> Any:
        return import_module("loky").get_reusable_executor(max_workers=self.workers)

    def close(self) -> None:
        self.pool.shutdown(wait=True, kill_workers=True)


class Joblib(Adapter):
    """It has no submit: one task is a whole call, which has happened when `submit` is back.

    One worker of it is none (the task would run, and die, in the caller), so it gets two.
    """

    packages = ("joblib",)
    submits = False
    shares = True  # an array that comes again is the memory map of the first time

    def open(self) -> Any:
        parallel = import_module("joblib").Parallel(n_jobs=WORKERS)
        return parallel.__enter__()

    def close(self) -> None:
        self.pool.__exit__(None, None, None)
        import_module("joblib.externals.loky").get_reusable_executor().shutdown(wait=True, kill_workers=True)

    def _tasks(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterable[Any]:
        delayed = import_module("joblib").delayed(function)
        return (delayed(item) for item in items)

    def submit(self, function: Callable[..., Any], *args: Any) -> Wait:
        try:
            (result,) = self.pool(self._tasks(function, args))
        except Exception as error:  # noqa: BLE001 it is raised to whoever asks for the result
            return lambda _, error=error: _raise(error)  # type: ignore[misc]
        return lambda _: result

    def stream(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        results: Iterable[Any] = self.pool(self._tasks(function, items))
        return results

    def cut(self, function: Callable[..., Any], items: Sequence[Any], size: int) -> Iterable[Any]:
        cutting = import_module("joblib").Parallel(n_jobs=WORKERS, batch_size=size)
        results: Iterable[Any] = cutting(self._tasks(function, items))
        return results

    def one_by_one(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        """Results that came before a worker died are not lost this way."""
        generous = import_module("joblib").Parallel(n_jobs=WORKERS, return_as="generator")
        results: Iterable[Any] = generous(self._tasks(function, items))
        return results

    survivors = one_by_one


def _raise(error: Exception) -> None:
    raise error


class Pebble(Adapter):
    packages = ("pebble",)

    def open(self) -> Any:
        return import_module("pebble").ProcessPool(max_workers=self.workers)

    def close(self) -> None:
        self.pool.stop()
        self.pool.join(10)

    def submit(self, function: Callable[..., Any], *args: Any) -> Wait:
        wait: Wait = self.pool.submit(function, None, *args).result
        return wait

    def stream(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items).result()
        return results

    def survivors(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        """The iterator goes on behind an error."""
        results = self.pool.map(function, items).result()
        while True:
            try:
                yield next(results)
            except StopIteration:
                return
            except import_module("pebble").ProcessExpired:
                continue

    def cut(self, function: Callable[..., Any], items: Sequence[Any], size: int) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items, chunksize=size).result()
        return results


class Mpire(Adapter):
    """With keep_alive, or its workers would be started anew for every call."""

    packages = ("mpire",)
    cuts = True

    def open(self) -> Any:
        return import_module("mpire").WorkerPool(n_jobs=self.workers, keep_alive=True)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.pool.terminate()

    def submit(self, function: Callable[..., Any], *args: Any) -> Wait:
        wait: Wait = self.pool.apply_async(function, args).get
        return wait

    def stream(self, function: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.imap(function, items, chunk_size=1)
        return results

    def gathered(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(function, items, concatenate_numpy_output=False))

    survivors = gathered

    def cut(self, function: Callable[..., Any], items: Sequence[Any], size: int) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, items, chunk_size=size, concatenate_numpy_output=False)
        return results


POOLS: dict[str, type[Adapter]] = {
    "ninelives": Ninelives,
    "multiprocessing.Pool": Multiprocessing,
    "ProcessPoolExecutor": Futures,
    "loky": Loky,
    "joblib": Joblib,
    "pebble": Pebble,
    "mpire": Mpire,
    "billiard": Billiard,
}
