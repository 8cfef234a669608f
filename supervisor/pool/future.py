"""The future of a task: a real one, whose result is unpickled by whoever asks for it.

The dispatcher must never run the user's code: a `__setstate__` that hangs would hang every task. So it delivers bytes, and
`result()` opens them, in the caller's thread, once. Callbacks are not the dispatcher's to run either: they go to a thread of
their own (`Errands`).
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from supervisor.pool.latch import Latch
from supervisor.pool.parcel import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.task import Task

_taking = threading.RLock()  # a signal handler may take one while we do
PATIENCE = 1.0  # seconds; whoever holds a future's condition for longer was interrupted, and will never let go of it
OPENING = bytes(7)  # in the place of a result that somebody is unpickling: this object, whatever a worker may send
AGAIN = 0.01  # seconds between two looks whether that is done: nobody is told, for mostly nobody waits


class Sealed(Protocol):
    """A result not yet opened."""

    is_error: bool

    def open(self) -> Any:
        """The value. Raises what the task raised, or what unpickling raises."""


class Owner(Protocol):
    """What a future asks of its pool."""

    def cancel(self, task: Task) -> None:
        """Take the task back or put its worker down, and tell its future; nothing when it is too late."""

    def is_running(self, task: Task) -> bool:
        """Whether a worker has begun it."""

    def later(self, errand: Callable[[], object]) -> None:
        """Run this in a thread where it may take its time."""


class TaskFuture(Future[Any]):
    """See the head of this file.

    What somebody waits for is made when he does: most results are there before they are asked for, and it costs as much as all
    the rest of a future. So whoever is done says so first and looks who waits second, and whoever waits says so first and looks
    whether it is done second. The condition is for those who know no better: as_completed, callbacks.
    """

    _latch: Latch | None = None
    _made: threading.Condition | None = None

    def __init__(self, owner: Owner) -> None:
        # Not the base class's: everything it sets is set here, but for the condition.
        self._state = PENDING
        self._result = self._exception = None
        self._who_waits: list[Any] | None = None
        self._who_is_called: list[Callable[[Future[Any]], object]] | None = None
        self._owner = owner
        self.task: Task | None = None  # whom to ask about
        self._sealed: Sealed | bytes | None = None
        self.hook: Callable[[], None] | None = None  # called when it is done, by the dispatcher, under its lock

    if TYPE_CHECKING:  # as the base class declares them: as_completed asks for attributes
        _condition: threading.Condition
        _waiters: list[Any]
        _done_callbacks: list[Callable[[Future[Any]], object]]
    else:

        @property
        def _waiters(self) -> list[Any]:
            if self._who_waits is None:
                self._who_waits = []
            return self._who_waits

        @property
        def _done_callbacks(self) -> list[Callable[[Future[Any]], object]]:
            if self._who_is_called is None:
                self._who_is_called = []
            return self._who_is_called

        @property
        def _condition(self) -> threading.Condition:
            return self._made or vars(self).setdefault("_made", threading.Condition())  # in one step

    def deliver(self, sealed: Sealed | bytes) -> None:
        """It is done (bytes: a pickled value); without effect on a future that was cancelled."""
        if self._state != PENDING:
            return
        self._sealed = sealed
        self.task = None
        self._state = FINISHED
        self._tell("add_result" if isinstance(sealed, bytes) or not sealed.is_error else "add_exception")

    def _tell(self, what: str) -> None:
        latch, made = self._latch, self._made
        if latch is not None:
            latch.open()
        if self.hook is not None:
            self.hook()
        if made is None:
            return
        if made.acquire(blocking=False):
            self._tell_others(made, what)
        else:  # not ours to wait for: its holder may never let go
            self._owner.later(lambda: self._tell_others(made, what) if made.acquire(timeout=PATIENCE) else self._call_back())

    def _tell_others(self, made: threading.Condition, what: str) -> None:
        try:
            for waiter in self._who_waits or ():
                getattr(waiter, what)(self)
            made.notify_all()
        finally:
            made.release()
        self._call_back()

    def _call_back(self) -> None:
        # Each by itself: `exit()` in one is no reason not to call the next.
        for callback in self._who_is_called or ():
            self._owner.later(partial(callback, self))

    def cancel(self) -> bool:
        """Cancel it; a task that runs already is ended together with its worker. False if it is done."""
        task = self.task
        if task is not None:
            self._owner.cancel(task)
        return self.cancelled()

    def called_off(self) -> None:
        """The pool has cancelled its task, or one of its tasks: only the first time counts."""
        if self._state != PENDING:
            return
        self._state = CANCELLED_AND_NOTIFIED
        self.task = None  # it knows us, and only the garbage collector would break the circle
        self._tell("add_cancelled")

    def disown(self, error: BaseException) -> None:
        """In a child forked by the user's program: there it fails, and its callbacks are the parent's to call."""
        global _taking  # noqa: PLW0603 another thread of the parent may have held it
        _taking = threading.RLock()
        vars(self).pop("_made", None)
        self._who_waits = self._who_is_called = self.hook = self.task = None
        if self._state == PENDING:
            self._exception, self._state = error, FINISHED

    def running(self) -> bool:
        """Whether a worker has begun it and has not told its result."""
        task = self.task
        return task is not None and not self.done() and self._owner.is_running(task)

    def result(self, timeout: float | None = None) -> Any:
        """What the task returned, waited for at most `timeout` seconds. Raises what it raised, TaskFailed, TimeoutError."""
        self._wait(timeout)
        if self._exception is not None:
            try:
                raise self._exception
            finally:
                self = None  # type: ignore[assignment]  # noqa: PLW0642 break the cycle through the traceback, as the base class does
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception the task raised, None if it returned; waits as `result` does."""
        self._wait(timeout)
        return self._exception

    def _get_snapshot(self) -> tuple[bool, bool, Any, BaseException | None]:  # asyncio reads the fields from 3.14 on
        if self._state != FINISHED:
            return self.done(), self.cancelled(), None, None
        self._open()
        return True, False, self._result, self._exception

    def _wait(self, timeout: float | None) -> None:
        """Until it is done, and opened."""
        if self._state != FINISHED:
            latch = self._latch or vars(self).setdefault("_latch", Latch())  # in one step
            if self._state == PENDING and not latch.wait(timeout):
                raise TimeoutError
            if self._state != FINISHED:
                raise CancelledError
        if self._sealed is not None:
            self._open()

    def _open(self) -> None:
        """Once, by whoever comes first; others wait for him."""
        sealed: Any = OPENING
        try:
            with _taking:
                sealed, self._sealed = self._sealed, OPENING
            if sealed is not OPENING and sealed is not None:
                self._result = unpack(sealed) if isinstance(sealed, bytes) else sealed.open()
        except (Exception, SystemExit) as error:  # noqa: BLE001 it is what the task has to tell
            self._exception = error
            if not isinstance(sealed, bytes) and sealed.is_error:
                # It was raised elsewhere. Our frames have us in them: a circle only the garbage collector would break.
                error.with_traceback(None)  # setting the attribute is what a frozen dataclass refuses
        except BaseException:  # raised again: we are interrupted, and may be asked once more
            if sealed is not OPENING:
                self._sealed = sealed
            raise
        if sealed is not OPENING:
            self._sealed = None
        while self._sealed is OPENING:
            time.sleep(AGAIN)
