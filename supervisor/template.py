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

import contextlib
import gc
import importlib
import os
import select
import signal
import site
import sys
import time

from supervisor import birth, kernel, sockets
from supervisor.embryo import BEAT, CLOSED, TAKEN, freshness, is_dead, next_births, refuse_all, say, wait_for_requests
from supervisor.outfit import Failed
from workers import wire
from workers.hints import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    _Practise = Callable[[], None]

CHANNEL = 3
_AFTER = 0.04  # seconds until the next embryo is forked: a program is at its own start for 20 ms
_CLOSED_OR_DEAD = 0.2  # seconds: a dying anchor closes its descriptors a moment before it is gone


class Options(NamedTuple):
    """Who the template is. once: become the first worker asked for. hurried: its first worker is waited for already."""

    name: str
    nonce: int
    anchor: int
    once: bool = False
    preload: tuple[str, ...] = ()
    hurried: bool = False


def main(argv: list[str]) -> int:
    """Be the template; returns when nobody needs it any more."""
    return be(_options(argv))


def be(options: Options, load: Callable[[str], object] = importlib.import_module) -> int:
    """Be the template; `load` is given each word of `preload`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to understand
    kernel.name_process(f"template {options.name}")
    gc.disable()  # a collection would touch, and so copy, every page shared with the workers
    beat = None if options.once else BEAT  # once: the pipe is the worker's, and is to carry its words alone
    _preload(options.preload, load, beat)
    freshness.note()
    birth.warm_up()
    gc.freeze()
    practise = None if options.once or options.hurried else _rehearsed(options.name)
    # The anchor's death is an event here, not something to ask for now and then.
    anchor = _watch(options.anchor)
    channel = sockets.of(CHANNEL)
    channel.setblocking(False)
    if anchor is None or not (
        _serve_once(channel, anchor) if options.once else _serve(channel, anchor, options, practise)
    ):
        kernel.last_rites(options.nonce)
    return 0


def _serve(channel: sockets.socket, anchor: int, options: Options, practise: _Practise | None) -> bool:
    """Until the channel is closed (True) or the anchor dead (False)."""
    late = options.hurried
    while True:
        threads = len(os.listdir("/proc/self/task"))
        if threads == 1:
            closed = _outlive(_conceive(channel, options, practise), channel, anchor)
            if late and not is_dead(channel.fileno(), 0):  # nobody waits any more
                practise = _rehearsed(options.name)
                late = False
        else:
            closed = refuse_all(channel, anchor, f"{threads} threads in the template")
        if closed:
            return not is_dead(anchor, _CLOSED_OR_DEAD)
        if is_dead(anchor, 0):
            return False


def _rehearsed(name: str) -> _Practise | None:
    """What an embryo is to do while it waits."""
    from supervisor import heap  # noqa: PLC0415 not before a hurried template's first worker
    from supervisor.rehearsal import Rehearsal  # noqa: PLC0415

    try:
        rehearsal = Rehearsal(f"embryo {name}")  # who plays is one all the same
        rehearsal.warm_up()
    except (OSError, Failed) as error:  # a worker costs more then, and is none the worse for it
        print(f"template: the rehearsal failed: {error}", file=sys.stderr, flush=True)
        return None
    finally:
        kernel.name_process(f"template {name}")
        heap.fill()
    return rehearsal.play


def _serve_once(channel: sockets.socket, anchor: int) -> bool:
    """Become the first worker asked for, without a fork: threads do no harm then."""
    while not is_dead(anchor, 0):
        births = next_births(channel, anchor)
        if births is None:
            return not is_dead(anchor, _CLOSED_OR_DEAD)
        if births:
            birth.live(births[0].request, births[0].fds, born_of=None)
    return False


def _options(argv: list[str]) -> Options:
    """[--once] NAME --nonce N --anchor PID [--once] [--preload MODULE …]; by hand: argparse takes 4 ms to import."""
    cut = argv.index("--preload") if "--preload" in argv else len(argv)
    words, preload = argv[:cut], argv[cut + 1 :]
    once = "--once" in words
    if once:
        words.remove("--once")
    name, *rest = words
    given = dict(zip(rest[::2], rest[1::2], strict=True))
    return Options(name, int(given["--nonce"]), int(given["--anchor"]), once, tuple(preload))


def _preload(modules: tuple[str, ...], load: Callable[[str], object], beat: int | None) -> None:
    began = time.monotonic()
    site.setquit()  # -S left out exit() and quit(), which people do call in functions
    for module in modules:
        try:
            load(module)
        except BaseException as error:  # noqa: BLE001 it is said; the worker can still import it itself
            freshness.fail(module)
            _say_failed(module, error, beat)
    now = time.monotonic()
    took = round(now - began, 6)
    say(beat, wire.encode("ready", at=round(now, 6), took_s=took, modules=len(sys.modules)))


def _say_failed(module: str, error: BaseException, beat: int | None) -> None:
    import traceback  # noqa: PLC0415 3 ms that only this needs

    trace = "".join(traceback.format_exception(error))
    print(f"template: preload of {module} failed\n{trace}", file=sys.stderr, flush=True)
    # On the pipe goes what fits beside the sentence: the end of the traceback, where the reason stands.
    fields = {"what": "preload", "module": module[:60], "error": f"{type(error).__name__}: {error}"[:80]}
    for tail in (trace[-200:], trace[-40:], ""):
        with contextlib.suppress(ValueError):
            say(beat, wire.encode("failed", **fields, traceback=tail))
            return


def _watch(anchor: int) -> int | None:
    try:
        pidfd = os.pidfd_open(anchor)
    except OSError:
        return None
    return pidfd if os.getppid() == anchor else None


def _conceive(channel: sockets.socket, options: Options, practise: _Practise | None) -> sockets.socket:
    """The next embryo; our end of the pair of sockets by which we and it see each other end."""
    ours, theirs = sockets.pair()
    midwife = os.fork()
    if midwife == 0:
        kernel.name_process(f"embryo {options.name}")  # from its first moment: it is a child of the anchor's as we are
        ours.close()
        me = os.getpid()
        if os.fork() == 0:
            wait_for_requests(channel, theirs, options.name, born_of=me, anchor=options.anchor, practise=practise)
        os._exit(0)
    theirs.close()
    os.waitpid(midwife, 0)
    return ours


def _outlive(embryo: sockets.socket, channel: sockets.socket, anchor: int) -> bool:
    """Wait until the embryo is one no more, or the anchor is dead; whether it found the channel closed."""
    waiting = select.poll()
    waiting.register(embryo, select.POLLIN)
    waiting.register(anchor, select.POLLIN)
    ended = embryo.fileno() in dict(waiting.poll())
    word = embryo.recv(1) if ended else b""
    embryo.close()
    if word == TAKEN:
        waiting = select.poll()  # the worker that has just begun comes before the next embryo, unless that is asked for
        waiting.register(channel, select.POLLIN)
        waiting.poll(_AFTER * 1000)
    elif ended and word != CLOSED:
        time.sleep(0.01)  # it was killed; should that go on, we do not spin
    return word == CLOSED
