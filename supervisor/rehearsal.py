"""What every child of a template does first, done in the template often enough that it costs the child nothing new.

An interpreter pays for code the first times it runs: it specialises bytecode in place, remembers where attributes were
found, lists the folders of sys.path. In a freshly forked child each of those writes copies a page as well. Done here,
before the fork, the result is shared. So a whole life is played, up to a worker that waits: a request is read, the
descriptors take their places, the process becomes another, a module is imported, a heart beats. With NumPy preloaded a
worker has 0.5 MiB less of its own than it would have without, and imports a module in 0.7 ms instead of 3.

Nothing of it shows: the descriptors' places are above all that are open, and everything else is put back.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import resource
import signal
import socket
import sys

from supervisor import birth, kernel
from supervisor.embryo import is_dead, next_births
from supervisor.function import Function
from supervisor.outfit import become, step
from workers.heart import Heart
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OFTEN = 24  # CPython specialises after 8 to 16 calls; a little more, for code that is reached on some of them only
PART = "supervisor.understudy"  # pure, tiny, ours
NOWHERE = "ninelives_no_such_module"  # looking for it lists every folder of sys.path
_CLEAR_OF = 16  # more than are opened while it is played


class Rehearsal:
    """The stage and all that stands on it; made by a template, and used once more by each embryo."""

    def __init__(self, name: str) -> None:
        """name: of the worker that is played."""
        importlib.import_module("traceback")  # what a worker that fails needs
        importlib.util.find_spec(NOWHERE)
        self._nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs.setblocking(False)
        self._packet = _request(name)
        self._forked: Callable[[], None] | None = None
        threading = sys.modules.get("threading")
        if threading is not None and threading.active_count() == 1:
            # What the interpreter itself runs in every child; with one thread it changes nothing.
            self._forked = getattr(threading, "_after_fork", None)

    def warm_up(self) -> None:
        """In the template: until the interpreter has nothing more to learn. Raises what a birth may raise."""
        with _unseen():
            self.play(OFTEN)

    def play(self, often: int = 1) -> None:
        """In an embryo: so that the pages a worker writes to are copied while nobody waits.

        Leaves its own sys.argv, environment, SIGINT and process name; every birth sets these.
        """
        above = max(map(int, os.listdir("/proc/self/fd"))) + _CLEAR_OF
        for _ in range(often):
            birth.wait_for_end(os.getpid(), 0)
            socket.send_fds(self._ours, [self._packet], [self._nowhere] * 5)
            for request, fds in next_births(self._theirs, self._ours.fileno()) or []:
                is_dead(self._ours.fileno(), 0)
                _live(request, fds, above)
            if self._forked is not None:
                self._forked()


def _live(request: birth.Request, fds: list[int], above: int) -> None:
    beat = fds[2]
    kernel.set_brand(request.brand)
    birth.say_hello(request, beat, pid=os.getpid(), start=kernel.own_start(), heart=False)
    with step("descriptors"):
        birth.take_descriptors(request, fds, above)
    for fd in fds:  # in a birth they are among those closed behind the last place
        os.close(fd)
    beat, stack = above + birth.BEAT, above + birth.STACK
    become(request)
    heart = Heart(beat, name=request.name, replica=request.replica, beat_within=request.beat_within)
    birth.reseed()
    sys.modules.pop(PART, None)
    function = Function(PART, request.args or {}, request.path or [])
    with step("import"):
        function.load(stack)
    birth.say_hello(request, beat, pid=os.getpid(), start=kernel.own_start(), heart=function.takes_heart)
    function.prepared(heart)
    faulthandler.unregister(kernel.STACK_SIGNAL)
    faulthandler.disable()
    os.closerange(above, above + birth.CHANNEL + 1)


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Put back what a rehearsal changes; a Ctrl-C meanwhile is as good as none."""
    argv, environ, tells_faults = sys.argv[:], dict(os.environ), faulthandler.is_enabled()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sys.argv[:] = argv
        for name in os.environ.keys() - environ.keys():
            del os.environ[name]
        if tells_faults:
            faulthandler.enable()


def _request(name: str) -> bytes:
    """Like those that come."""
    identity = {"NAME": name, "REPLICA": "0", "SPAWN_ID": f"{name}#0", "BEAT_FD": "3", "BEAT_WITHIN": "5.0"}
    said: dict[str, object] = dict.fromkeys(birth.Request._fields)
    said |= {
        "kind": "spawn", "spawn": f"{name}#0", "brand": resource.getrlimit(kernel.RLIMIT_RTTIME)[0], "anchor": os.getppid(),
        "name": name, "spec": name, "replica": 0, "standby": False, "target": PART, "args": {}, "path": [],
        "env": {**os.environ, **{f"NINELIVES_{key}": value for key, value in identity.items()}},
        "beat_within": 5.0, "ready": "auto",
    }  # fmt: skip
    return json.dumps(said).encode()
