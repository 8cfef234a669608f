"""The root of a pool's processes: their parent and reaper, for the program that has the pool may be anything and never forks.

    parent ──posix_spawn──> root ──fork──> template ──> embryo ──> worker
                                 ├─fork──> worker: the first ones, which nobody has preloaded anything for
                                 └─fork──> once, a template that becomes one worker itself: where forking is refused

It decides nothing. It forks workers and templates out of itself (no second interpreter is started), reaps every child, for
all that is orphaned below it becomes its child, and says who ended; it kills what an ended worker has left behind, and
everything at all when the parent is gone. Standard library only, one thread, nothing that can block. The packets are in
docs/architecture.md, "The pool's processes".

Rules:
- The parent is watched by a pidfd besides the channel: a child it has forked may hold the channel's other end for ever.
- Not PR_SET_PDEATHSIG: it fires when the thread that started us ends, and any thread may have.
- A stopped template or embryo is killed: it would keep what it was asked to itself, and another one is made at once.
  That a worker is stopped the parent is told, who knows what it is worth.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import select
import signal
import site
import sys
import time

from supervisor import birth, kernel, sockets
from supervisor.pool import worker as _worker  # noqa: F401 every child of ours is to have it
from workers import plain_json
from workers.hints import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNEL = 3  # to the parent
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
NAME = "pool"
_PACKET = 1 << 18
_DEADLY = 2.0  # seconds everything below has to die in, at the end
_BEAT = 4  # a template's beat pipe
_CLEAR_OF = 16  # moved above this first: none is overwritten before it is in its place


class Root:
    """See the head of this file."""

    def __init__(self, channel: sockets.socket, hello: dict[str, Any]) -> None:
        self._channel = channel
        self._nonce: int = hello["nonce"]
        self._hello = hello
        self._templates: dict[int, int] = {}  # pid -> the number it was asked for by
        self._sweeping: set[int] = set()
        self._unsaid: list[bytes] = []
        self._poll = select.poll()
        self._wake, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._parent = _open(hello["parent"])

    def run(self) -> None:
        """Serve the parent until it has no more use for us."""
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(self._channel, select.POLLIN)
        if self._parent is not None:
            self._poll.register(self._parent, select.POLLIN)
        is_wanted = self._parent is not None and self._hear()
        while is_wanted:
            for fd, event in self._poll.poll():
                if fd == self._wake:
                    self._reap()
                elif fd == self._parent:
                    is_wanted = False
                elif event & select.POLLOUT:
                    self._flush()
                else:
                    is_wanted = is_wanted and self._hear()
        self._take_all_along()

    # -- the parent ---------------------------------------------------------------------------------------------------

    def _hear(self) -> bool:
        """Everything the parent has asked for; False when it wants no more."""
        while True:
            try:
                data, fds, flags = sockets.receive_fds(self._channel, _PACKET, _CLEAR_OF)
            except BlockingIOError:
                return True
            except OSError:
                return False
            packet = plain_json.loads(data.decode()) if data else {"op": "leave"}
            try:
                if packet["op"] == "leave":
                    return False
                # Without its descriptors nothing comes of it; the parent sees the ends of its pipes.
                if not flags & sockets.MSG_CTRUNC:
                    self._obey(packet, fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _obey(self, packet: dict[str, Any], fds: list[int]) -> None:
        match packet["op"]:
            case "template":
                try:
                    self._templates[self._fork_template(fds, packet["preload"], once=False)] = packet["number"]
                except OSError as error:
                    self._say(op="gone", number=packet["number"], why=f"fork: {error}")
            case "once":
                with contextlib.suppress(OSError):  # its beat pipe ends
                    self._fork_template(fds, packet["preload"], once=True)
            case "spawn":
                with contextlib.suppress(OSError):
                    self._fork(lambda: self._be_worker(packet, fds))
            case "kill":
                # Our own child, not reaped yet, or nobody's: its number cannot be another's.
                if packet["pid"] in kernel.children_of_one_thread(os.getpid()):
                    os.kill(packet["pid"], packet["signal"])
            case "sweep":
                self._sweeping.add(packet["number"])
                self._sweep()

    def _say(self, **packet: Any) -> None:
        self._unsaid.append(plain_json.dumps_ascii(packet).encode())
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsaid:
                self._channel.send(self._unsaid[0])
                del self._unsaid[0]
        except BlockingIOError:
            self._poll.modify(self._channel, select.POLLIN | select.POLLOUT)
            return
        except OSError:  # its end is closed: that is heard next
            self._unsaid.clear()
        self._poll.modify(self._channel, select.POLLIN)

    # -- children -----------------------------------------------------------------------------------------------------

    def _fork(self, be: Callable[[], int]) -> int:
        """The pid of a child that does this, and ends with the exit code it gives. Raises OSError."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            code = be()
        except BaseException:  # noqa: BLE001 said on stderr; nothing may return into the root's loop from here
            sys.excepthook(*sys.exc_info())
        os._exit(code)

    def _fork_template(self, fds: list[int], preload: list[str], *, once: bool) -> int:
        """fds: its channel, its beat pipe. Raises OSError."""
        root = os.getpid()
        return self._fork(lambda: self._be_template(root, fds, preload, once=once))

    def _be_template(self, root: int, fds: list[int], preload: list[str], *, once: bool) -> int:
        from supervisor.pool import share as _share  # noqa: F401, PLC0415 what workers import late is in its children
        from supervisor.template import Options, be  # noqa: PLC0415 the first workers need none

        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _CLEAR_OF) for fd in fds]
        for place, fd in enumerate(moved, CHANNEL):
            os.dup2(fd, place, inheritable=False)
        os.closerange(_BEAT + 1, 1 << 30)
        os.setsid()
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # a library that starts threads could not be forked
        self._settle()
        return be(Options(NAME, self._nonce, root, once, tuple(preload), hurried=True), self._load)

    def _be_worker(self, packet: dict[str, Any], fds: list[int]) -> NoReturn:
        self._settle()
        site.setquit()  # which -S left out
        birth.warm_up()
        birth.live(birth.Request.from_packet(packet), fds, born_of=None)

    def _settle(self) -> None:
        """Where the parent finds its modules, we do."""
        if self._hello["site"]:
            site.main()
        ours = os.path.dirname(os.path.dirname(os.path.abspath(kernel.__file__)))
        path = self._hello["path"]
        sys.path[:] = path if ours in path else [*path, ours]

    def _load(self, word: str) -> None:
        """Import a module, or adopt the parent's main module."""
        main = self._hello["main"]
        if main and word == main[0]:
            module = importlib.import_module("supervisor.pool.mainmodule")
            module.MainModule(main[1], main[2], tuple(main[3])).adopt()
        else:
            importlib.import_module(word)

    # -- the dead -----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        while (pid := self._ended_child()) is not None:
            number = self._number_of(pid)
            _, status, usage = os.wait4(pid, 0)
            template = self._templates.pop(pid, None)
            if template is not None:
                self._say(op="gone", number=template, status=status)
            elif number:
                rusage = {"utime_s": usage.ru_utime, "stime_s": usage.ru_stime, "maxrss_bytes": usage.ru_maxrss * 1024}
                self._say(op="exit", number=number, pid=pid, status=status, rusage=rusage)
        self._sweep()

    def _ended_child(self) -> int | None:
        """One to be reaped; None if there is none."""
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return None
            if seen is None:
                return None
            if seen.si_code not in (os.CLD_STOPPED, os.CLD_TRAPPED):
                return seen.si_pid
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, seen.si_pid, os.WSTOPPED | os.WNOHANG)
            number = self._number_of(seen.si_pid)
            if number == 0:  # a template or an embryo
                os.kill(seen.si_pid, signal.SIGKILL)
            elif number is not None and seen.si_code == os.CLD_STOPPED:  # not one that a debugger holds
                self._say(op="stopped", number=number, pid=seen.si_pid)

    def _number_of(self, pid: int) -> int | None:
        """Which worker it is, or is of; 0: none, it is ours. None: it is another pool's, or nobody's."""
        value = kernel.read_brand(pid)  # a zombie still has it
        return None if value is None or value >> 32 & 0xFFFFFF != self._nonce else value & 0xFFFFFFFF

    def _sweep(self) -> None:
        """Kill what ended workers have left behind. What those have below them is ours, and found, when they are reaped."""
        if not self._sweeping:
            return
        found = {pid: self._number_of(pid) for pid in kernel.children_of_one_thread(os.getpid())}
        left = {pid: number for pid, number in found.items() if number in self._sweeping}
        kernel.kill_with_descendants(list(left))
        self._sweeping &= set(left.values())

    def _take_all_along(self) -> NoReturn:
        """Everything below us becomes our child as its parents die: kill our children until there are none."""
        deadline = time.monotonic() + _DEADLY
        me = os.getpid()
        while time.monotonic() < deadline:
            kernel.kill_with_descendants(kernel.children_of_one_thread(me))
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                os._exit(0)
            select.select([self._wake], [], [], 0.01)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        os._exit(1)


def main(_: list[str]) -> int:
    """Be the root of a pool, to its end."""
    channel = sockets.of(CHANNEL)
    os.closerange(CHANNEL + 1, 1 << 30)  # what the parent has left open for whomever it starts
    data = channel.recv(_PACKET)
    if not data:
        return 0
    hello = plain_json.loads(data.decode())
    kernel.set_brand(kernel.brand(hello["nonce"], 0))
    kernel.become_subreaper()
    kernel.name_process("nl-pool")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the parent's to understand
        signal.signal(number, signal.SIG_IGN)
    channel.setblocking(False)
    Root(channel, hello).run()
    return 0


def _open(parent: int) -> int | None:
    """A pidfd of our parent; None if it is dead."""
    try:
        pidfd = os.pidfd_open(parent)
    except OSError:
        return None
    return pidfd if os.getppid() == parent else None
