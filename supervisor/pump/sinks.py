"""The way out: the service's stdout, whatever it is, without ever waiting for it.

The rule: a batch of whole lines is announced in the journal, written, and only then counted as sent. What a
killed pump managed to write is asked of the kernel: a regular file's shared position tells it, and a pipe or
socket is fed through the private pipe, whose fill level does. The descriptor's own flags are never touched:
O_NONBLOCK on a shared description would change the shell's terminal, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
from typing import TYPE_CHECKING

from supervisor.pump.journal import DRAINING, IDLE, STAGED, STAGING, WRITING, Journal, waiting_in

if TYPE_CHECKING:
    from supervisor.pump.render import Render

F_SETPIPE_SZ = 1031
RETRY_S = 1.0


class Sink:
    """Takes lines out of the ring. `waits_for`: the descriptor to poll for writing, while it is full."""

    def __init__(self, journal: Journal, fd: int, render: Render, *, now_ms: int) -> None:
        self.journal = journal
        self.fd = fd
        self.render = render
        self.now_ms = now_ms  # wall clock, brought by the loop
        self.waits_for: int | None = None
        self.broken_until = 0.0  # no attempt before (CLOCK_MONOTONIC)
        self.broken = False
        self.hindrance: OSError | None = None  # in place of every write, for chaos
        self.out = b""
        self.most = 1 << 17
        self.resume()

    def push(self, now: float) -> bool:
        """Write what can be written now; whether anything went."""
        self.waits_for = None
        if now < self.broken_until:
            return False
        went = False
        try:
            if self.hindrance is not None:
                raise self.hindrance
            while self._one():
                went = True
        except BlockingIOError:
            self.waits_for = self.fd
        except OSError as error:
            self.broken, self.broken_until = True, now + RETRY_S
            self.journal.lost_errno = error.errno or 0
        return went

    def _one(self) -> bool:
        journal = self.journal
        if journal.phase == IDLE:
            if not journal.unsent and not journal.torn:
                return False
            self._take()
        if not self.write():
            return False
        self.broken = False
        if not journal.torn:
            journal.sent += journal.batch
        journal.torn = journal.batch = journal.size = journal.done = 0
        journal.phase = IDLE
        journal.commit()
        return True

    def _take(self) -> None:
        journal = self.journal
        most = self.most
        while True:
            lines = journal.torn_rest() if journal.torn else journal.whole_lines(journal.sent, most)
            self.out = lines if journal.torn else self.render(lines)
            if len(self.out) <= self.most or lines.count(b"\n") == 1:
                break
            if most <= 4096:  # one line always fits
                lines = lines[: lines.index(b"\n") + 1]
                self.out = self.render(lines)
                break
            most //= 2
        journal.batch, journal.size, journal.done = 0 if journal.torn else len(lines), len(self.out), 0

    def _again(self) -> None:
        """The batch of the last pump, rendered once more."""
        journal = self.journal
        lines = journal.read(journal.sent, journal.sent + journal.batch)
        self.out = journal.torn_rest() if journal.torn else self.render(lines)

    def resume(self) -> None:
        """Find out how far the last pump came."""

    def write(self) -> bool:
        """Write the batch; True when all of it is out. Raises OSError."""
        raise NotImplementedError

    def gone(self) -> int:
        """Bytes of the batch that are out."""
        return self.journal.done

    def abandon(self) -> bytes:
        """Forget the batch; returns the rest of a half-written line, which must come first when writing works."""
        return b""

    def discard(self) -> None:
        """Writing fails and the ring is full: count what is unsent as lost, so that what is new has room."""
        journal = self.journal
        rest = self.abandon()
        unsent = journal.read(journal.sent, journal.head)
        whole = self.out[: self.gone()].count(b"\n") + bool(rest)
        if journal.torn:  # the batch was the torn line itself: nothing of the ring was in it
            rest, whole = rest or journal.torn_rest(), 0
        journal.lost += unsent.count(b"\n") - whole
        if journal.told and journal.told_at >= journal.sent:  # that line was not read by anyone: say it all again
            journal.lost += journal.told
        journal.told = 0
        journal.lost_bytes += len(unsent)
        journal.lost_since = journal.lost_since or self.now_ms
        journal.save_torn(rest)
        journal.sent = journal.head
        journal.batch = journal.size = journal.done = 0
        journal.phase = DRAINING
        journal.commit()
        self.resume()


class FileSink(Sink):
    """A regular file: its position, shared by all who hold the description, says what was written."""

    def resume(self) -> None:
        """See Sink."""
        journal = self.journal
        if journal.phase == DRAINING:
            journal.phase = IDLE
        if journal.phase == IDLE:
            return
        self._again()
        journal.done += self._written(os.lseek(self.fd, 0, os.SEEK_CUR))
        journal.at = os.lseek(self.fd, 0, os.SEEK_CUR)
        journal.commit()

    def _written(self, position: int) -> int:
        """How much of the rest of the batch a dead pump wrote; others may write to this file as well."""
        moved, rest = position - self.journal.at, self.out[self.journal.done :]
        if moved <= 0:
            return 0
        try:
            fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY)
        except OSError:
            return min(moved, len(rest))
        found = os.pread(fd, moved, self.journal.at)
        os.close(fd)
        if moved <= len(rest) and rest.startswith(found):
            return moved
        return len(rest) if rest in found else 0

    def write(self) -> bool:
        """See Sink."""
        journal = self.journal
        while journal.done < journal.size:
            appending = fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_APPEND
            journal.at = os.lseek(self.fd, 0, os.SEEK_END if appending else os.SEEK_CUR)
            journal.phase = WRITING
            journal.commit()
            journal.done += os.write(self.fd, memoryview(self.out)[journal.done :])
        return True

    def abandon(self) -> bytes:
        """See Sink."""
        done = self.journal.done
        if not done or self.out[done - 1 : done] == b"\n":
            return b""
        return self.out[done : self.out.index(b"\n", done) + 1]


class PipeSink(Sink):
    """A pipe: fed by splice from the private pipe (fds 8, 9), which keeps what was not taken."""

    chunk = 1 << 20

    def __init__(self, journal: Journal, fd: int, render: Render, private: tuple[int, int], *, now_ms: int) -> None:
        self.private_r, self.private_w = private
        for end in (self.private_w, fd):
            with contextlib.suppress(OSError):  # not a pipe, or beyond the user's allowance
                fcntl.fcntl(end, F_SETPIPE_SZ, 1 << 18)
        self.left = 0
        super().__init__(journal, fd, render, now_ms=now_ms)
        self.most = min(self.most, fcntl.fcntl(self.private_w, F_SETPIPE_SZ + 1))

    def resume(self) -> None:
        """See Sink."""
        journal = self.journal
        self.left = waiting_in(self.private_r)
        if journal.phase == DRAINING:
            while self.left:
                self.left -= len(os.read(self.private_r, self.left))
            journal.phase = IDLE
            journal.commit()
        if journal.phase == STAGING:
            self._again()
            self._stage(self.out[self.left :])
        if journal.phase == STAGED:
            self._again()

    def _stage(self, rest: bytes) -> None:
        os.write(self.private_w, rest)  # it is empty and large enough: this cannot wait
        self.left = self.journal.size
        self.journal.phase = STAGED
        self.journal.commit()

    def write(self) -> bool:
        """See Sink."""
        journal = self.journal
        if journal.phase == IDLE:
            journal.phase = STAGING
            journal.commit()
            self._stage(self.out)
        while self.left:
            self.before_splice()
            size = min(self.left, self.chunk)
            self.left -= os.splice(self.private_r, self.fd, size, flags=os.SPLICE_F_NONBLOCK)
        return True

    def gone(self) -> int:
        """See Sink."""
        return self.journal.size - self.left if self.journal.phase == STAGED else 0

    def before_splice(self) -> None:
        """A pipe says EAGAIN itself."""


class SocketSink(PipeSink):
    """A socket: splice may wait for room in it, so it gets little at a time and only when it says it has room."""

    chunk = 1 << 14

    def before_splice(self) -> None:
        """EAGAIN on its behalf."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        if not poll.poll(0):
            raise BlockingIOError


