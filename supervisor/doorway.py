"""Lines in and out of many clients at once, each of which can hurt only itself.

The rule of this file: every buffer has a size and every wait an end. Clients are accepted in small batches;
no more than `clients` are served, the rest wait in the backlog until one leaves or has been idle for a while;
when descriptors run out, the one at the door is told so. Nothing here knows what a line means.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine

_BATCH = 8  # clients accepted, and lines in and out, in one turn of the loop
_CHUNK = 16 * 1024
_PAUSE = 0.05  # seconds the door stays shut when there is no room; a leaving guest opens it at once


class Bounds(NamedTuple):
    """What a client may cost: bytes, seconds and numbers."""

    line: int = 64 * 1024
    clients: int = 256  # served at once; more wait to be accepted
    asking: int = 16  # requests of one client that are not answered yet
    unfinished: int = 1024  # requests under way, with those whose clients have left
    unsent: int = 16 * 1024 * 1024  # bytes of answers not yet taken, of all clients together
    half_sent: float = 10.0  # until an incomplete line is given up
    unread: float = 10.0  # until a client that does not take its answer is cut
    idle: float = 0.5  # a client that asks nothing for so long makes room when others wait


BOUNDS = Bounds()


class Guest:
    """One connected client."""

    def __init__(self, sock: socket.socket, now: float, asking: int) -> None:
        self.sock = sock
        self.heard_at = now  # loop time of the last complete line or finished request
        self.tasks: set[asyncio.Task[None]] = set()
        self.reader: asyncio.Task[None] | None = None
        self.given_away = False  # its socket belongs to somebody else now
        self.gone = False
        self._sending = asyncio.Lock()
        self._patience: asyncio.Timeout | None = None  # of the answer that is being sent
        self._room = asyncio.Semaphore(asking)

    def __repr__(self) -> str:
        return f"<Guest fd={self.sock.fileno()} asking={len(self.tasks)}>"

    async def begin(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run one request as a task of its own; waits while too many of this client's are unanswered."""
        await self._room.acquire()
        task = asyncio.get_running_loop().create_task(work())
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._room.release()
        self.heard_at = asyncio.get_running_loop().time()

    async def send(self, data: bytes, seconds: float) -> None:
        """Send in one piece; TimeoutError when the client does not take it, OSError when it has gone."""
        async with self._sending:
            if self.gone:
                raise BrokenPipeError
            try:
                async with asyncio.timeout(seconds) as self._patience:
                    await asyncio.get_running_loop().sock_sendall(self.sock, data)
            finally:
                self._patience = None

    def cut(self) -> None:
        """End the connection now; requests that were begun go on, their answers go nowhere."""
        if not self.gone and self.reader is not None:
            self.reader.cancel()  # once: a second time would interrupt its clearing up
        self.gone = True

    async def close(self) -> None:
        """Close the socket, but not under a send that waits for it: the loop would watch a freed number."""
        self.gone = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())
        async with self._sending:
            if not self.given_away:
                self.sock.close()

    def hung_up(self) -> bool:
        """Whether nobody is there to hear an answer; one who only has nothing more to say still listens."""
        poll = select.poll()
        poll.register(self.sock, 0)
        return any(flags & (select.POLLHUP | select.POLLERR) for _, flags in poll.poll(0))


