"""The embryo: forked from a template ahead of time, the anchor's child already, and a worker as soon as one is asked for.

It takes what waits in its template's channel, becomes the first worker asked for, and has a midwife fork the others. The
requests are read here as well for a template that cannot fork, and for one that becomes a worker itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import stat
import sys

from supervisor import birth, kernel, sockets
from supervisor.freshness import CHECK, Freshness
from supervisor.outfit import Failed
from workers import wire
from workers.hints import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT = 4  # the template's own beat pipe
CLOSED, TAKEN = b"c", b"t"  # what an embryo says at its end
_PACKET = 1 << 18  # bytes; a unix socket's packet is bounded by its send buffer, far below
_FDS = 16  # more than a request may carry, so that too many are seen and closed
_BATCH = 16  # requests taken by one embryo: few enough that the next is at work while these are being forked
_CUT_SHORT = sockets.MSG_TRUNC | sockets.MSG_CTRUNC

freshness = Freshness()
"""Of what this process has imported; an embryo answers for its template, for it has its memory."""


class Birth(NamedTuple):
    """A request that was understood, with its descriptors."""

    request: birth.Request
    fds: list[int]


def wait_for_requests(
    channel: sockets.socket,
    template: sockets.socket,
    name: str,
    *,
    born_of: int,
    anchor: int,
    practise: Callable[[], None] | None,
) -> NoReturn:
    """The embryo: become the first of the workers that are asked for, and have the others forked.

    practise: a rehearsal, which copies the pages it will write to as a worker now that nobody waits for it.
    """
    if not birth.adopted(anchor, born_of):
        os._exit(0)
    births: list[Birth] | None = []
    os.setsid()
    if practise is not None and not is_dead(channel.fileno(), 0):  # nothing waits there
        with contextlib.suppress(OSError, Failed):  # it was none the worse in the template
            practise()
    kernel.name_process(f"embryo {name}")
    while not births:
        births = next_births(channel, template.fileno())
        if births is None or (not births and is_dead(template.fileno(), 0)):  # what was asked for is done all the same
            _tell(template, CLOSED)
            os._exit(0)
    _tell(template, TAKEN)
    first, *others = births
    if others:
        _have_forked(others)
    birth.live(first.request, first.fds, born_of=None)


def _tell(template: sockets.socket, word: bytes) -> None:
    with contextlib.suppress(OSError):  # it is dead
        template.send(word)


def _have_forked(births: list[Birth]) -> None:
    """A midwife forks them and is gone, so that they too are the anchor's children."""
    try:
        midwife = os.fork()
    except OSError as error:
        for _, fds in births:
            _refuse(fds, f"fork: {error}")
        return
    if midwife:
        os.waitpid(midwife, 0)
        return
    me = os.getpid()
    for request, fds in births:
        try:
            child = os.fork()
        except OSError as error:
            _refuse(fds, f"fork: {error}")
            continue
        if child == 0:
            birth.live(request, fds, born_of=me)
    os._exit(0)


def refuse_all(channel: sockets.socket, anchor: int, why: str) -> bool:
    """Say no to whatever waits in the channel; whether it is closed."""
    births = next_births(channel, anchor)
    for _, fds in births or []:
        _refuse(fds, why)
    return births is None


def next_births(channel: sockets.socket, anchor: int | None = None) -> list[Birth] | None:
    """Wait for requests and take all that wait; none when it was something else, None at the end."""
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    if anchor is not None:
        waiting.register(anchor, select.POLLIN)
    ready = dict(waiting.poll())
    births: list[Birth] = []
    while len(births) < _BATCH:
        try:
            data, fds, flags = sockets.receive_fds(channel, _PACKET, _FDS)
        except BlockingIOError:
            break
        except OSError:
            return births or None
        if not data and not fds:
            # An empty packet looks the same as the end of the channel; only the second hangs up.
            if ready.get(channel.fileno(), 0) & select.POLLHUP:
                return births or None
            break
        if data == CHECK:
            _say_whether_fresh()
            continue
        born = _understand(data, fds, flags)
        if born is not None:
            births.append(born)
    return births


def _say_whether_fresh() -> None:
    # The embryo answers as well as the template could: it has its memory.
    why = freshness.stale()
    answer = {"kind": "fresh"} if why is None else {"kind": "stale", "why": why}
    say(BEAT, json.dumps(answer).encode() + b"\n")


def _understand(data: bytes, fds: list[int], flags: int) -> Birth | None:
    try:
        if flags & _CUT_SHORT:
            raise ValueError("the packet was cut short")  # noqa: TRY301 one place refuses
        if len(fds) not in {5, 6}:
            raise ValueError(f"{len(fds)} descriptors instead of 5 or 6")  # noqa: TRY301
        packet = json.loads(data)
        if not isinstance(packet, dict):
            raise TypeError("not a JSON object")  # noqa: TRY301
        return Birth(birth.Request.from_packet(packet), fds)
    except (ValueError, TypeError, RecursionError) as error:
        _refuse(fds, f"not a request: {error}")
        return None


def _refuse(fds: list[int], why: str) -> None:
    """Say so on the beat pipe, if that is what stands in its place, and let go of everything."""
    if len(fds) > 2 and stat.S_ISFIFO(os.fstat(fds[2]).st_mode):
        say(fds[2], wire.encode_fitting("refused", "why", why=why))
    else:
        print(f"template: refused: {why}", file=sys.stderr, flush=True)
    for fd in fds:
        os.close(fd)


def say(fd: int | None, line: bytes) -> None:
    """Write a line to a pipe, if there is one and somebody at its other end."""
    if fd is None:
        return
    with contextlib.suppress(OSError):  # a full or closed pipe: whoever held its other end has other worries
        os.write(fd, line)


def is_dead(pidfd: int, seconds: float) -> bool:
    """Whether the process, or the other end of the socket, is gone within so many seconds."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))
