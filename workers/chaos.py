"""The hook of chaos in a worker's heart: orders to misbehave, obeyed in the worker's main thread.

Rules:
- It is there only where the service's config enables chaos and the worker's table says `chaos = true`
  (NINELIVES_CHAOS=1); no other worker imports this file.
- Orders and answers are lines of JSON in a memfd of the worker's own. The service finds it under
  /proc/PID/fd by its name, adds an order, and sends the signal ORDER; the handler adds an answer. What is
  long past is given back to the kernel, however many orders there were.
- An order names a kind of fault; its file in supervisor/chaos/faults is imported only when it is ordered.
- What is undone before it was begun is not begun; to undo what is over, or was never heard of, is no mistake.
- The next order may come at any instruction of the last one, and is obeyed within it. So nothing here takes
  a lock.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import importlib
import json
import os
import signal
import stat
import sys
from time import monotonic

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from workers.heart import Heart

NAME = "ninelives-chaos"
ORDER = signal.SIGRTMIN + 10
FAULTS = "supervisor.chaos.faults."
REMEMBERED = 64 * 1024  # bytes of orders and answers that are kept: the other end may still be reading
UNDONE = 100  # as many orders are remembered as undone, should they come late

_hook: Hook | None = None  # one a process, however many hearts it makes


class Act:
    """One fault in the doing, as its file sees it.

    `kept` is for what `end` must know; `over` becomes true when the fault is to end.
    """

    __slots__ = ("_hook", "_said", "heart", "identity", "kept", "module", "over", "parameters")

    def __init__(self, hook: Hook, identity: str, parameters: dict[str, Any]) -> None:
        self.identity, self.parameters = identity, parameters
        self.heart = hook.heart
        self.module: Any = None
        self.kept: dict[str, Any] = {}
        self.over = False
        self._hook, self._said = hook, False

    def __repr__(self) -> str:
        return f"<Act {self.identity} of {self.module.__name__ if self.module else 'nothing yet'}>"

    def has_begun(self) -> None:
        """Say that it is done now; called by faults that do not return, for all others when they have."""
        if not self._said and not self.over:
            self._said = True
            self._hook.answer(self.identity, begun=monotonic())

    def pipe(self) -> int:
        """The write end of the worker's beat pipe. Raises OSError where it has none (any more)."""
        fd = self.heart.fileno()
        if fd is None or not stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise OSError("it has no beat pipe any more")
        return fd

    def throw(self, error: BaseException) -> None:
        """Raise it in the worker's main thread, wherever that is at. From any thread."""
        self._hook.throw(error)


