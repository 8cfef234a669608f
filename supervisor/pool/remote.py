"""One worker as its parent sees it: its socket, its page, and the tasks it was given.

    given ──sent──> outstanding ──record in the ring──> told

Nothing here decides; what the worker says is checked, and `Broken` is what it must not say.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from supervisor.pool import frames, page
from supervisor.pool.arena import Shelf
from supervisor.pool.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.pool.lending import Lending
    from supervisor.pool.page import Record
    from supervisor.pool.share import Shared
    from supervisor.pool.task import Function, Task

AHEAD_S = 0.004  # seconds of work a worker has before it; a round trip costs 0.1 ms
MOST = 1024  # tasks a worker may have
SHORT_S = 0.02  # a task so short is worth having the next one there already
PLACED = 2  # tasks with arguments in segments a worker may have: one at work, one ready
_NUMBER = struct.Struct("<Q")
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_SPACE = socket.CMSG_SPACE(32 * array.array("i").itemsize)


class Unsent(OSError):
    """There are no descriptors to send tasks with."""


class Remote:
    """See the head of this file."""

    def __init__(self, number: int) -> None:
        """Raises OSError. `theirs` is the worker's end of the socket, to be given away."""
        self.number = number
        self.page, fd = page.Page.create()
        try:
            self.sock, self.theirs = socket.socketpair()
            self.sock.setblocking(False)
            socket.send_fds(self.sock, [b"p"], [fd])
        finally:
            os.close(fd)
        self._outbox = frames.Outbox(self.sock)
        self.outstanding: deque[tuple[int, Task | None]] = deque()  # None: taken back
        self._sequence = self._asked_back = 0
        self.seen = Seen()
        self.shelf = Shelf()
        self.released: deque[int] = deque()  # segments of its results that nobody looks at any more; any thread appends
        self._fds: deque[int] = deque()
        self._bytes = b""
        self.pid = 0
        self.is_up = self.is_member = self.is_deaf = False  # deaf: its end of the socket is closed
        self.doom = ""  # why it was put down
        self.warned = 0  # the number of the task it was told the soft limit of
        self.told = 0  # tasks it has told the end of
        self.held = 0  # tasks it has and has not told
        self.placed = 0  # how many of them have arguments in a segment
        self._seen = (0, 0)  # tasks done and nanoseconds busy, when last looked at
        self.mean_s: float | None = None  # of its latest tasks
        self.initializer_error: bytes | None = None
        self.idle_since = time.monotonic()

    def __repr__(self) -> str:
        doom = f", put down: {self.doom}" if self.doom else ""
        return f"<Remote {self.number}, pid {self.pid}, {len(self.outstanding)} outstanding{doom}>"

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self.outstanding

    @property
    def has_begun(self) -> bool:
        """Whether it has begun a task, ever."""
        return self.page.words[page.SEQUENCE] > 0

    def rss_bytes(self) -> int:
        """Its resident memory; 0 if it is gone."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb", buffering=0) as file:
                return int(file.read().split()[1]) * _PAGE_SIZE
        except (OSError, IndexError):
            return 0

    def room(self) -> int:
        """How many tasks to send: it need not wait for us, and little waits behind what it is at."""
        mean_s = self.mean_s
        if mean_s is None:
            return 1 - self.held
        wanted = MOST if mean_s * MOST <= AHEAD_S else max(2 if mean_s < SHORT_S else 1, int(AHEAD_S / mean_s))
        return wanted - self.held if self.held * 2 <= wanted else 0

    def give(self, tasks: list[Task], lending: Lending) -> None:
        """Send tasks, with what they need that this worker has not seen. Raises OSError when it is gone.

        Raises Unsent, and nothing has changed, when there are no descriptors.
        """
        messages: list[tuple[Any, ...]] = []
        fds: list[int] = []
        sequence = self._sequence
        try:
            for task in tasks:
                if not task.is_plain or task.function.number not in self.seen.functions:
                    self.seen.prepare(task, lending, messages, fds)
            own = frames.duplicates(fds) if fds else fds
        except OSError as error:
            self.seen.undo(messages)
            raise Unsent(*error.args) from error
        while self.released:
            messages.append((frames.RELEASED, [self.released.popleft()]))
        for task in tasks:
            if task.place is not None:
                lending.lend(task.place.segment, self.number)
                self.placed += 1
            sequence += 1
            self.outstanding.append((sequence, task))
            task.where = (self, sequence)
            messages.append(task.message(sequence))
        self._sequence = sequence
        self.held += len(tasks)
        self._outbox.send(frames.frame(messages), own)

    def greet(self, welcome: tuple[Any, ...], shared: Sequence[Shared[Any]]) -> None:
        """The first thing it hears, and the shared objects in it. Raises OSError when it is gone."""
        self.seen.shared.update(handle.key for handle in shared)
        messages = [(frames.SHARED, handle.key) for handle in shared]
        own = frames.duplicates([handle.fd for handle in shared])
        self._outbox.send(frames.frame([*messages, welcome]), own)

    def warm(self, functions: list[Function]) -> None:
        """Have it load these and practise. Raises OSError when it is gone."""
        messages: list[tuple[Any, ...]] = []
        for function in functions:
            if function.number not in self.seen.functions:
                self.seen.functions.add(function.number)
                messages.append((frames.FUNCTION, function.number, function.data, None))
        messages.append((frames.WARM, [function.number for function in functions]))
        self._outbox.send(frames.frame(messages))

    def say(self, *messages: tuple[Any, ...]) -> None:
        """Send something that is no task. Raises OSError when it is gone."""
        self._outbox.send(frames.frame(list(messages)))

    def flush(self) -> bool:
        """Send what waits; whether all of it was. Raises OSError when it is gone."""
        self._outbox.flush()
        return not self._outbox

    @property
    def is_behind(self) -> bool:
        """Whether something waits until its socket takes more."""
        return bool(self._outbox)

    # -- what it says ------------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take what is in the socket. Raises page.Broken; afterwards `is_deaf` if it was the end."""
        while True:
            try:
                data, beside, flags, _ = self.sock.recvmsg(4096, _SPACE)
            except BlockingIOError:
                return
            except OSError:
                data, beside, flags = b"", [], 0
            for level, kind, content in beside:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                    self._fds.extend(fds)
            if flags & socket.MSG_CTRUNC:
                raise page.Broken("a result's segment did not arrive: we have no descriptor left")
            if not data:
                self.is_deaf = True
                return
            if data.strip(frames.BELL) or self._bytes:
                self._understand(data)
            if len(data) < 4096 and not beside:
                return

    def _understand(self, data: bytes) -> None:
        waiting = self._bytes + data
        while waiting:
            if waiting[:1] == frames.BELL:
                waiting = waiting[1:]
            elif waiting[:1] != frames.OWN_SEGMENT:
                raise page.Broken(f"{waiting[:8]!r} on its socket")
            elif len(waiting) < 1 + _NUMBER.size:
                break
            elif not self._fds:
                raise page.Broken("a segment without a descriptor")
            else:
                self.shelf.adopt(_NUMBER.unpack_from(waiting, 1)[0], self._fds.popleft())
                waiting = waiting[1 + _NUMBER.size :]
        self._bytes = waiting

    def records(self, *, rest: bool = True) -> list[Record]:
        """What it has told since the last call; see Page.read. Raises page.Broken, OSError."""
        records = self.page.read(rest=rest)
        words = self.page.words
        if words[page.FULL] and not self.is_deaf:
            self.say((frames.GO_ON,))
        done, busy = words[page.DONE], words[page.BUSY_NS]
        if done > self._seen[0]:
            sample = (busy - self._seen[1]) / (done - self._seen[0]) / 1e9
            self.mean_s = sample if self.mean_s is None else (self.mean_s + sample) / 2
            self._seen = done, busy
        return records

    def finished(self, sequence: int) -> Task | None:
        """The task this number stands for is over, or skipped; None if it was taken back. Raises page.Broken."""
        if not self.outstanding or self.outstanding[0][0] != sequence:
            raise page.Broken(f"a result of task {sequence}, which is not its turn")
        task = self.outstanding.popleft()[1]
        self.told += 1
        if task is not None:
            self._no_longer(task)
        return task

    def _no_longer(self, task: Task) -> None:
        self.held -= 1
        self.placed -= task.place is not None
        task.where = None

    def running(self) -> tuple[int, float] | None:
        """The number of the task it is at, and for how many seconds; None between two."""
        words = self.page.words
        sequence = words[page.SEQUENCE]
        if words[page.PHASE] == page.IDLE or not self.outstanding or sequence < self.outstanding[0][0]:
            return None
        return sequence, (time.monotonic_ns() - words[page.BEGAN_NS]) / 1e9

    def take_back(self) -> list[Task]:
        """The tasks it has not begun, which it will not begin any more.

        One that it begins at this very moment stays; should it not begin it after all, it tells so (page.SKIPPED).
        """
        if len(self.outstanding) < 2:
            return []
        words = self.page.words
        self._asked_back = self._sequence
        self.page.skip(max(words[page.SEQUENCE], self.outstanding[0][0]) + 1, self._sequence + 1)
        begun = max(words[page.SEQUENCE], self.outstanding[0][0])
        tasks = []
        for at, (sequence, task) in enumerate(self.outstanding):
            if sequence > begun and task is not None:
                self.outstanding[at] = (sequence, None)
                self._no_longer(task)
                tasks.append(task)
        return tasks

    def skipped(self, sequence: int) -> Task | None:
        """It has not begun this one; None if that is known. Raises page.Broken if it was not asked to."""
        if sequence > self._asked_back:
            raise page.Broken(f"it skips task {sequence}, which nobody took back")
        return self.finished(sequence)

    def left(self) -> tuple[Task | None, list[Task]]:
        """After its death: the task it was at, and those it has not begun, oldest first."""
        words = self.page.words
        at = words[page.SEQUENCE] if words[page.PHASE] != page.IDLE else 0
        culprit, others = None, []
        for sequence, task in self.outstanding:
            if task is not None:
                self._no_longer(task)
                if sequence == at:
                    culprit = task
                else:
                    others.append(task)
        self.outstanding.clear()
        return culprit, others

    def close(self) -> None:
        """Nothing more is expected of it; results in segments stay readable."""
        self._outbox.close()
        self.sock.close()
        self.theirs.close()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self.page.close()
