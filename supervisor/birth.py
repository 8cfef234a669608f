"""What happens in a forked child between the fork and the worker's own code, and at its end.

The order is the contract's (docs/architecture.md, "Template protocol"): who is my parent, the brand, a session of my own,
`hello`; then descriptors, signals, environment, credentials; then the target, or execve. Until `hello` is written nobody
counts this process, so nothing of the user's may run before it. A step that fails is said on the beat pipe and ends the
process with systemd's code for it. Nothing ever returns into the template: `live` always ends in `_exit`.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import io
import os
import select
import signal
import sys
import time

from supervisor import kernel
from supervisor.function import Function, leave
from supervisor.outfit import IGNORED_BY_PYTHON, Failed, become, pin, step
from workers import wire
from workers.heart import Heart
from workers.hints import Any, NamedTuple, NoReturn

# systemd.exec(5)'s exit codes for the step that failed; else OTHER. A target that cannot be imported
# is the worker's own failure, and ends like any other exception of a Python program.
CODES = {"import": 1, "chdir": 200, "nice": 201, "exec": 203, "cpus": 214, "group": 216, "user": 217}
OTHER = 218

OUT, ERR, BEAT, GO, STACK = 1, 2, 3, 4, 5  # a worker's descriptors; 0 is the template's /dev/null
CHANNEL = 6  # only of a worker of a pool: its socket to the program it works for
_NEVER_TOUCHED = (signal.SIGKILL, signal.SIGSTOP)
_CLEAR_OF = 16  # moved above this first: none is overwritten before it is in its place


class Request(NamedTuple):
    """A `spawn` packet; the fields are the contract's."""

    spawn: str
    brand: int
    anchor: int
    name: str
    spec: str = ""
    replica: int = 0
    target: str | None = None
    args: dict[str, Any] | None = None
    path: list[str] | None = None
    command: list[str] | None = None
    standby: bool = False
    env: dict[str, str] | None = None
    cwd: str | None = None
    umask: int | None = None
    user: str | int | None = None
    group: str | int | None = None
    nice: int | None = None
    cpus: list[int] | None = None
    beat_within: float | None = None
    ready: str = "auto"

    @classmethod
    def from_packet(cls, packet: dict[str, Any]) -> Request:
        """Unknown fields are ignored: a newer supervisor may ask us. Raises ValueError, TypeError."""
        if packet.get("kind") != "spawn":
            raise ValueError(f"kind {packet.get('kind')!r:.40} is not spawn")
        request = cls(**{name: value for name, value in packet.items() if name in _FIELDS})
        for name, wanted in (("spawn", str), ("brand", int), ("anchor", int), ("name", str)):
            if not isinstance(getattr(request, name), wanted):
                raise TypeError(f"{name} is not of type {wanted.__name__}")
        if (request.target is None) == (not request.command):
            raise ValueError("exactly one of target and command is wanted")
        return request


_FIELDS = frozenset(Request._fields)


def warm_up() -> None:
    """In the template, so that no child has to: signals as a worker finds them, but SIGINT; and its output."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGINT, *_NEVER_TOUCHED, *IGNORED_BY_PYTHON}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or every worker would write it once more
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a worker's prints show at once


def live(request: Request, fds: list[int], *, born_of: int | None) -> NoReturn:
    """Be the worker, to its end. fds: out_w, err_w, beat_w, go_r, stack, perhaps a channel. born_of: the midwife."""
    code = OTHER
    beat = fds[2]
    try:
        if adopted(request.anchor, born_of):
            _introduce(request, beat)
            with step("descriptors"):
                take_descriptors(request, fds)
                beat = BEAT
            become(request)
            code = _work(request)
        else:
            code = 0  # the anchor is gone: there is nobody to tell, and nothing to live for
    except Failed as failed:
        code = CODES.get(failed.what, OTHER)
        with contextlib.suppress(OSError):
            os.write(beat, wire.encode_fitting("failed", "error", what=failed.what, error=failed.error))
    except BrokenPipeError:
        code = OTHER  # nobody listens to it any more: this spawn was given up, and nothing of the user's has run yet
    except SystemExit as wish:  # of the target's module, while it was imported
        code = wish.code if isinstance(wish.code, int) else 1
    except BaseException:  # noqa: BLE001 the worker's stderr sees it; a template must never run on in a child
        sys.excepthook(*sys.exc_info())
    leave(code)


def adopted(anchor: int, born_of: int | None) -> bool:
    """Wait until the anchor is our parent, and die with it from then on; False if it is dead already."""
    if born_of is not None and os.getppid() == born_of:
        # Not by looking at getppid again and again: of the many children of one midwife each would take CPU from her.
        wait_for_end(born_of)
    return kernel.die_with_parent(anchor)


def wait_for_end(pid: int, milliseconds: int | None = None) -> None:
    """Wait until the process is gone, but no longer than so long."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        gone.poll(milliseconds)
        os.close(pidfd)