class Hook:
    """What listens for orders."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self._fd = -1
        self._file = (0, 0)  # which one that is, should somebody else have closed and used the number
        self._read = self._freed = 0  # bytes of the memory that were looked at, and that are gone
        self._taking = self._again = False
        self._depth = 0
        self._orders: list[dict[str, Any]] = []
        self._acts: dict[str, Act] = {}
        self._undone: dict[str, None] = {}
        self._error: BaseException | None = None
        self._pid = os.getpid()
        # Before there is a memory to be found: the signal ends a process that has no handler for it.
        signal.signal(ORDER, self._ordered)
        fd = os.memfd_create(NAME, os.MFD_CLOEXEC)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)  # as the other end has it: no line is written over another
        now = os.fstat(fd)
        self._file = (now.st_dev, now.st_ino)
        self._fd = fd
        atexit.register(self._close)
        self._ordered(ORDER, None)  # what was said meanwhile

    def answer(self, identity: str, **said: Any) -> None:
        """Tell the service."""
        line = json.dumps({"answer": identity, **said}).encode() + b"\n"
        try:
            os.write(self._fd, line)
        except OSError as error:  # no room: the service takes silence for a no
            if error.errno == errno.EFBIG:
                _write_all_the_same(self._fd, line)

    def throw(self, error: BaseException) -> None:
        """Raise it in the main thread."""
        self._error = error
        os.kill(self._pid, ORDER)  # to end what it may be waiting in

    def _ordered(self, _number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid or self._fd < 0:  # a child the worker has forked: the order was not for it
            return
        if self._taking:
            self._again = True
            return
        # Not for safety (it may be on its way already), but lest many at once each begin within the one before.
        signal.pthread_sigmask(signal.SIG_BLOCK, {ORDER})
        self._depth += 1
        try:
            self._take()
            while (order := self._next()) is not None:
                self._obey(order)
        finally:
            self._depth -= 1
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {ORDER})
        if self._error is not None and not self._depth:
            error, self._error = self._error, None
            raise error

    def _take(self) -> None:
        """Every new line, once, however often the signal comes meanwhile."""
        self._taking = self._again = True
        new: list[dict[str, Any]] = []
        while self._again:
            self._again = False
            new += self._unread()
        undo = [order for order in new if "undo" in order]
        for order in undo:  # at once: should the next signal come now, it must not begin what is undone here
            self._undone[order["id"]] = None
        while len(self._undone) > UNDONE:
            del self._undone[next(iter(self._undone))]
        self._orders[:0] = undo
        self._orders += [order for order in new if "undo" not in order]
        self._taking = False
        if self._again:
            self._take()

    def _unread(self) -> list[dict[str, Any]]:
        now = os.fstat(self._fd)
        if (now.st_dev, now.st_ino) != self._file:
            return []
        data = os.pread(self._fd, now.st_size - self._read, self._read)
        whole = data.rfind(b"\n") + 1
        self._read += whole
        if self._read - self._freed > 2 * REMEMBERED:
            self._free()
        return [said for line in data[:whole].splitlines() if (said := _order(line)) is not None]

    def _free(self) -> None:
        import mmap  # noqa: PLC0415 - after hundreds of orders

        end = (self._read - REMEMBERED) // mmap.PAGESIZE * mmap.PAGESIZE
        with mmap.mmap(self._fd, end - self._freed, offset=self._freed) as past:
            past.madvise(mmap.MADV_REMOVE)
        self._freed = end

    def _next(self) -> dict[str, Any] | None:
        try:
            return self._orders.pop(0)
        except IndexError:
            return None

    def _obey(self, order: dict[str, Any]) -> None:
        if "undo" in order:
            self._end(order["id"])
        elif order["id"] not in self._undone:
            if self._orders:
                signal.raise_signal(ORDER)  # this one may not return: the others are obeyed within it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {ORDER})
            self._begin(order)
            signal.pthread_sigmask(signal.SIG_BLOCK, {ORDER})

    def _begin(self, order: dict[str, Any]) -> None:
        act = Act(self, order["id"], order["with"])
        self._acts[act.identity] = act
        try:
            act.module = importlib.import_module(FAULTS + order["do"].replace("-", "_"))
            if act.over:
                return
            act.module.begin(act)
            if act.over:
                _put_right(act)  # it was undone while it began: what it did after that goes too
        except Exception as error:  # noqa: BLE001 - told to the service; a fault that fails must not be one
            self._acts.pop(act.identity, None)
            self.answer(act.identity, failed=_given_up(act, error))
            return
        if not act.module.FAULT.lasting:
            self._acts.pop(act.identity, None)
        act.has_begun()

    def _end(self, identity: str) -> None:
        act = self._acts.pop(identity, None)
        try:
            if act is not None:
                act.over = True
                _put_right(act)
        except Exception as error:  # noqa: BLE001 - told to the service
            self.answer(identity, failed=f"{type(error).__name__}: {error}")
            return
        self.answer(identity, undone=monotonic())

    def _close(self) -> None:
        """At the interpreter's end: nobody would hear an order any more, and its signal would kill us."""
        if os.getpid() != self._pid:
            return
        signal.signal(ORDER, signal.SIG_IGN)
        now = os.fstat(self._fd)
        if (now.st_dev, now.st_ino) == self._file:
            os.close(self._fd)
        self._fd = -1


def _write_all_the_same(fd: int, line: bytes) -> None:
    """Its disk is full on purpose, and a memfd is a file too: the limit is lifted for as long as this takes."""
    import resource  # noqa: PLC0415 - only for this

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        os.write(fd, line)
    except OSError:
        return
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _order(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:  # ours to read, but anybody's in this process to write
        return None
    return said if isinstance(said, dict) and "id" in said and ("undo" in said or "do" in said) else None


def _given_up(act: Act, error: Exception) -> str:
    """Why it could not be done, when what was done of it has been put right."""
    why = f"{type(error).__name__}: {error}"
    try:
        _put_right(act)
    except Exception as another:  # noqa: BLE001 - told to the service
        why += f"; {type(another).__name__}: {another}"
    return why


def _put_right(act: Act) -> None:
    end = getattr(act.module, "end", None)
    if end is not None:
        end(act)


def listen(heart: Heart) -> None:
    """Put the hook into this process. Only from the main thread; says so on stderr where it cannot."""
    global _hook  # noqa: PLW0603 - as signal handlers are
    if _hook is not None:
        _hook.heart = heart
        return
    try:
        _hook = Hook(heart)
    except (OSError, ValueError) as error:
        print(f"ninelives: no hook for chaos: {error}", file=sys.stderr)
