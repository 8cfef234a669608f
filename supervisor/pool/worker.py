"""The program in a worker of a pool: take a task, do it, write its result into the ring; to the end of the socket.

Rules:
- What it is at stands in the shared page before it is begun, so that after any death the parent knows whom to blame.
- A result is told before anything of the task is let go of: a `__del__` that crashes takes no result along.
- An exception of the task's is its result. None of them ends the worker, SystemExit and KeyboardInterrupt included.
- What it cannot go on without (its socket, its page, a descriptor) ends it at once; the parent starts another.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import struct
from _pickle import dumps  # not pickle: see parcel.py
from functools import cached_property
from time import monotonic_ns

from supervisor import sockets
from supervisor.pool import chunks, frames, page
from supervisor.pool.errors import stamp
from supervisor.pool.mainmodule import belong_to
from supervisor.pool.parcel import THRESHOLD, pack, pack_error, unpack
from workers.hints import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, ModuleType

    from supervisor.pool.arena import Place, Shelf, Store
    from supervisor.pool.mainmodule import MainModule

CHANNEL = 6  # the socket to the parent
SOFT_SIGNAL = signal.SIGRTMIN + 8  # a task's soft time limit has passed
PRACTICE = 24  # turns: CPython specialises code after 8 to 16
LOST = 70  # exit code: no going on without what was lost (EX_SOFTWARE of sysexits.h)
_NUMBER = struct.Struct("<Q")


class SoftTimeout(Exception):
    """Raised inside a task when its soft time limit has passed; it may still clean up and return something."""


_PLAIN = frozenset({int, float, bool, type(None), str, bytes, complex})


class _Unloaded(NamedTuple):
    """A function that nobody has called yet: unpickled in its first task's turn, for it may crash us."""

    data: bytes
    place: Place | None