def _introduce(request: Request, beat: int) -> None:
    kernel.set_brand(request.brand)
    pid = os.getpid()
    if os.getsid(0) != pid:
        os.setsid()
    say_hello(request, beat, pid=pid, start=kernel.own_start(), heart=False)


def say_hello(request: Request, beat: int, *, pid: int, start: int, heart: bool) -> None:
    """Who we are, on the beat pipe; heart: whether the function takes one."""
    said = {"pid": pid, "start": start, "spawn": request.spawn}
    os.write(beat, wire.encode("hello", **said, heart=heart, stacks=request.target is not None))


def take_descriptors(request: Request, fds: list[int], above: int = 0) -> None:
    """Put them in their places, and close all behind the last. above: so much higher is everything in a rehearsal."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above + _CLEAR_OF) for fd in fds]
    is_program = request.command is not None
    for place, fd in enumerate(moved, OUT):
        os.dup2(fd, above + place, inheritable=place in (OUT, ERR) or (place == BEAT and is_program))
    if not request.standby:
        os.close(above + GO)
    if is_program:
        os.close(above + STACK)
    os.closerange(above + OUT + len(fds), 1 << 30)
    os.set_blocking(above + BEAT, False)


def _work(request: Request) -> int:
    heart = Heart(BEAT, name=request.name, replica=request.replica, beat_within=request.beat_within)
    if request.command is not None:
        if request.standby and not _wait_for_go(heart):
            return 0
        os.set_inheritable(BEAT, True)
        with step("exec"):
            _execute(request.command)
    assert request.target is not None
    reseed()
    gc.enable()
    function = Function(request.target, request.args or {}, request.path or [])
    with step("import"):
        _load(function)
    say_hello(request, BEAT, pid=os.getpid(), start=kernel.own_start(), heart=function.takes_heart)
    heart.listen_for_chaos()
    if not function.prepared(heart):
        return 1
    if request.standby and not _wait_for_go(heart):
        return 0
    if request.ready == "started":  # else its own `ready` tells, and every line more wakes the supervisor once more
        _say_started()
    return function.run(heart)


def _execute(command: list[str]) -> NoReturn:
    # Looked for first: `started` is said before execve, for nobody is left to say it afterwards.
    if not _is_there(command[0]):
        raise FileNotFoundError(f"{command[0]}: no such program")
    _say_started()
    os.execvpe(command[0], command, os.environ)  # noqa: S606 that is the point


def _is_there(program: str) -> bool:
    # Not shutil.which: the import of shutil takes every template 3 ms.
    folders = [""] if os.path.dirname(program) else os.get_exec_path()
    paths = (os.path.join(folder, program) for folder in folders)
    return any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in paths)


def _say_started() -> None:
    os.write(BEAT, wire.encode("started", at=round(time.monotonic(), 6)))


def _load(function: Function) -> None:
    try:
        function.load(STACK)
    except Exception as error:
        function.tell(error)
        raise


def _wait_for_go(heart: Heart) -> bool:
    """Say `prepared` and wait; False when we are no longer wanted. SIGTERM ends a standby at once."""
    # Once for practice: the pages it writes to are copied now, not when a worker has died and everybody waits.
    _answer_to(heart, wire.decode_go(wire.encode_go(wire.Go(heart.name, heart.replica))))
    wire.encode("ready", at=1.0)
    os.write(BEAT, wire.encode("prepared", at=round(time.monotonic(), 6)))
    with os.fdopen(GO, "rb") as pipe:
        return _answer_to(heart, wire.decode_go(pipe.readline()))  # not to the end: the anchor keeps the other one too


def _answer_to(heart: Heart, go: wire.Go | None) -> bool:
    if go is None:
        return False
    if go.name != heart.name:  # it has that one already where there are no replicas
        kernel.name_process(go.name)
    heart.name, heart.replica = go.name, go.replica
    os.environ.update(NINELIVES_NAME=go.name, NINELIVES_REPLICA=str(go.replica))
    os.environ.update(go.env or {})
    pin(go.cpus)
    return True


def reseed() -> None:
    """Siblings forked from one template must not draw the same numbers."""
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
