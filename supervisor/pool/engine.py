"""Where the workers of a pool come from, and how their deaths are learnt: the parent's side of root, template and births.

    waiting ──asked of the template──> asked ──hello──> coming ──started──> born ──reaped──> over
       ^                                 │                └──it fails, or is killed────────> over: unborn
       └──its beat pipe ended: it never happened (TRIES)──> over: unborn

Rules:
- Of every number asked for the listener hears once, and only from a `ready` callback it was given: unborn; or born, and
  then ended. After `lost` it hears nothing more of any number asked for before.
- Nothing blocks but `close`. Not thread-safe: it is called under the pool's lock.
- A child the parent has forked must not touch this: it may call `close`, which then only lets go of its copies.
"""

from __future__ import annotations

import json
import os
import signal as signals
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from supervisor.pool.child import BEAT_W, Child, given, send
from supervisor.pool.ending import Ending
from supervisor.pool.stem import MAIN, Root, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supervisor.pool.mainmodule import MainModule

TARGET = "supervisor.pool.worker:main"
TRIES = 4  # births of one worker that never happen before it is given up
HOPELESS = 3  # deaths in a row before it was ready, after which nothing is waited for from a template
STARTS, STARTS_WITHIN = 5, 1.0  # roots that may be started in so many seconds
ON_THEIR_WAY = 16  # requests to a template that are not answered: more wait here, where a socket's buffer is no limit


_KILLED = "it was killed before it began"


class Listener(Protocol):
    """The one who is told; see the head of this file."""

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ready whenever the descriptor is readable or hung up."""

    def unwatch(self, fd: int) -> None:
        """It is about to be closed."""

    def born(self, number: int, pid: int) -> None:
        """The worker's own code begins."""

    def unborn(self, number: int, why: str) -> None:
        """There never was such a worker, or it ended before its own code began."""

    def ended(self, number: int, ending: Ending) -> None:
        """It was reaped."""

    def lost(self) -> None:
        """The root is gone, and every worker with it. `spawn` starts anew."""


