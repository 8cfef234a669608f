"""Clients of `logs -f` and `events -f`: a filtered view of the ring, each at its own pace.

The ring is the buffer: a follower is a position in it. One that is too slow finds its place overwritten and
is told how many lines it missed; nobody waits for it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
import select
import signal
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from supervisor.pump.lines import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from supervisor.pump.journal import Journal

MOST = 1 << 18  # bytes waiting for one client
LOOK = 1 << 16  # bytes of the ring looked at together
TURN_S = 0.003  # for one client in one turn: with a cheap filter it keeps up with any flood
GREP_S = 0.2  # for one turn: a regex can take for ever
_OUTPUT = re.compile(rb'^\{"timestamp":"[^"\n]+","level":"\w+","event":"worker\.output".*\n', re.MULTILINE)  # made by us
_LEVELS = ("debug", "info", "warning", "error", "critical")


class Follower:
    """One client. Its filter keeps the lines of which every given part holds."""

    def __init__(self, journal: Journal, client: socket.socket, wanted: dict[str, Any], *, follow: bool) -> None:
        self.journal = journal
        self.client = client
        self.follow = follow
        self.after = max(int(wanted.get("after") or 0), 0)
        self.at = place_behind(journal, self.after)
        self.until = journal.head  # where the history ends
        self.seen = self.after  # the last seq looked at
        self.output = wanted.get("output") is not False
        self.buffer = b""
        self.broken = False
        since = wanted.get("since")
        self.since = "" if since is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
        self.levels = _LEVELS[_LEVELS.index(wanted["level"]) :] if wanted.get("level") in _LEVELS else None
        self.globs = {
            key: re.compile(fnmatch.translate(wanted[name]))
            for key, name in (("event", "events"), ("worker", "worker"), ("stream", "stream"))
            if wanted.get(name) is not None
        }
        # A plain name must stand in the line: no need to parse others.
        names = wanted.get("events"), wanted.get("worker")
        self.needles = [f'"{name}"'.encode() for name in names if name and re.fullmatch(r"[\w.-]+", name, re.ASCII)]
        self.grep = re.compile(wanted["grep"]) if wanted.get("grep") is not None else None
        last = wanted.get("last")
        self.last: deque[bytes] | None = None if last is None else deque(maxlen=max(int(last), 0))
        if self.since and self.at > 0:
            self._say_start()
        client.setblocking(False)

    def _say_start(self) -> None:
        first = json.loads(self.journal.whole_lines(self.at, 4096).split(b"\n", 1)[0] or b"{}").get("timestamp", "")
        if first > self.since:
            self._say(f"history starts at {first}")

    def _say(self, message: str, **fields: Any) -> None:
        said = {"event": "log.dropped", "level": "warning", "msg": message, "schema": 1, **fields}
        self.buffer += json.dumps(said).encode() + b"\n"

    @property
    def behind(self) -> bool:
        """There is more to look at and room to keep it."""
        return not self.broken and self.at < self.journal.head and len(self.buffer) < MOST

    @property
    def done(self) -> bool:
        """Nothing more will be sent."""
        return self.broken or (not self.follow and self.at >= self.until and not self.buffer)

    def turn(self) -> None:
        """Look at a little more of the ring and send what can be sent."""
        if self.behind and (self.follow or self.at < self.until):
            with contextlib.suppress(TimeoutError), _at_most(GREP_S if self.grep else 0.0, self._give_up):
                enough = time.monotonic() + TURN_S
                self._look()
                while self.behind and time.monotonic() < enough:
                    self._look()
        if self.last is not None and self.at >= self.until:
            self.buffer += b"".join(self.last)
            self.last = None
        try:
            while self.buffer:
                self.buffer = self.buffer[self.client.send(self.buffer[:65536], socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            pass
        except OSError:
            self.broken = True

    def _look(self) -> None:
        oldest = self.journal.oldest() if self.at < self.journal.head - self.journal.ring_size // 2 else 0
        missed, self.at = self.at < oldest, max(self.at, oldest)
        chunk = self.journal.whole_lines(self.at, LOOK)
        lost = seq_of(chunk) - self.seen - 1 if self.seen else 0
        if lost > 0 and (missed or self.after):
            self._say(f"{lost} lines missed: this client {'reads too slowly' if missed else 'was away'}", count=lost)
        self.after = 0
        self.at += len(chunk)
        self.seen = seq_of(chunk[chunk.rfind(b"\n", 0, -1) + 1 :])
        wanted = chunk if self.output else _OUTPUT.sub(b"", chunk)  # in C: most lines are output
        for line in wanted.splitlines(keepends=True):
            if any(needle not in line for needle in self.needles) or not self._wants(json.loads(line)):
                continue
            if self.last is not None:
                self.last.append(line)
            else:
                self.buffer += line

    def _wants(self, value: dict[str, Any]) -> bool:
        if self.since and str(value.get("timestamp", "")) < self.since:
            return False
        if self.levels is not None and value.get("level") not in self.levels:
            return False
        if any(not glob.match(str(value.get(key, ""))) for key, glob in self.globs.items()):
            return False
        return self.grep is None or self.grep.search(str(value.get("msg", ""))) is not None

    def _give_up(self) -> None:
        self._say("the pattern takes too long; no more lines")
        self.at, self.until, self.follow, self.last = self.journal.head, 0, False, None


def place_behind(journal: Journal, after: int) -> int:
    """Where the line behind this number starts in the ring, found by halving; the oldest line, if it is gone."""
    low, high = journal.oldest(), journal.head
    while after and high - low > 2 * LIMIT:
        middle = (low + high) // 2
        start = middle + journal.read(middle, middle + LIMIT).find(b"\n") + 1
        if seq_of(journal.whole_lines(start, LIMIT)) > after:
            high = middle
        else:
            low = start
    for line in journal.whole_lines(low, 4 * LIMIT).splitlines(keepends=True) if after else ():
        if seq_of(line) > after:
            break
        low += len(line)
    return low


def seq_of(line: bytes) -> int:
    """The number of the first of these finished lines."""
    return int(json.loads(line.split(b"\n", 1)[0])["seq"])


class Followers:
    """All clients, polled by the loop's epoll."""

    def __init__(self, journal: Journal, epoll: select.epoll, instance: str) -> None:
        self.journal = journal
        self.epoll = epoll
        self.instance = instance
        self.clients: dict[int, Follower] = {}

    @property
    def busy(self) -> bool:
        """Somebody has history to look at and room for it."""
        return any(follower.behind for follower in self.clients.values())

    def add(self, client: socket.socket, wanted: dict[str, Any], *, follow: bool) -> None:
        """Take over a client's connection."""
        if wanted.get("instance") not in (None, self.instance):  # numbers of another service
            wanted = {key: value for key, value in wanted.items() if key != "after"}
        try:
            follower = Follower(self.journal, client, wanted, follow=follow)
        except Exception as error:  # noqa: BLE001  (a bad pattern, glob or number: the client is told)
            with contextlib.suppress(OSError):
                client.send(json.dumps({"event": "log.dropped", "msg": f"bad filter: {error}"}).encode() + b"\n")
            client.close()
            return
        self.clients[client.fileno()] = follower
        self.epoll.register(client.fileno(), 0)  # a hang-up is always reported; a half-closed client still reads

    def serve(self, ready: list[int]) -> None:
        """One turn for each client."""
        for fd, follower in list(self.clients.items()):
            if fd in ready and not follower.buffer:
                follower.broken = True  # asked for nothing but its end
            had = bool(follower.buffer)
            follower.turn()
            if follower.done:
                self.epoll.unregister(fd)
                follower.client.close()
                del self.clients[fd]
            elif bool(follower.buffer) != had:
                self.epoll.modify(fd, select.EPOLLOUT if follower.buffer else 0)


@contextlib.contextmanager
def _at_most(seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
    """Interrupt what takes longer (0: no limit); the re module looks for signals now and then."""
    if not seconds:
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TimeoutError:
        give_up()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
