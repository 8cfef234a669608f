"""Imports once, then forks workers on request (docs/architecture.md, "Template protocol").

    template ──fork──> midwife (gone at once) ──fork──> embryo, the anchor's child ──request──> worker

The template has an embryo forked ahead of time: the anchor's child already, with the pages copied that it will write to.
It waits for requests, becomes the first worker that is asked for, and has a midwife fork the others, when more than one
is. So no fork (with NumPy 1.5 ms, and as much again for copied pages) lies between a request and its worker.

Rules:
- One thread. With more nothing is forked, because a lock held by another thread would stay locked in the
  child for ever.
- It never answers on its channel: the child speaks for itself, and the end of its beat pipe without a word
  is an answer too. Only `check` is answered, on the template's own beat pipe.
- Bad requests, failed preloads and failed forks are said where somebody listens; none of them ends a
  template.
- It holds nothing of a worker: the descriptors of a request are the embryo's alone.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import site
import socket
import stat
import sys
import time
import traceback
from typing import NamedTuple, NoReturn

from supervisor import birth, kernel
from supervisor.freshness import CHECK, Freshness
from supervisor.rehearsal import rehearse
from workers import wire

CHANNEL = 3
BEAT = 4
_PACKET = 1 << 18  # bytes; a unix socket's packet is bounded by its send buffer, far below
_FDS = 16  # more than a request may carry, so that too many are seen and closed
_BATCH = 16  # requests taken by one embryo: few enough that the next is at work while these are being forked
_CLOSED, _TAKEN = b"c", b"t"  # what an embryo says at its end
_AFTER = 0.005  # seconds until the next embryo is forked
_SAMPLE = json.dumps({"kind": "spawn", "spawn": "a#1", "brand": 1, "anchor": 1, "name": "a", "target": "a:a", "env": {}})
_CLOSED_OR_DEAD = 0.2  # seconds: a dying anchor closes its descriptors a moment before it is gone


_freshness = Freshness()


class Birth(NamedTuple):
    """A request that was understood, with its descriptors."""

    request: birth.Request
    fds: list[int]


def main(argv: list[str]) -> int:
    """Be the template; returns when nobody needs it any more."""
    options = _options(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to understand
    kernel.name_process(f"template {options.name}")
    gc.disable()  # a collection would touch, and so copy, every page shared with the workers
    _preload(options.preload, None if options.once else BEAT)  # once: the pipe is the worker's, and is to carry its words alone
    _freshness.note()
    birth.warm_up()
    if not options.once:
        rehearse()
    gc.freeze()
    # The anchor's death is an event here, not something to ask for now and then.
    anchor = _watch(options.anchor)
    channel = socket.socket(fileno=CHANNEL)
    channel.setblocking(False)
    if anchor is None or not (
        _serve_once(channel, anchor) if options.once else _serve(channel, anchor, options)
    ):
        kernel.last_rites(options.nonce)
    return 0


def _serve(channel: socket.socket, anchor: int, options: argparse.Namespace) -> bool:
    """Until the channel is closed (True) or the anchor dead (False)."""
    while True:
        threads = len(os.listdir("/proc/self/task"))
        if threads == 1:
            closed = _outlive(_conceive(channel, options.name, options.anchor), channel, anchor)
        else:
            closed = _refuse_all(channel, anchor, f"{threads} threads in the template")
        if closed:
            return not _is_dead(anchor, _CLOSED_OR_DEAD)
        if _is_dead(anchor, 0):
            return False


def _serve_once(channel: socket.socket, anchor: int) -> bool:
    """Become the first worker asked for, without a fork: threads do no harm then."""
    while not _is_dead(anchor, 0):
        births = _next_births(channel, anchor)
        if births is None:
            return not _is_dead(anchor, _CLOSED_OR_DEAD)
        if births:
            birth.live(births[0].request, births[0].fds, born_of=None)
    return False


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="template")
    parser.add_argument("name")
    parser.add_argument("--nonce", type=int, required=True)
    parser.add_argument("--anchor", type=int, required=True)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--preload", nargs="*", action="extend", default=[])
    return parser.parse_args(argv)


def _preload(modules: list[str], beat: int | None) -> None:
    began = time.monotonic()
    site.setquit()  # -S left out exit() and quit(), which people do call in functions
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 it is said; the worker can still import it itself
            _freshness.fail(module)
            _say_failed(module, error, beat)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or every worker would write it once more
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a worker's prints show at once
    now = time.monotonic()
    took = round(now - began, 6)
    _say(beat, wire.encode("ready", at=round(now, 6), took_s=took, modules=len(sys.modules)))


def _say_failed(module: str, error: BaseException, beat: int | None) -> None:
    trace = "".join(traceback.format_exception(error))
    print(f"template: preload of {module} failed\n{trace}", file=sys.stderr, flush=True)
    # On the pipe goes what fits beside the sentence: the end of the traceback, where the reason stands.
    fields = {"what": "preload", "module": module[:60], "error": f"{type(error).__name__}: {error}"[:80]}
    for tail in (trace[-200:], trace[-40:], ""):
        with contextlib.suppress(ValueError):
            _say(beat, wire.encode("failed", **fields, traceback=tail))
            return


def _say(fd: int | None, line: bytes) -> None:
    if fd is None:
        return
    with contextlib.suppress(OSError):  # a full or closed pipe: whoever held its other end has other worries
        os.write(fd, line)


def _watch(anchor: int) -> int | None:
    try:
        pidfd = os.pidfd_open(anchor)
    except OSError:
        return None
    return pidfd if os.getppid() == anchor else None


def _is_dead(pidfd: int, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _conceive(channel: socket.socket, name: str, anchor: int) -> socket.socket:
    """The next embryo; our end of the pair of sockets by which we and it see each other end."""
    ours, theirs = socket.socketpair()
    midwife = os.fork()
    if midwife == 0:
        ours.close()
        me = os.getpid()
        if os.fork() == 0:
            _wait_for_requests(channel, theirs, name, born_of=me, anchor=anchor)
        os._exit(0)
    theirs.close()
    os.waitpid(midwife, 0)
    return ours


def _outlive(embryo: socket.socket, channel: socket.socket, anchor: int) -> bool:
    """Wait until the embryo is one no more, or the anchor is dead; whether it found the channel closed."""
    waiting = select.poll()
    waiting.register(embryo, select.POLLIN)
    waiting.register(anchor, select.POLLIN)
    ended = embryo.fileno() in dict(waiting.poll())
    word = embryo.recv(1) if ended else b""
    embryo.close()
    if word == _TAKEN:
        waiting = select.poll()  # the worker that has just begun comes before the next embryo, unless that is asked for
        waiting.register(channel, select.POLLIN)
        waiting.poll(_AFTER * 1000)
    elif ended and word != _CLOSED:
        time.sleep(0.01)  # it was killed; should that go on, we do not spin
    return word == _CLOSED


def _wait_for_requests(
    channel: socket.socket, template: socket.socket, name: str, *, born_of: int, anchor: int
) -> NoReturn:
    """The embryo: become the first of the workers that are asked for, and have the others forked."""
    if not birth.adopted(anchor, born_of):
        os._exit(0)
    births: list[Birth] | None = []
    os.setsid()
    kernel.name_process(f"embryo {name}")
    rehearse(1)  # copies, now that nobody waits for it, the pages it will write to as a worker
    birth.Request.from_packet(json.loads(_SAMPLE))
    while not births:
        births = _next_births(channel, template.fileno())
        if births is None or _is_dead(template.fileno(), 0):
            _tell(template, _CLOSED)
            os._exit(0)
    _tell(template, _TAKEN)
    first, *others = births
    if others:
        _have_forked(others)
    birth.live(first.request, first.fds, born_of=None)


def _tell(template: socket.socket, word: bytes) -> None:
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


def _refuse_all(channel: socket.socket, anchor: int, why: str) -> bool:
    births = _next_births(channel, anchor)
    for _, fds in births or []:
        _refuse(fds, why)
    return births is None


def _next_births(channel: socket.socket, anchor: int | None = None) -> list[Birth] | None:
    """Wait for requests and take all that wait; none when it was something else, None at the end."""
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    if anchor is not None:
        waiting.register(anchor, select.POLLIN)
    ready = dict(waiting.poll())
    births: list[Birth] = []
    while len(births) < _BATCH:
        try:
            data, fds, flags, _ = socket.recv_fds(channel, _PACKET, _FDS)
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
    why = _freshness.stale()
    answer = {"kind": "fresh"} if why is None else {"kind": "stale", "why": why}
    _say(BEAT, json.dumps(answer).encode() + b"\n")


def _understand(data: bytes, fds: list[int], flags: int) -> Birth | None:
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("the packet was cut short")  # noqa: TRY301 one place refuses
        if len(fds) != 5:
            raise ValueError(f"{len(fds)} descriptors instead of 5")  # noqa: TRY301
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
        _say(fds[2], wire.encode_fitting("refused", "why", why=why))
    else:
        print(f"template: refused: {why}", file=sys.stderr, flush=True)
    for fd in fds:
        os.close(fd)