class Engine:
    """One pool's; see the head of this file. preload: modules imported before any worker is forked."""

    def __init__(
        self, listener: Listener, *, preload: Sequence[str] = (), main: MainModule | None = None, target: str = TARGET
    ) -> None:
        self._listener = listener
        self._main = None if main is None else (MAIN, main.path, main.name, main.argv)
        self._preload = [target.partition(":")[0], *([MAIN] if main is not None else []), *preload]
        env = {name: value for name, value in os.environ.items() if not name.startswith("NINELIVES_BEAT")}
        common = {"kind": "spawn", "target": target, "args": {}, "ready": "started", "spec": "pool", "env": env}
        self._common = json.dumps(common, separators=(",", ":")).encode()[:-1] + b","
        self._owner = os.getpid()
        self._root: Root | None = None
        self._template: Template | None = None
        self._templates = 0  # how many there were
        self._deaths = 0  # of templates in a row that were not ready yet
        self._children: dict[int, Child] = {}
        self._waiting: deque[Child] = deque()
        self._asked: set[int] = set()
        self._starts: deque[float] = deque(maxlen=STARTS)
        self._news = -1  # an eventfd: there is something to tell that no other descriptor announces
        self._unborn: deque[tuple[int, str]] = deque()
        self._last_words = "nothing is known of its end"

    def __repr__(self) -> str:
        return f"<Engine of {len(self._children)} workers, {self._root!r}>"

    def start(self) -> None:
        """Start the root and its template, if they are not running. Raises OSError."""
        self._check()
        self._open_news()
        if self._root is None:
            self._start_root()
        if self._template is None:
            self._start_template()

    def spawn(self, number: int, channel: socket.socket) -> None:
        """Ask for a worker; `channel` (its end of a pair of sockets, given away) is its descriptor 6.

        number: 1 to 2**32 - 1, and never one that was used before. Raises OSError if not even a failure could be told.
        """
        self._check()
        if number in self._children or not 0 < number < 1 << 32:
            raise ValueError(f"worker {number}: a number from 1 to 2**32 - 1 is wanted that is not in use")
        self._open_news()
        child = self._children[number] = Child(number, channel)
        try:
            self.start()
        except OSError as error:
            self._give_up(child, str(error))
            return
        self._waiting.append(child)
        self._ask_all()

    def kill(self, number: int) -> bool:
        """SIGKILL; whether there is somebody, or will be, to get it."""
        return self.signal(number, signals.SIGKILL)

    def signal(self, number: int, signum: int) -> bool:
        """Send a signal; one that is not born yet gets it with its hello."""
        self._check()
        child = self._children.get(number)
        if child is None or child.is_over:
            return False
        if child.pid is None:
            child.doom = signum
            if child in self._waiting:
                self._waiting.remove(child)
                self._give_up(child, _KILLED)
        elif not child.signal(signum) and self._root is not None:
            self._root.say({"op": "kill", "pid": child.pid, "signal": signum})
        return True

    def stack(self, number: int) -> str:
        """What faulthandler has written of it so far: at a crash, and for each STACK_SIGNAL."""
        child = self._children.get(number)
        return "" if child is None else child.stacks()

    def forget(self, number: int) -> None:
        """Close what is held for it. One that is not over yet is killed, and nothing more told of it."""
        if self.kill(number) and self._root is not None:
            self._root.say({"op": "sweep", "number": number})
        child = self._children.pop(number, None)
        if child is not None:
            self._let_go(child)
            child.close()

    def close(self, *, within: float) -> None:
        """Everything of this pool is dead and reaped when this returns: in so many seconds, or by force in 2 more."""
        root, self._root = self._root, None
        is_ours = os.getpid() == self._owner
        if root is not None and is_ours:
            self._listener.unwatch(root.channel.fileno())
            self._listener.unwatch(root.pidfd)
        self._drop_template()
        for number in list(self._children):
            child = self._children.pop(number)
            self._let_go(child)
            child.close()
        if self._news >= 0:
            if is_ours:
                self._listener.unwatch(self._news)
            os.close(self._news)
            self._news = -1
        if root is not None and is_ours:
            root.end(within)
        elif root is not None:
            root.let_go()

    # -- root and template --------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError(f"this pool is process {self._owner}'s, and cannot be used in a child forked from it")

    def _open_news(self) -> None:
        if self._news < 0:
            self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._listener.watch(self._news, self._tell_unborn)

    def _start_root(self) -> None:
        now = time.monotonic()
        if len(self._starts) == STARTS and now - self._starts[0] < STARTS_WITHIN:
            raise ChildProcessError(
                f"the pool's root ended {STARTS} times within {STARTS_WITHIN:g} s; the last time: {self._last_words}"
            )
        self._starts.append(now)
        self._deaths = 0
        root = self._root = Root(self._main)
        self._listener.watch(root.channel.fileno(), self._hear_root)
        self._listener.watch(root.pidfd, self._bury_root)

    def _start_template(self) -> None:
        assert self._root is not None
        self._templates += 1
        template = self._template = Template(self._root, self._templates, self._preload)
        self._listener.watch(template.beat, self._hear_template)

    def _drop_template(self) -> None:
        template, self._template = self._template, None
        if template is not None:
            if template.beat >= 0 and os.getpid() == self._owner:
                self._listener.unwatch(template.beat)
            template.close()

    def _hear_root(self) -> None:
        for packet in self._root.hear() if self._root is not None else ():
            match packet["op"]:
                case "exit":
                    self._ended(packet)
                case "gone" if self._template is not None and packet["number"] == self._template.number:
                    self._template_ended(packet["why"])

    def _bury_root(self) -> None:
        self._hear_root()  # its last words
        root, self._root = self._root, None
        if root is None:
            return
        for fd in (root.channel.fileno(), root.pidfd):
            self._listener.unwatch(fd)
        self._last_words = root.close()
        self._drop_template()
        self._waiting.clear()
        self._unborn.clear()
        for child in self._children.values():
            self._let_go(child)
            child.over()
        self._listener.lost()

    def _hear_template(self) -> None:
        template = self._template
        if template is None:
            return
        said = template.hear()
        if said is None:
            self._listener.unwatch(template.beat)
            template.deaf()
        for message in said or ():
            if message.kind == "ready":
                template.is_ready, self._deaths = True, 0
            elif message.kind == "failed":  # said once on stderr: it is not tried again
                self._preload = [word for word in self._preload if word[:60] != message.fields.get("module")]

    def _template_ended(self, why: str) -> None:
        assert self._template is not None
        if not self._template.is_ready:
            self._hear_template()
        self._deaths += not self._template.is_ready
        self._drop_template()
        self._last_words = why
        self._replace_template()

    def _replace_template(self) -> None:
        """Or, where that is hopeless, tell those who wait; the next spawn tries once more."""
        why = f"its template ended {self._deaths} times before it was ready: {self._last_words}"
        if self._deaths < HOPELESS:
            try:
                self._start_template()
            except OSError as error:
                why = str(error)
            else:
                self._ask_all()
                return
        while self._waiting:
            self._give_up(self._waiting.popleft(), why)

    # -- births -------------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        while self._waiting and len(self._asked) < ON_THEIR_WAY and self._template is not None:
            child = self._waiting[0]
            try:
                self._ask(child, self._template.channel)
            except BlockingIOError as error:
                if self._asked:
                    return  # asked again when one of those was answered
                self._waiting.popleft()
                self._give_up(child, str(error))
            except (BrokenPipeError, ConnectionResetError):
                return  # the template is dead; its successor is asked
            except OSError as error:
                self._waiting.popleft()
                self._give_up(child, str(error))
            else:
                self._waiting.popleft()

    def _ask(self, child: Child, channel: socket.socket) -> None:
        assert self._root is not None
        data, fds = child.request(self._common, self._root)
        try:
            if child.is_alone:
                self._ask_alone(data, fds)
            else:
                send(channel, data, fds)
        except OSError:
            child.deaf()
            raise
        finally:
            given(fds)
        self._asked.add(child.number)
        self._listener.watch(child.beat, lambda: self._hear_child(child))

    def _ask_alone(self, data: bytes, fds: list[int]) -> None:
        """Of a template for this one worker, with the request in its channel already."""
        assert self._root is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            send(ours, data, fds)
            self._root.say({"op": "once", "preload": self._preload}, [theirs.fileno(), fds[BEAT_W]])

    def _hear_child(self, child: Child) -> None:
        said = child.hear() if child.beat >= 0 else []
        if said is None:
            self._let_go(child)
            if child.pid is None:
                self._never_happened(child)
            return
        for message in said:
            if message.kind == "hello" and child.pid is None:
                self._introduced(child, message.fields)
            elif message.kind in {"started", "ready"} and not child.is_born:
                child.is_born = True
                self._let_go(child)
                self._listener.born(child.number, child.pid or 0)
            elif message.kind == "refused":
                self._refused(child, message.fields["why"])
            elif message.kind == "failed":
                child.said = f"{message.fields['what']}: {message.fields['error']}"

    def _introduced(self, child: Child, said: dict[str, Any]) -> None:
        self._asked.discard(child.number)
        child.introduced(said)
        if child.doom is not None:
            self.signal(child.number, child.doom)
        self._ask_all()

    def _refused(self, child: Child, why: str) -> None:
        """Threads in the template: such a worker is a template of its own, and becomes it without a fork."""
        self._let_go(child)
        if child.is_alone:
            self._give_up(child, why)
            return
        child.is_alone = True
        self._waiting.appendleft(child)
        self._ask_all()

    def _never_happened(self, child: Child) -> None:
        child.tries += 1
        if child.doom is not None:
            self._give_up(child, _KILLED)
        elif child.tries >= TRIES:
            self._give_up(
                child, f"{child.tries} times it ended before its first word; the last template: {self._last_words}"
            )
        else:
            self._waiting.appendleft(child)
            if self._template is None:
                self._replace_template()
            else:
                self._ask_all()

    def _let_go(self, child: Child) -> None:
        """Hear no more of it."""
        self._asked.discard(child.number)
        if child.beat >= 0:
            if os.getpid() == self._owner:
                self._listener.unwatch(child.beat)
            child.deaf()

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _ended(self, packet: dict[str, Any]) -> None:
        child = self._children.get(packet["number"])
        if child is None or child.is_over:
            return
        self._hear_child(child)  # it may have said who it is, and why it ends, a moment ago
        if child.pid != packet["pid"]:  # an orphan's end
            return
        self._let_go(child)
        child.over()
        if self._root is not None:
            self._root.say({"op": "sweep", "number": child.number})
        ending = Ending.of(child.pid or 0, packet["status"], packet["rusage"])
        if child.is_born:
            self._listener.ended(child.number, ending)
        else:
            self._give_up(child, child.said or f"{ending} before it began")
        self._ask_all()

    def _give_up(self, child: Child, why: str) -> None:
        self._let_go(child)
        child.over()
        self._unborn.append((child.number, why))
        os.eventfd_write(self._news, 1)

    def _tell_unborn(self) -> None:
        os.eventfd_read(self._news)
        while self._unborn:
            self._listener.unborn(*self._unborn.popleft())
