"""The root and the template of a pool through their lives: started, replaced, told to go, and who is told when they are not.

Rules:
- A root that dies is replaced when the next worker is asked for, STARTS times in STARTS_WITHIN seconds.
- A template that dies is replaced at once; where it keeps dying before it is ready, those who wait for it are told.
- Where nothing of the user's is to be preloaded the root bears workers itself, until one of them is born: the first result
  does not wait for a template, nor share the machine with one that is being made.
- Who is told (`Crown`) is told from a `ready` callback only, or from within the call that found it out.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from supervisor.pool.child import BEAT_W, send
from supervisor.pool.stem import Root, Template
from supervisor.speech import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supervisor.pool.ending import Ending

WORKER = "supervisor.pool.worker"  # which a root has imported
HOPELESS = 3  # deaths in a row before it was ready, after which nothing is waited for from a template
STARTS, STARTS_WITHIN = 5, 1.0  # roots that may be started in so many seconds


class Listener(Protocol):
    """The user of an engine, who is told, from `ready` callbacks only, what becomes of the workers."""

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ready whenever the descriptor is readable or hung up."""

    def watch_ends(self, fd: int, ready: Callable[[], None]) -> None:
        """The same, of the channel of all news but births: it may be left unread for a moment."""

    def unwatch(self, fd: int) -> None:
        """It is about to be closed."""

    def born(self, number: int, pid: int) -> None:
        """The worker's own code begins."""

    def unborn(self, number: int, why: str) -> None:
        """There never was such a worker, or it ended before its own code began."""

    def ended(self, number: int, ending: Ending) -> None:
        """It was reaped."""

    def stopped(self, number: int, pid: int) -> None:
        """A signal (SIGSTOP, SIGTSTP) has stopped a worker, perhaps before it was born."""

    def lost(self) -> None:
        """The root is gone, and every worker with it. `spawn` starts anew."""


class Crown(Protocol):
    """What grows on a trunk."""

    def exited(self, packet: dict[str, Any]) -> None:
        """The root has reaped a process of a worker's."""

    def stopped(self, packet: dict[str, Any]) -> None:
        """A signal has stopped a worker, or a process it has started."""

    def may_ask(self) -> None:
        """There is a template."""

    def hopeless(self, why: str) -> None:
        """There is none, and none to be waited for."""

    def fallen(self) -> None:
        """The root is dead, and everything below it."""


class Trunk:
    """One pool's. main: how root.py is told of the main module; preload: what each template imports."""

    def __init__(self, listener: Listener, crown: Crown, *, preload: list[str], main: tuple[Any, ...] | None) -> None:
        self._listener, self._crown, self._main = listener, crown, main
        self.preload = preload
        self._is_bare = preload == [WORKER] and main is None
        self.bears = False  # the root itself
        self.root: Root | None = None
        self.template: Template | None = None
        self.last_words = "nothing is known of its end"
        self._owner = os.getpid()
        self._templates = 0  # how many there were
        self._deaths = 0  # of templates in a row that were not ready yet
        self._starts: deque[float] = deque(maxlen=STARTS)

    def __repr__(self) -> str:
        return f"<Trunk {self.root!r}>"

    def check(self) -> None:
        """Raises RuntimeError where it cannot be used."""
        if os.getpid() != self._owner:
            raise RuntimeError(f"this pool is process {self._owner}'s, and cannot be used in a child forked from it")

    def grow(self) -> None:
        """Start what is missing. Raises OSError."""
        if self.root is None:
            self._start_root()
        if self.template is None and not self.bears:
            self._start_template()

    def has_born(self) -> None:
        """One was born: from now on there is a template."""
        if self.bears:
            self.replace_template()

    def say(self, packet: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """To the root, if there is one. Raises OSError when there are no descriptors left to duplicate `fds` to."""
        if self.root is not None:
            self.root.say(packet, fds)

    def ask_once(self, data: bytes, fds: list[int]) -> None:
        """Of a template for this one worker, with the request in its channel already. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            send(ours, data, fds)
            self.say({"op": "once", "preload": self.preload}, [theirs.fileno(), fds[BEAT_W]])

    def unwatch(self, *fds: int) -> None:
        """Not in a forked child, where an epoll would forget them for the parent as well."""
        if os.getpid() == self._owner:
            for fd in fds:
                self._listener.unwatch(fd)

    def replace_template(self) -> None:
        """Or, where that is hopeless, tell those who wait; `grow` tries once more."""
        self.bears = False
        why = f"its template ended {self._deaths} times before it was ready: {self.last_words}"
        if self._deaths < HOPELESS:
            try:
                self._start_template()
            except OSError as error:
                why = str(error)
            else:
                self._crown.may_ask()
                return
        self._crown.hopeless(why)

    def close(self, within: float) -> None:
        """All of it is dead and reaped when this returns. In a child forked by the owner: only our copies are closed."""
        root, self.root = self.root, None
        self._drop_template()
        if root is None:
            return
        self.unwatch(root.channel.fileno(), root.pidfd)
        if os.getpid() == self._owner:
            root.end(within)
        else:
            root.let_go()

    # -- the root -----------------------------------------------------------------------------------------------------

    def _start_root(self) -> None:
        now = time.monotonic()
        if len(self._starts) == STARTS and now - self._starts[0] < STARTS_WITHIN:
            raise ChildProcessError(
                f"the pool's root ended {STARTS} times within {STARTS_WITHIN:g} s; the last time: {self.last_words}"
            )
        self._starts.append(now)
        self._deaths = 0
        root = self.root = Root(self._main)
        self.bears = self._is_bare
        self._listener.watch_ends(root.channel.fileno(), lambda: self._hear_root(root))
        self._listener.watch(root.pidfd, lambda: self._bury_root(root))

    def _hear_root(self, root: Root) -> None:
        if root is not self.root:
            return
        for packet in root.hear():
            match packet["op"]:
                case "exit":
                    self._crown.exited(packet)
                case "stopped":
                    self._crown.stopped(packet)
                case "gone" if self.template is not None and packet["number"] == self.template.number:
                    self._template_ended(self.template, packet.get("why") or describe(packet["status"]))

    def _bury_root(self, root: Root) -> None:
        if root is not self.root or not root.is_over(0):
            return
        self._hear_root(root)  # its last words
        if root is not self.root:  # who heard them has closed the pool
            return
        self.root = None
        self.unwatch(root.channel.fileno(), root.pidfd)
        self.last_words = root.close()
        self._drop_template()
        self._crown.fallen()

    # -- the template -------------------------------------------------------------------------------------------------

    def _start_template(self) -> None:
        assert self.root is not None
        self._templates += 1
        template = self.template = Template(self.root, self._templates, self.preload)
        self._listener.watch(template.beat, lambda: self._hear_template(template))

    def _hear_template(self, template: Template) -> None:
        said = template.hear()
        if said is None:
            self.unwatch(template.beat)
            template.deaf()
        for message in said or ():
            if message.kind == "ready":
                template.is_ready, self._deaths = True, 0
            elif message.kind == "failed":  # said once on stderr: it is not tried again
                self.preload = [word for word in self.preload if word[:60] != message.fields.get("module")]

    def _template_ended(self, template: Template, why: str) -> None:
        self._hear_template(template)
        self._deaths += not template.is_ready
        self.last_words = why
        self._drop_template()
        self.replace_template()

    def _drop_template(self) -> None:
        template, self.template = self.template, None
        if template is not None:
            if template.beat >= 0:
                self.unwatch(template.beat)
            template.close()
