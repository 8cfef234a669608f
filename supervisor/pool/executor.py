"""`Pool`: an Executor whose workers may die.

    with Pool() as pool:
        future = pool.submit(f, 1)
        for result in pool.options(task_timeout=5).map(g, items): ...

What is asked for here becomes tasks (task.py), and the dispatcher (dispatcher.py) does the rest. A `View` is the pool with
other options; the pool itself is the view with the default ones.
"""

from __future__ import annotations

import itertools
import os
import pickle
import weakref
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from supervisor.pool import at_end, frames, mapping
from supervisor.pool.crew import Welcome
from supervisor.pool.dispatcher import Dispatcher
from supervisor.pool.engine import Engine
from supervisor.pool.future import TaskFuture
from supervisor.pool.mainmodule import GUARD, MainModule, adopting
from supervisor.pool.options import Options
from supervisor.pool.parcel import pack, pack_function
from supervisor.pool.share import share, shared_in
from supervisor.pool.task import Function, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from supervisor.pool.parcel import Parcel
    from supervisor.pool.share import Shared

T = TypeVar("T")
_PLAIN = frozenset(
    {int, float, bool, type(None), complex}
)  # small, and without surprises: pickle needs no looking after
OnError = Literal["raise", "return", "skip"]


class Core:
    """What a pool and its views have in common. Its dispatcher does not know it, so that it can be collected."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._functions: dict[Callable[..., Any], Function] = {}
        self._numbers = itertools.count(1)

    def function(self, function: Callable[..., Any]) -> Function:
        """Pickled, or as it was pickled before if it is a name. Raises what pickling raises."""
        try:
            known = self._functions.get(function)
        except TypeError:  # not hashable
            known = None
        if known is not None:
            return known
        parcel, is_name = pack_function(function)
        name = getattr(function, "__qualname__", None) or repr(function)
        lending = self.dispatcher.lending
        data, place = (
            lending.put(parcel.data, parcel.buffers)
            if lending.is_needed(parcel.data, parcel.buffers)
            else (parcel.data, None)
        )
        made = Function(next(self._numbers), name, data, place, tuple(shared_in(parcel)), self.dispatcher.gone)
        if is_name:
            self._functions[function] = made
        return made

    def task(self, function: Function, shape: int, parcel: Parcel, options: Options) -> Task:
        """A task; what is large of it is copied now, in the caller's thread, as long as there is room for it."""
        task = Task(function, shape, parcel.data, parcel.buffers, options)
        if parcel.met:
            task.shared = tuple(shared_in(parcel))
        if self.dispatcher.lending.is_needed(parcel.data, parcel.buffers):
            self.dispatcher.lending.put_early(task)
        else:
            task.is_plain = not parcel.met
        return task