class Doorway:
    """Accepts on `listener`, which stays its owner's, and hands every client's lines to `hear` one by one.

    What `hear` raises is its own business: OSError and TimeoutError end that connection, nothing else may
    come.
    """

    def __init__(
        self, listener: socket.socket, hear: Callable[[Guest, bytes], Awaitable[None]], bounds: Bounds
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._hear = hear
        self._bounds = bounds
        self._guests: set[Guest] = set()
        self._unsent: dict[Guest, int] = {}  # bytes; longest waiting first
        self._reopening: asyncio.TimerHandle | None = None
        self._open = False
        self._spare = -1
        self._turnstile = asyncio.Semaphore(_BATCH)

    def __repr__(self) -> str:
        return f"fd={self._listener.fileno()} clients={len(self._guests)}/{self._bounds.clients}"

    def open(self) -> None:
        """Begin to accept."""
        self._open = True
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def close(self, seconds: float = 1.0) -> None:
        """Accept no more; give answers that are under way `seconds` to be sent, then cut."""
        self._open = False
        self._shut()
        os.close(self._spare)
        if asking := [task for guest in self._guests for task in guest.tasks]:
            await asyncio.wait(asking, timeout=seconds)
        left = [task for guest in self._guests for task in (guest.reader, *guest.tasks) if task is not None]
        for guest in self._guests:
            guest.cut()
            for task in guest.tasks:
                task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def send(self, guest: Guest, data: bytes) -> None:
        """Send an answer; a client that does not take it in time is cut. Never raises for that."""
        await self._in_turn()
        self._unsent[guest] = self._unsent.get(guest, 0) + len(data)
        while sum(self._unsent.values()) > self._bounds.unsent:
            slowest = next(iter(self._unsent))
            del self._unsent[slowest]
            slowest.cut()
        try:
            await guest.send(data, self._bounds.unread)
        except OSError:  # TimeoutError is one
            guest.cut()
        finally:
            left = self._unsent.pop(guest, 0) - len(data)
            if left > 0:
                self._unsent[guest] = left

    async def _in_turn(self) -> None:
        """Let only a few lines in or out in one turn of the loop, though hundreds be ready."""
        await self._turnstile.acquire()
        asyncio.get_running_loop().call_soon(self._turnstile.release)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            if len(self._guests) >= self._bounds.clients and not self._make_room():
                self._pause()
                return
            try:
                sock = self._listener.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in {errno.EMFILE, errno.ENFILE}:
                    continue  # ECONNABORTED and its like: that one has gone
                self._turn_away()
                return
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            guest = Guest(sock, loop.time(), self._bounds.asking)
            self._guests.add(guest)
            guest.reader = loop.create_task(self._attend(guest))

    def _make_room(self) -> bool:
        """Show the guest that has been idle longest the door, if it has been so for long enough."""
        resting = [guest for guest in self._guests if not guest.tasks]
        idle = min(resting, key=lambda guest: guest.heard_at, default=None)
        if idle is None or asyncio.get_running_loop().time() - idle.heard_at < self._bounds.idle:
            return False
        self._guests.discard(idle)
        idle.cut()
        return True

    def _turn_away(self) -> None:
        """No descriptor is left: give up the spare one for as long as it takes to say so to one client."""
        os.close(self._spare)
        with contextlib.suppress(OSError), self._listener.accept()[0] as sock:
            sock.setblocking(False)
            sock.send(b'{"id":null,"ok":false,"code":1,"error":"the service is out of file descriptors"}\n')
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._pause()

    def _pause(self) -> None:
        """Shut the door for a moment: a listener that stays readable would spin the loop."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._reopening = loop.call_later(_PAUSE, self._reopen)

    def _reopen(self) -> None:
        if self._reopening is not None and self._open:
            self._reopening.cancel()
            self._reopening = None
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _shut(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)

    async def _attend(self, guest: Guest) -> None:
        try:
            await self._read(guest)
            if guest.tasks and not guest.given_away and not guest.hung_up():
                await asyncio.wait(guest.tasks)
        except OSError:
            pass  # it has gone; nobody is left to tell
        finally:
            await guest.close()
            self._guests.discard(guest)
            self._reopen()

    async def _read(self, guest: Guest) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        deadline: float | None = None
        while not guest.given_away:
            line, newline, rest = buffer.partition(b"\n")
            if newline and len(line) <= self._bounds.line:
                buffer, deadline, guest.heard_at = rest, None, loop.time()
                await self._in_turn()
                await self._hear(guest, bytes(line))
                continue
            if len(line) > self._bounds.line:
                await self._complain(guest, f"a request is one line of at most {self._bounds.line} bytes")
                return
            if buffer and deadline is None:
                deadline = loop.time() + self._bounds.half_sent
            try:
                async with asyncio.timeout_at(deadline):
                    data = await loop.sock_recv(guest.sock, _CHUNK)
            except TimeoutError:
                await self._complain(guest, f"no newline within {self._bounds.half_sent:g} s: given up")
                return
            if not data:
                return
            buffer += data

    async def _complain(self, guest: Guest, sentence: str) -> None:
        await self.send(guest, b'{"id":null,"ok":false,"code":2,"error":"%s"}\n' % sentence.encode())