class DeviceSink(Sink):
    """A terminal or another device, reopened so that O_NONBLOCK is ours alone.

    Nothing tells what a device took. So each piece is noted when it is out: a kill in the instant between the two repeats
    that piece, and only that.
    """

    def __init__(self, journal: Journal, fd: int, render: Render, *, now_ms: int) -> None:
        with contextlib.suppress(OSError):  # another user's terminal: written as it is, a little at a time
            fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        self.piece = 1 << 12 if os.isatty(fd) else 1 << 16
        super().__init__(journal, fd, render, now_ms=now_ms)

    def resume(self) -> None:
        """See Sink."""
        journal = self.journal
        if journal.phase == WRITING:
            self._again()
            if len(self.out) == journal.size:
                return
        journal.phase = IDLE  # or the terminal has another width since: the batch is shown once more
        journal.batch = journal.size = journal.done = 0

    def write(self) -> bool:
        """See Sink."""
        journal = self.journal
        journal.phase = WRITING
        while journal.done < journal.size:
            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            if not poll.poll(0):
                raise BlockingIOError
            journal.done += os.write(self.fd, memoryview(self.out)[journal.done : journal.done + self.piece])
            journal.commit()
        return True


def open_sink(journal: Journal, fd: int, render: Render, private: tuple[int, int], *, now_ms: int) -> Sink:
    """The sink for what the descriptor is."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return FileSink(journal, fd, render, now_ms=now_ms)
    if stat.S_ISFIFO(mode):
        return PipeSink(journal, fd, render, private, now_ms=now_ms)
    if stat.S_ISSOCK(mode):
        return SocketSink(journal, fd, render, private, now_ms=now_ms)
    return DeviceSink(journal, fd, render, now_ms=now_ms)