class View(Executor):
    """A pool as seen with certain options."""

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._options = options

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Have a worker call it. Arguments that cannot be pickled are an error of the future's.

        Raises RuntimeError after shutdown, PoolBroken when no worker can be had.
        """
        core = self._core
        dispatcher = core.dispatcher
        if dispatcher.error is not None:
            raise dispatcher.error
        future = TaskFuture(dispatcher)
        try:
            made = core.function(function)
            if kwargs or not _PLAIN.issuperset(map(type, args)):
                task = core.task(made, frames.CALL, pack((args, kwargs)), self._options)
            else:
                task = Task(made, frames.CALL, pickle.dumps((args, kwargs), 5), (), self._options)
                task.is_plain = True
        except Exception as error:  # noqa: BLE001 the future tells
            future.set_exception(error)
            return future
        task.future, future.task = future, task
        dispatcher.submit(task)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> Iterator[Any]:
        """What fn makes of every item, in order. Lists and the like are worked on at once, others as results are taken.

        timeout: seconds all results may take, counted from now; then TimeoutError. chunksize: items sent together, chosen by
        their measured duration if None. buffersize: items taken in and not yet given out. on_error: raise the first
        exception, or return exceptions as results, or skip those items. progress: count on stderr.
        """
        plan = mapping.Plan(
            self._core, self._options, fn, iterables, chunksize=chunksize, buffersize=buffersize, timeout=timeout
        )
        return mapping.results(plan, on_error=on_error, progress=progress)

    def imap_unordered(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> Iterator[Any]:
        """As `map`, each result as soon as it is there."""
        plan = mapping.Plan(
            self._core,
            self._options,
            fn,
            iterables,
            chunksize=chunksize,
            buffersize=buffersize,
            timeout=timeout,
            is_ordered=False,
        )
        return mapping.results(plan, on_error=on_error, progress=progress)

    def starmap(self, fn: Callable[..., T], iterable: Iterable[Sequence[Any]], **how: Any) -> Iterator[Any]:
        """As `map`, for items that are the arguments of one call each."""
        plan_keys = {key: how.pop(key, None) for key in ("chunksize", "buffersize", "timeout")}
        plan = mapping.Plan(self._core, self._options, fn, (iterable,), is_starred=True, **plan_keys)
        return mapping.results(plan, on_error=how.pop("on_error", "raise"), progress=how.pop("progress", False), **how)

    def plan(
        self, fn: Callable[..., Any], items: Iterable[Any], *, chunksize: int | None = None, is_ordered: bool = True
    ) -> mapping.Plan:
        """The chunks of a map, for whoever gives out their results himself."""
        return mapping.Plan(self._core, self._options, fn, (items,), chunksize=chunksize, is_ordered=is_ordered)

    def chunks(
        self, fn: Callable[..., Any], items: Sequence[Any], *, chunksize: int | None = None, is_starred: bool = False
    ) -> list[TaskFuture]:
        """Everything sent at once, in chunks (by default four per worker): a future of (values, errors by place) for each."""
        size = chunksize or max(1, -(-len(items) // (4 * self._core.dispatcher.crew.most)))
        plan = mapping.Plan(
            self._core,
            self._options,
            fn,
            (items,),
            chunksize=size,
            is_starred=is_starred,
            window=None,
        )
        return [chunk.future for chunk in plan.chunks]

    def drop_at_exit(self) -> None:
        """The program is not to wait for its tasks when it ends."""
        at_end.dropped_pools.add(self._core.dispatcher)

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more tasks."""
        return self._core.dispatcher.error is not None

    def options(self, **changes: Any) -> View:
        """The same pool with other options (see Options): for tasks submitted through what this returns."""
        return View(self._core, self._options.but(**changes))

    def share(self, obj: T) -> Shared[T]:
        """Something many tasks need: packed once, mapped once by each worker. Hand on the handle, `.get()` it there."""
        handle = share(obj)
        handle.tell_end(self._core.dispatcher.unshared.append)
        return handle

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks. wait: until those taken are done and the workers gone. cancel_futures: drop those not begun."""
        dispatcher = self._core.dispatcher
        dispatcher.closing.close(cancel=cancel_futures, now=False)
        if wait:
            dispatcher.closing.wait()

    def terminate(self) -> None:
        """End the workers now, whatever they are at; every future that is not done is cancelled."""
        self._core.dispatcher.closing.close(cancel=True, now=True)
        self._core.dispatcher.closing.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Who presses Ctrl-C does not mean: when everything is done.
        if kind is not None and not issubclass(kind, Exception):
            self.terminate()
        else:
            self.shutdown(wait=True)


class Pool(View):
    """Processes that run tasks, and are replaced when they die.

    max_workers: at most, by default as many as this process has CPUs; min_workers: kept even when idle; others leave after
    `idle_after` seconds without a task. standby: workers ready to take a dead one's place. preload: modules imported once,
    before workers are forked. initializer(*initargs): called in every worker before its first task; where it fails again and
    again the pool is broken (PoolBroken). max_tasks_per_child: tasks after which a worker is replaced; max_memory_per_child:
    bytes of resident memory after which it is, between two tasks.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        min_workers: int = 0,
        standby: int = 1,
        preload: Sequence[str] = (),
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
        idle_after: float = 60.0,
    ) -> None:
        if adopting():
            raise RuntimeError(GUARD)
        most = max_workers if max_workers is not None else len(os.sched_getaffinity(0))
        _check(most, min_workers, standby, max_tasks_per_child, max_memory_per_child, idle_after)
        main = MainModule.of_this_process()
        dispatcher = Dispatcher(
            most=most,
            least=min(min_workers, most),
            standby=standby,
            engine=lambda listener, with_main: Engine(listener, preload=preload, main=main if with_main else None),
            welcome=Welcome.of(main, initializer, initargs),
            max_tasks=max_tasks_per_child,
            max_memory=max_memory_per_child,
            idle_after=idle_after,
        )
        super().__init__(Core(dispatcher), Options())
        weakref.finalize(self._core, dispatcher.closing.abandon).atexit = False
        at_end.open_pools.add(dispatcher)

    def __repr__(self) -> str:
        return f"<Pool: {self._core.dispatcher!r}>"

    def __enter__(self) -> Self:
        return self


def _check(
    most: int, least: int, standby: int, max_tasks: int | None, max_memory: int | None, idle_after: float
) -> None:
    if most < 1:
        raise ValueError(f"max_workers: {most} is less than 1")
    if not 0 <= least <= most:
        raise ValueError(f"min_workers: {least} is not between 0 and max_workers ({most})")
    for name, value, lowest in (
        ("standby", standby, 0),
        ("max_tasks_per_child", max_tasks, 1),
        ("max_memory_per_child", max_memory, 1),
        ("idle_after", idle_after, 0),
    ):
        if value is not None and not value >= lowest:
            raise ValueError(f"{name}: {value} is less than {lowest}")