class Worker:
    """One worker; `run` returns when it is no longer wanted."""

    def __init__(self, sock: sockets.socket) -> None:
        self._sock = sock
        self._inbox = frames.Inbox(sock)
        _, fds, _ = sockets.receive_fds(sock, 1, 1)
        self._page = page.Page(fds[0])
        os.close(fds[0])
        self._words = self._page.words
        self._functions: dict[int, Callable[..., Any] | _Unloaded] = {}
        self._told: set[int] = set()  # segments of results the parent has
        self._main: MainModule | None = None
        self._is_copy = False
        os.register_at_fork(after_in_child=self._copied)

    @cached_property
    def _arguments(self) -> Shelf:
        from supervisor.pool.arena import Shelf  # noqa: PLC0415 2 ms of a first worker's start; a template has it

        return Shelf()

    @cached_property
    def _results(self) -> Store:
        from supervisor.pool.arena import Store  # noqa: PLC0415 as above

        return Store()

    @cached_property
    def _share(self) -> ModuleType:
        return importlib.import_module("supervisor.pool.share")

    def run(self) -> None:
        """Serve the parent until it says quit or is gone."""
        signal.signal(SOFT_SIGNAL, self._on_soft_limit)
        try:
            while True:
                message = self._inbox.next()
                if message[0] == frames.TASK:
                    self._perform(*message[1:])
                elif message[0] == frames.QUIT:
                    return
                else:
                    self._obey(message)
        except (frames.Closed, ConnectionError):
            return

    def _obey(self, message: tuple[Any, ...]) -> None:  # noqa: C901 a table
        match message:
            case (frames.FUNCTION, number, data, place):
                self._functions[number] = _Unloaded(data, place)
            case (frames.FORGET, number):
                self._functions.pop(number, None)
            case (frames.SEGMENT, number):
                self._arguments.adopt(number, self._inbox.fds.popleft())
            case (frames.DROP, numbers):
                for number in numbers:
                    self._arguments.forget(number)
            case (frames.RELEASED, numbers):
                self._take_back(numbers)
            case (frames.GO_ON,):
                pass  # one more than we waited for
            case (frames.WARM, numbers):
                self._warm_up(numbers)
            case (frames.SHARED, key):
                self._share.receive(key, self._inbox.fds.popleft())
            case (frames.UNSHARED, key):
                self._share.forget(key)
            case (frames.WELCOME, main, initializer, buffers):
                self._main = main
                belong_to(main)
                self._begin(initializer, buffers)

    def _warm_up(self, functions: list[int]) -> None:
        """Nobody waits: load what may be wanted, and go through the motions, so that every page they write to is our own."""
        for number in functions:
            unloaded = self._functions.get(number)
            if isinstance(unloaded, _Unloaded):
                with contextlib.suppress(Exception):  # the task that wants it will tell
                    self._functions[number] = self._load(unloaded.data, unloaded.place)
        self._functions[0] = int
        call = dumps(((), {}), 5)
        for _ in range(PRACTICE):
            dumps(self._outcome(0, frames.CALL, call, None, None), 5)
            self._words[page.PHASE] = page.IDLE
            self._tell(0, page.FILLER, call)

    def _take_back(self, numbers: list[int]) -> None:
        """Nobody looks at these results any more; of what is idle then not all is kept."""
        for number in numbers:
            self._results.release(number)
        for number in self._results.trim():
            self._told.discard(number)
            self._tell(0, page.TRIMMED, _NUMBER.pack(number))

    def _begin(self, initializer: bytes | None, buffers: Sequence[Any]) -> None:
        self._words[page.PHASE] = page.STARTING
        try:
            if initializer is not None:
                function, arguments = self._load(initializer, None, buffers)
                function(*arguments)
        except BaseException as error:  # noqa: BLE001 the parent tells whoever waits for this pool
            self._tell(0, page.INITIALIZER, pack_error(error, most=page.LARGEST))
            os._exit(1)
        self._words[page.PHASE] = page.IDLE
        self._tell(0, page.UP, b"")

    def _copied(self) -> None:
        self._is_copy = True

    # -- a task ------------------------------------------------------------------------------------------------------

    def _perform(
        self,
        sequence: int,
        function: int,
        shape: int,
        data: bytes | None,
        place: Place | None,
        span: tuple[int, int] | None,
    ) -> None:
        words = self._words
        began = words[page.BEGAN_NS] = monotonic_ns()
        words[page.SEQUENCE] = sequence
        words[page.PHASE] = page.UNPICKLING
        self._page.fence()
        if words[page.SKIP_FROM] <= sequence < words[page.SKIP_TO]:
            words[page.PHASE] = page.IDLE
            self._tell(sequence, page.SKIPPED, b"")
        else:
            value = self._outcome(function, shape, data, place, span)
            if self._is_copy:  # the task forked, and its child came back: the ring is not his
                os._exit(0)
            words[page.BUSY_NS] += monotonic_ns() - began
            words[page.DONE] += 1
            if type(value) in _PLAIN and len(told := dumps(value, 5)) <= THRESHOLD:
                words[page.PHASE] = page.WRITING
                self._tell(sequence, page.VALUE, told)
            else:
                self._tell_outcome(sequence, value, is_chunk=shape != frames.CALL)
            words[page.PHASE] = page.IDLE
            del value
        if place is not None:
            used = self._arguments.still_used(place.segment)
            self._tell(0, page.KEPT if used else page.FREED, _NUMBER.pack(place.segment))

    def _outcome(
        self, function: int, shape: int, data: bytes | None, place: Place | None, span: tuple[int, int] | None
    ) -> Any:
        """The value of a call, the (values, errors) of a chunk, or an _Error."""
        words = self._words
        try:
            called = self._functions[function]
            if type(called) is _Unloaded:
                called = self._functions[function] = self._load(called.data, called.place)
            if shape == frames.CALL:
                positional, named = self._load(data, place)
                words[page.PHASE] = page.RUNNING
                value = called(*positional, **named)  # type: ignore[operator]
            else:
                items = self._load(data, place)
                words[page.ITEM] = 0
                words[page.PHASE] = page.RUNNING
                value = chunks.run(words, called, items, shape, span or (0, len(items)))  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 it is the task's result
            stamp(error, page.PHASES[words[page.PHASE]], words[page.BEGAN_NS])
            words[page.PHASE] = page.PICKLING
            return _Error(pack_error(error))
        words[page.PHASE] = page.PICKLING
        return value

    def _load(self, data: bytes | None, place: Place | None, buffers: Sequence[Any] = ()) -> Any:
        if place is not None:
            buffers = self._arguments.open(place)
        try:
            return unpack(data, buffers) if data is not None else unpack(buffers[0], buffers[1:])
        except (AttributeError, ImportError) as error:
            # Whoever pickled it meant the user's script, which nobody has needed here so far.
            if self._main is None or self._main.adopted or "_main__" not in str(error):
                raise
            self._main.adopt()
            return unpack(data, buffers) if data is not None else unpack(buffers[0], buffers[1:])

    def _on_soft_limit(self, _number: int, _frame: FrameType | None) -> None:
        words = self._words
        if words[page.SOFT] == words[page.SEQUENCE] != 0 and words[page.PHASE] in (page.UNPICKLING, page.RUNNING):
            words[page.SOFT] = 0
            raise SoftTimeout("the task's soft time limit has passed")

    # -- telling the parent ------------------------------------------------------------------------------------------

    def _tell_outcome(self, sequence: int, value: Any, *, is_chunk: bool) -> None:
        buffers: Sequence[Any] = ()
        if isinstance(value, _Error):
            kind, data = page.ERROR, value.data
        else:
            try:
                kind, (data, buffers) = page.VALUE, pack(value)
            except BaseException as error:  # noqa: BLE001 a result that cannot be pickled is an error of the task's
                stamp(error, page.PHASES[page.PICKLING], self._words[page.BEGAN_NS])
                kind, data = chunks.without_the_unpicklable(*value) if is_chunk else (page.ERROR, pack_error(error))
        self._words[page.PHASE] = page.WRITING
        if not buffers and len(data) <= THRESHOLD:
            self._tell(sequence, kind, data)
            return
        inline = len(data) <= THRESHOLD // 2
        try:
            place = self._results.put(buffers if inline else [data, *buffers])
        except (MemoryError, OSError) as error:
            self._tell(sequence, page.ERROR, pack_error(error))
            return
        self._introduce(place.segment)
        told = frames.encode_place(place, data if inline else None, is_error=kind == page.ERROR)
        self._tell(sequence, page.PLACED, told)

    def _introduce(self, segment: int) -> None:
        if segment not in self._told:
            self._told.add(segment)
            sockets.send_fds(self._sock, frames.OWN_SEGMENT + _NUMBER.pack(segment), [self._results.fd(segment)])

    def _tell(self, sequence: int, kind: int, payload: bytes) -> None:
        shared = self._page
        while not shared.write(sequence, kind, payload):
            self._words[page.FULL] = 1
            if shared.must_ring():
                self._sock.send(frames.BELL)
            self._inbox.wait_for(frames.GO_ON)
            self._words[page.FULL] = 0
        if shared.must_ring():
            self._sock.send(frames.BELL)


class _Error(NamedTuple):
    """A task that raised: its exception, packed."""

    data: bytes


def main() -> None:
    """Be a worker until the parent has no more use for it."""
    try:
        Worker(sockets.of(CHANNEL)).run()
    except OSError as error:
        os.write(2, f"ninelives pool: worker {os.getpid()} cannot go on: {error}\n".encode())
        os._exit(LOST)
