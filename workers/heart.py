"""A worker's side of its beat pipe: ready, beat, busy, leaving; and the wish to stop, which comes as SIGTERM.

A function that takes a parameter named `heart` is given one. Any other Python program says

    from workers.heart import Heart
    heart = Heart.from_environment()

and may run by hand too: without a pipe a heart does nothing.

Rules:
- Nothing here blocks or raises because of the supervisor: a full pipe is tried again with the next message,
  a closed
  one is silence.
- Beats come from the work loop, so that proof of life is proof of progress; call `beat` as often as you
  like, it costs
  a look at the clock. Only the process the heart was made in speaks: a child it forks is not the worker.
- Standard library only, nothing of `supervisor`.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import signal
import stat
import sys
from _thread import allocate_lock  # not threading: whoever imported that pays 380 KiB and 0.4 ms in every fork
from time import monotonic

from workers import wire
from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from types import FrameType

LONGEST_GAP = 0.02  # seconds between two beats on the pipe, however often `beat` is called
BEATS_WITHIN = 50  # and no longer than this part of beat_within


class Heart:
    """Proof of life and progress, from a worker to its supervisor.

    `name` is the worker's ("forecast-0"), `replica` its number (0); a standby knows both only after its go.
    """

    __slots__ = (
        "_fd", "_gap", "_next", "_pid", "_sending", "_status", "_stop", "_stopping", "_unsent", "name",
        "replica",
    )  # fmt: skip

    def __init__(self, fd: int | None, *, name: str = "", replica: int = 0, beat_within: float | None = None) -> None:
        """fd: the write end of a beat pipe, made non-blocking and kept from children; None for silence."""
        self.name = name
        self.replica = replica
        self._fd = fd
        self._pid = os.getpid()
        self._gap = LONGEST_GAP if beat_within is None else min(LONGEST_GAP, beat_within / BEATS_WITHIN)
        self._next = -math.inf if fd is not None else math.inf
        self._status: str | None = None
        self._unsent: dict[str, bytes] = {}  # the newest of each kind that a full pipe did not take
        self._sending = allocate_lock()
        self._stopping = False
        self._stop: int | None = None  # an eventfd, readable for good once SIGTERM was seen
        if fd is not None:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)

    def __repr__(self) -> str:
        return f"<Heart of {self.name or 'nobody'}{'' if self._fd is None else f' on fd {self._fd}'}>"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Heart:
        """The heart of a program started by ninelives; one that says nothing when it was not.

        SIGTERM then sets `stopping`, unless the program has a handler of its own.
        """
        fd = _beat_pipe(environ.get("NINELIVES_BEAT_FD"))
        heart = cls(
            fd,
            name=environ.get("NINELIVES_NAME", ""),
            replica=int(_number(environ.get("NINELIVES_REPLICA")) or 0),
            beat_within=_number(environ.get("NINELIVES_BEAT_WITHIN")),
        )
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and _in_main_thread():
            heart.listen_for_stop()
        if fd is not None and _in_main_thread():
            heart.listen_for_chaos(environ)
        return heart

    def fileno(self) -> int | None:
        """The write end of its beat pipe; None when there is none, or nobody listens."""
        return self._fd

    def listen_for_chaos(self, environ: Mapping[str, str] = os.environ) -> None:
        """Obey orders to misbehave, where the service's config and the worker's allow chaos. Only from the main thread."""
        if environ.get("NINELIVES_CHAOS") == "1":
            from workers import chaos  # noqa: PLC0415 - nobody else needs it

            chaos.listen(self)

    def ready(self, status: str | None = None) -> None:
        """The worker can do its work now. Call it once, after whatever takes long at the start."""
        self._say("ready", status=self._news(status))

    def beat(self, progress: float | None = None, status: str | None = None) -> None:
        """Still at work. progress: any finite number. status: a few words, sent when they change.

        Beats closer together than min(20 ms, beat_within / 50) are told as one.
        """
        now = monotonic()
        if now < self._next and (status is None or status == self._status):
            return
        self._say("beat", progress=_finite(progress), status=self._news(status))

    def busy(self, seconds: float) -> None:
        """No beat will come for so many seconds, and that is all right. The next beat ends it."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"busy for {seconds} s: a finite number of seconds, 0 or more, is wanted")
        self._say("busy", **{"for": float(seconds)})

    def leaving(self) -> None:
        """About to end on purpose."""
        self._say("leaving")

    @property
    def stopping(self) -> bool:
        """Whether SIGTERM was seen: finish what you are at and return; after the grace comes SIGKILL."""
        return self._stopping

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until we are to stop; whether we are to stop. From any thread."""
        # Not threading.Event: a handler that sets one while the same thread waits on it never returns.
        waiting = select.poll()
        if self._stop is not None:
            waiting.register(self._stop, select.POLLIN)
        return bool(waiting.poll(max(0.0, seconds) * 1000))

    def listen_for_stop(self) -> None:
        """Let SIGTERM set `stopping` instead of ending the process. Only from the main thread."""
        if self._stop is None:
            self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def helper_thread(self, every: float = 1.0) -> threading.Thread:
        """A daemon thread that beats `every` so many seconds, for work that cannot: one long library call.

        It proves that the interpreter runs and no more: a worker stuck in a loop looks alive.
        Prefer `beat` and `busy`.
        """
        import threading  # noqa: PLC0415 - see the top

        thread = threading.Thread(target=self._beat_for_ever, args=(every,), name="heart", daemon=True)
        thread.start()
        return thread

    def _beat_for_ever(self, every: float) -> None:
        import threading  # noqa: PLC0415 - see the top

        pause = threading.Event()  # not self.wait: it goes on while we are stopping
        while not pause.wait(every):
            self.beat()

    def _on_sigterm(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a child forked by the worker: TERM ends it, as it would without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._stopping = True
        if self._stop is not None:
            os.eventfd_write(self._stop, 1)

    def _news(self, status: str | None) -> str | None:
        if status is None or status == self._status:
            return None
        self._status = status
        return status

    def _say(self, kind: str, **fields: Any) -> None:
        if self._fd is None or os.getpid() != self._pid:
            return
        now = monotonic()
        fields["at"] = round(now, 6)
        has_status = fields.get("status") is not None
        line = wire.encode_fitting(kind, "status", **fields) if has_status else wire.encode(kind, **fields)
        with self._sending:
            self._next = now + self._gap
            # One place for each kind, a status in one of its own: at most five lines, so still one atomic
            # write.
            key = "status" if kind == "beat" and has_status else kind
            self._unsent.pop(key, None)
            self._unsent[key] = line
            self._send()

    def _send(self) -> None:
        try:
            self._write(b"".join(self._unsent.values()))
        except BlockingIOError:
            return
        except OSError:  # nobody listens any more, or the descriptor was closed
            self._fd, self._next = None, math.inf
        self._unsent.clear()

    def _write(self, data: bytes) -> None:
        assert self._fd is not None
        os.write(self._fd, data)


def _beat_pipe(text: str | None) -> int | None:
    """The descriptor named in the environment, if it is what we were given: the write end of a pipe.

    A program started by a worker inherits the variable, but has something else there, or nothing.
    """
    if text is None or not text.isdigit():
        return None
    fd = int(text)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    except (OSError, OverflowError):
        return None
    return fd if is_pipe and writes else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _finite(value: float | None) -> float | None:
    if value is None:
        return None
    try:  # NumPy's numbers become ours, True becomes 1
        number = int(value) if isinstance(value, int) and abs(value) < 2**53 else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _in_main_thread() -> bool:
    threading = sys.modules.get("threading")
    return threading is None or threading.current_thread() is threading.main_thread()
