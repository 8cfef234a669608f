"""What travels on the socket between a parent and a worker, and how.

To the worker: frames, each a length and a pickled list of messages, made by the parent, so the worker may unpickle them; what
belongs to the user inside them is bytes, opened by the worker when a task's own turn comes. To the parent: single bytes, for
results lie in the ring (page.py). Descriptors of segments cross once, beside the frame or the byte that names them.
"""

from __future__ import annotations

import _pickle as pickle  # the C code alone: the module around it takes 1 ms of every cold start
import errno
import os
import struct
from collections import deque

from supervisor import sockets
from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.pool.arena import Place

HEAD = struct.Struct("<Q")  # no argument of an initializer is too large for it
READ = 1 << 16  # bytes asked for at once
_FDS = 32

# Messages to a worker: a tuple that begins with one of these.
TASK = 0  # sequence, function, shape, data (None: the first buffer), place or None, span (first, end) or None
FUNCTION = 1  # number, data, place or None
FORGET = 2  # number of a function
SEGMENT = 3  # number of a segment of arguments; its descriptor comes beside the frame
DROP = 4  # numbers of segments of arguments that come no more
RELEASED = 5  # numbers of segments of results nobody uses any more
WELCOME = 6  # main module or None, the pickled (initializer, arguments) or None, their buffers
GO_ON = 7  # there is room in the ring again
QUIT = 8
SHARED = 9  # key of something shared; the descriptor of its segment comes beside the frame
WARM = 11  # numbers of functions a standby may load, for others have run them; and it may practise
UNSHARED = 10  # key of something shared that no task to come needs

# The shape of a task: how its data becomes calls.
CALL, EACH, STAR = 0, 1, 2  # f(*args, **kwargs); f(item) of every item; f(*item) of every item
TIMED = 4  # each item has a time limit of its own

_PLACED = struct.Struct("<QBBI")  # segment, is an error, has data of its own, buffers

BELL, OWN_SEGMENT = b"b", b"s"  # to the parent: look at the ring; a segment of results, its number (8 bytes) follows


class Closed(Exception):
    """The other side is gone."""


def frame(messages: list[tuple[Any, ...]]) -> bytes:
    """Messages as they travel."""
    body = pickle.dumps(messages, 5)
    return HEAD.pack(len(body)) + body


def encode_place(place: Place, data: bytes | None, *, is_error: bool) -> bytes:
    """What stands in the ring for a result that lies in a segment; data: its pickle, None when that lies there as well."""
    layout = [number for pair in place.layout for number in pair]
    head = _PLACED.pack(place.segment, is_error, data is not None, len(place.layout))
    return head + struct.pack(f"<{len(layout)}Q", *layout) + (data or b"")


def decode_place(payload: bytes) -> tuple[Place, bytes | None, bool]:
    """The place, the pickle if it is no part of it, and whether it is an error. Raises struct.error."""
    from supervisor.pool.arena import Place  # noqa: PLC0415 a worker imports that when something is large

    segment, is_error, has_data, count = _PLACED.unpack_from(payload)
    numbers = struct.unpack_from(f"<{2 * count}Q", payload, _PLACED.size)
    layout = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    data = payload[_PLACED.size + 16 * count :] if has_data else None
    return Place(segment, layout), data, bool(is_error)


class Inbox:
    """The worker's end: blocks until there is a frame, and gives its messages one by one."""

    def __init__(self, sock: sockets.socket) -> None:
        self._sock = sock
        self._bytes = bytearray()
        self._messages: deque[tuple[Any, ...]] = deque()
        self.fds: deque[int] = deque()

    def next(self) -> tuple[Any, ...]:
        """The next message. Raises Closed."""
        while not self._messages:
            self._receive()
        return self._messages.popleft()

    def wait_for(self, kind: int) -> None:
        """Wait for a message of this kind, and keep the others for later. Raises Closed."""
        kept: deque[tuple[Any, ...]] = deque()
        while (message := self.next())[0] != kind:
            kept.append(message)
        kept.extend(self._messages)
        self._messages = kept

    def _receive(self) -> None:
        data, fds, flags = sockets.receive_fds(self._sock, READ, _FDS)
        if not data:
            raise Closed
        if flags & sockets.MSG_CTRUNC:
            raise OSError(errno.EMFILE, "no descriptor left for a segment")  # one is lost, and with it which is which
        self.fds.extend(fds)
        waiting = self._bytes
        waiting += data
        at = 0
        while len(waiting) - at >= HEAD.size:
            end = at + HEAD.size + HEAD.unpack_from(waiting, at)[0]
            if end > len(waiting):
                break
            self._messages.extend(pickle.loads(memoryview(waiting)[at + HEAD.size : end]))  # our parent made it
            at = end
        del waiting[:at]


def duplicates(fds: list[int]) -> list[int]:
    """To be sent some time: whoever has the originals may close them before. Raises OSError, and then there are none."""
    made: list[int] = []
    try:
        made.extend(map(os.dup, fds))
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    return made


class Outbox:
    """The parent's end: what the socket does not take now waits, in order, with its descriptors."""

    def __init__(self, sock: sockets.socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[memoryview, list[int]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def send(self, data: bytes, fds: list[int] | None = None) -> None:
        """Send or keep; the descriptors, made by `duplicates`, are given away. Raises OSError when the other side is gone."""
        own = fds or []
        rest = memoryview(data)
        while len(own) > _FDS:  # more than the other side takes with one message
            self._waiting.append((rest[:1], own[:_FDS]))
            rest, own = rest[1:], own[_FDS:]
        self._waiting.append((rest, own))
        self.flush()

    def flush(self) -> None:
        """Send what waits until the socket is full. Raises OSError when the other side is gone."""
        while self._waiting:
            data, fds = self._waiting[0]
            try:
                sent = sockets.send_fds(self._sock, data, fds) if fds else self._sock.send(data)
            except BlockingIOError:
                return
            self._waiting.popleft()
            for fd in fds:
                os.close(fd)
            if sent < len(data):
                self._waiting.appendleft((data[sent:], []))

    def close(self) -> None:
        """Nothing of it will be sent."""
        for _, fds in self._waiting:
            for fd in fds:
                os.close(fd)
        self._waiting.clear()
