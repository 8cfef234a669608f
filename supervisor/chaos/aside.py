"""Work of a fault beside the worker's main thread: a thread, or children.

Orders are obeyed at any instruction of the main thread, which may just hold a lock of `threading`: so threads
are made without it, and no lock is waited for without an end.
"""

from __future__ import annotations

import os
import signal
import sys
from _thread import allocate_lock, start_new_thread
from time import monotonic, sleep

from supervisor import kernel
from workers.hints import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

GONE_WITHIN = 1.0  # seconds for which the main thread waits for the end of a thread or child it has ended


class Beside:
    """A thread that does `work(self)`, which looks at `over` or returns when `pause` says True."""

    def __init__(self, work: Callable[[Beside], None]) -> None:
        self.over = False
        self._work = work
        self._bell, self._gone = allocate_lock(), allocate_lock()
        self._bell.acquire()
        self._gone.acquire()
        start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self._work(self)
        finally:
            self._gone.release()

    def pause(self, seconds: float) -> bool:
        """Wait; True, at once, when it is over."""
        if not self.over and self._bell.acquire(timeout=max(0.0, seconds)):
            self._bell.release()
        return self.over

    def end(self) -> None:
        """Have it end, and wait for that a while. As often as you like."""
        if not self.over:
            self.over = True
            self._bell.release()
        if self._gone.acquire(timeout=GONE_WITHIN):
            self._gone.release()


def fork(life: Callable[[], object], *, dies_with_us: bool) -> int:
    """A child that does `life` and ends, whatever comes of it; its pid. Raises OSError where there can be none.

    It has this process' descriptors, and the default handlers of a process just started.
    """
    import warnings  # noqa: PLC0415 - every interpreter has it

    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that we have threads: the child leaves everybody's locks alone
            pid = os.fork()
        if not pid:
            if dies_with_us and not kernel.die_with_parent(parent):
                os._exit(0)
            _be_a_child(life)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _be_a_child(life: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)  # a loop's of the worker
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        life()
        code = 0
    except BaseException:  # noqa: BLE001 - on the worker's stderr; it must never run on in a child
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def reap(pids: list[int]) -> list[int]:
    """Wait a while for these children, which are about to end; those that are left."""
    deadline = monotonic() + GONE_WITHIN
    left = pids
    while True:
        left = [pid for pid in left if not _is_reaped(pid)]
        if not left or monotonic() > deadline:
            return left
        sleep(0.002)


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # the worker's own code was faster
        return True
