"""Clients of `logs -f` and `events -f`: a filtered view of the ring, each at its own pace.

The ring is the buffer: a follower is a position in it. One that is too slow finds its place overwritten and
is told how many lines it missed; nobody waits for it. Who asks for little misses nothing, whatever the others
write: lines without the words it asks for are passed over faster than they can come.
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
TURN_S = 0.003  # of our own time for one client in one turn, not counting what other processes took of it
GREP_S = 0.2  # for one turn: a regex can take for ever
_OUTPUT = re.compile(
    rb'^\{"timestamp":"[^"\n]+","level":"\w+","event":"worker\.output".*\n', re.MULTILINE
)  # made by us
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
        self.polled = False  # is it waited for until it takes more?
        self.full = False  # was there no room for more since it missed lines last?
        self.broken = False
        since = wanted.get("since")
        self.since = "" if since is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
        self.levels = _LEVELS[_LEVELS.index(wanted["level"]) :] if wanted.get("level") in _LEVELS else None
        self.globs = {
            key: re.compile(fnmatch.translate(wanted[name]))
            for key, name in (("event", "events"), ("worker", "worker"), ("stream", "stream"))
            if wanted.get(name) is not None
        }
        self.needles = needles_of(wanted)
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

    @property
    def is_quick(self) -> bool:
        """Most lines need not be parsed to see that they are not wanted."""
        return bool(self.needles) or not self.output

    def turn(self) -> None:
        """Look at a little more of the ring and send what can be sent."""
        if self.behind and (self.follow or self.at < self.until):
            with contextlib.suppress(TimeoutError), _at_most(GREP_S if self.grep else 0.0, self._give_up):
                enough = time.thread_time() + TURN_S
                self._look()
                while self.behind and time.thread_time() < enough:
                    self._look()
        self.full = self.full or len(self.buffer) >= MOST
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
        if lost > 0 and (
            self.after or (missed and self.last is None)
        ):  # what was before the last lines was not asked for
            self._say(f"{lost} lines missed: {self._why(missed=missed)}", count=lost)
            self.full = False
        self.after = 0
        if self.at >= self.until:
            self.since = ""  # what comes now comes after whatever moment that was, by whichever clock
        self.at += len(chunk)
        self.seen = seq_of(chunk[chunk.rfind(b"\n", 0, -1) + 1 :])
        wanted = chunk if self.output else _OUTPUT.sub(b"", chunk)  # in C: most lines are output
        for line in lines_with(self.needles, wanted):
            if not self._wants(json.loads(line)):
                continue
            if self.last is not None:
                self.last.append(line)
            else:
                self.buffer += line

    def _why(self, *, missed: bool) -> str:
        if not missed:
            return "this client was away"
        return "this client reads too slowly" if self.full else "the filter takes longer than the lines take to come"

    def _wants(self, value: dict[str, Any]) -> bool:
        if self.since and str(value.get("timestamp", "")) < self.since:
            return False
        self.since = ""  # from here on everything: a clock that is set back must not make a hole
        if self.levels is not None and value.get("level") not in self.levels:
            return False
        if any(not glob.match(str(value.get(key, ""))) for key, glob in self.globs.items()):
            return False
        return self.grep is None or self.grep.search(str(value.get("msg", ""))) is not None

    def _give_up(self) -> None:
        self._say("the pattern takes too long; no more lines")
        self.at, self.until, self.follow, self.last = self.journal.head, 0, False, None


def needles_of(wanted: dict[str, Any]) -> list[bytes]:
    """What must stand in a line that this filter wants, as it stands there; the rarest first."""
    found = []
    if re.fullmatch(
        r"[\w -]+", wanted.get("grep") or "", re.ASCII
    ):  # a pattern that means itself, and is never escaped
        found.append(wanted["grep"].encode())
    for name in (wanted.get("worker"), wanted.get("events")):
        plain = re.match(r"[\w.-]*", name or "", re.ASCII)
        if name and plain and plain[0]:
            found.append(f'"{plain[0]}{chr(34) if plain[0] == name else ""}'.encode())
    return found


def lines_with(needles: list[bytes], chunk: bytes) -> Iterator[bytes]:
    """The lines in which all of them stand."""
    if not needles:
        yield from chunk.splitlines(keepends=True)
        return
    rarest, *others = needles
    found = chunk.find(rarest)  # in C, at the speed of memory: no line is cut out in which it does not stand
    while found >= 0:
        end = chunk.index(b"\n", found) + 1
        line = chunk[chunk.rfind(b"\n", 0, found) + 1 : end]
        if all(needle in line for needle in others):
            yield line
        found = chunk.find(rarest, end)


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
        self._served = journal.head  # where the ring ended when all of them were looked after last

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

    def keep_up(self) -> None:
        """Called while sources are read: before the ring is overwritten, let those look for whom that is quick."""
        if self.clients and self.journal.head - self._served > self.journal.ring_size // 4:
            self._served = self.journal.head
            for follower in self.clients.values():
                if follower.is_quick:
                    follower.turn()

    def serve(self, ready: list[int]) -> None:
        """One turn for each client."""
        self._served = self.journal.head
        for fd, follower in list(self.clients.items()):
            if fd in ready and not follower.buffer:
                follower.broken = True  # asked for nothing but its end
            follower.turn()
            if follower.done:
                self.epoll.unregister(fd)
                follower.client.close()
                del self.clients[fd]
            elif bool(follower.buffer) != follower.polled:
                follower.polled = not follower.polled
                self.epoll.modify(fd, select.EPOLLOUT if follower.polled else 0)


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
