"""Where the workers of a pool come from, and how their deaths are learnt: the parent's side of births and ends.

    waiting ──asked of the template──> asked ──hello──> coming ──started──> born ──reaped──> over
       ^                                 │                └──it fails, or is killed────────> over: unborn
       └── its beat pipe ended, it never happened ──TRIES times──> over: unborn

Rules:
- Of every number asked for the listener hears once, and only from a `ready` callback it was given or from `look`: unborn; or
  born, and then ended. After `lost` it hears nothing more of any number asked for before.
- Nothing blocks but `close`. Not thread-safe: it is called under the pool's lock.
- In a child that the parent has forked it is unusable: `close` lets go of the child's copies, the rest is refused.
"""

from __future__ import annotations

import contextlib
import os
import signal as signals
from collections import deque
from typing import TYPE_CHECKING, Any

from supervisor.pool.child import Child, given, in_common, send
from supervisor.pool.ending import Ending
from supervisor.pool.stem import MAIN
from supervisor.pool.trunk import WORKER, Trunk

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from supervisor.pool.mainmodule import MainModule
    from supervisor.pool.trunk import Listener

TARGET = f"{WORKER}:main"
TRIES = 4  # births of one worker that never happen before it is given up
ON_THEIR_WAY = 16  # requests to a template that are not answered: more wait here, where a socket's buffer is no limit
_KILLED = "it was killed before it began"


class Engine:
    """One pool's; see the head of this file. preload: modules imported before any worker is forked."""

    def __init__(
        self, listener: Listener, *, preload: Sequence[str] = (), main: MainModule | None = None, target: str = TARGET
    ) -> None:
        self._listener = listener
        told = None if main is None else (MAIN, main.path, main.name, main.argv)
        words = [target.partition(":")[0], *([MAIN] if main is not None else []), *preload]
        self._trunk = Trunk(listener, self, preload=words, main=told)
        self._common = in_common(target)
        self._children: dict[int, Child] = {}
        self._waiting: deque[Child] = deque()
        self._asked: set[int] = set()
        self._unborn: deque[tuple[int, str]] = deque()
        self._news = -1  # an eventfd: somebody is unborn, and no other descriptor may be ready

    def __repr__(self) -> str:
        return f"<Engine of {len(self._children)} workers, {self._trunk!r}>"

    def start(self) -> None:
        """Start the root, and its template if workers are born of that, where they are not running. Raises OSError."""
        self._trunk.check()
        self._open_news()
        self._trunk.grow()

    def spawn(self, number: int, channel: socket.socket) -> None:
        """Ask for a worker; `channel` (its end of a pair of sockets, given away) is its descriptor 6.

        number: 1 to 2**32 - 1, and never one that was used before. Raises OSError if not even a failure could be told.
        """
        self._trunk.check()
        if number in self._children or not 0 < number < 1 << 32:
            raise ValueError(f"worker {number}: a number from 1 to 2**32 - 1 is wanted that is not in use")
        self._open_news()
        child = self._children[number] = Child(number, channel)
        try:
            self._trunk.grow()
        except OSError as error:
            self._give_up(child, str(error))
            return
        self._waiting.append(child)
        self.may_ask()

    def kill(self, number: int) -> bool:
        """SIGKILL; whether there is somebody, or will be, to get it."""
        return self.signal(number, signals.SIGKILL)

    def signal(self, number: int, signum: int) -> bool:
        """Send a signal; one that is not born yet gets it with its hello, or never begins."""
        self._trunk.check()
        child = self._children.get(number)
        if child is None or child.is_over:
            return False
        if child.pid is None:
            child.doom = signum
            if child in self._waiting:
                self._waiting.remove(child)
                self._give_up(child, _KILLED)
        elif not child.signal(signum):
            self._trunk.say({"op": "kill", "pid": child.pid, "signal": int(signum)})
        return True

    def look(self, number: int) -> None:
        """Tell now what is known of its birth, and not when its descriptor's turn comes."""
        child = self._children.get(number)
        if child is not None and child.beat >= 0:
            self._hear(child)

    def stack(self, number: int) -> str:
        """What faulthandler has written of it so far: at a crash, and for each STACK_SIGNAL."""
        child = self._children.get(number)
        return "" if child is None else child.stacks()

    def forget(self, number: int) -> None:
        """Close what is held for it. One that is not over yet is killed, and nothing more told of it."""
        child = self._children.get(number)
        if child is not None:
            child.is_forgotten = True
            self.kill(number)
            self._drop_forgotten(child)

    def close(self, *, within: float) -> None:
        """Everything of this pool is dead and reaped when this returns: in so many seconds, or by force in 2 more."""
        for child in self._children.values():
            self._let_go(child)
            child.close()
        self._children.clear()
        self._waiting.clear()
        self._unborn.clear()
        if self._news >= 0:
            self._trunk.unwatch(self._news)
            os.close(self._news)
            self._news = -1
        self._trunk.close(within)

    def _open_news(self) -> None:
        if self._news < 0:
            self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._listener.watch(self._news, self._tell_unborn)

    # -- what the trunk tells -----------------------------------------------------------------------------------------

    def may_ask(self) -> None:
        """Ask the template for those who wait, as many as may be on their way."""
        trunk = self._trunk
        while self._waiting and len(self._asked) < ON_THEIR_WAY and (trunk.bears or trunk.template is not None):
            child = self._waiting.popleft()
            try:
                self._ask(child)
            except OSError as error:
                is_dead = isinstance(error, BrokenPipeError | ConnectionResetError)  # its successor is asked
                if is_dead or (
                    isinstance(error, BlockingIOError) and self._asked
                ):  # or it is, when one of those is answered
                    self._waiting.appendleft(child)
                    return
                self._give_up(child, str(error))

    def hopeless(self, why: str) -> None:
        """No template will come."""
        while self._waiting:
            self._give_up(self._waiting.popleft(), why)

    def exited(self, packet: dict[str, Any]) -> None:
        """A worker was reaped, or an orphan of its."""
        child = self._children.get(packet["number"])
        if child is None or child.is_over:
            return
        self._hear(child)  # it may have said who it is, and why it ends, a moment ago
        if child.pid != packet["pid"]:
            return
        self._let_go(child)
        child.over()
        self._trunk.say({"op": "sweep", "number": child.number})
        ending = Ending.of(packet["pid"], packet["status"], packet["rusage"])
        if not child.is_born:
            self._give_up(child, child.said or f"{ending} before it began")
        elif not child.is_forgotten:
            self._listener.ended(child.number, ending)
        self._drop_forgotten(child)

    def stopped(self, packet: dict[str, Any]) -> None:
        """A worker was stopped, or something it has started; of one that has not said hello yet there will be another."""
        self.look(packet["number"])
        child = self._children.get(packet["number"])
        if child is not None and child.pid is None:
            self._trunk.say({"op": "kill", "pid": packet["pid"], "signal": int(signals.SIGKILL)})
        elif child is not None and child.pid == packet["pid"] and not child.is_forgotten:
            self._listener.stopped(child.number, packet["pid"])

    def fallen(self) -> None:
        """Everything is gone."""
        self._waiting.clear()
        self._unborn.clear()
        for child in list(self._children.values()):
            self._let_go(child)
            child.over()
            self._drop_forgotten(child)
        self._listener.lost()

    # -- births -------------------------------------------------------------------------------------------------------

    def _ask(self, child: Child) -> None:
        root, template = self._trunk.root, self._trunk.template
        assert root is not None
        data, fds = child.request(self._common, root)
        try:
            if child.is_alone:
                self._trunk.ask_once(data, fds)
            elif template is not None:
                send(template.channel, data, fds)
            else:
                root.say_encoded(data, fds)
        except OSError:
            child.deaf()
            raise
        finally:
            given(fds)
        self._asked.add(child.number)
        self._listener.watch(child.beat, lambda: self._hear(child))

    def _hear(self, child: Child) -> None:
        said = child.hear()
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
                self._trunk.has_born()
                if not child.is_forgotten:
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
        self.may_ask()

    def _refused(self, child: Child, why: str) -> None:
        """Threads in the template: such a worker is a template of its own, and becomes it without a fork."""
        self._let_go(child)
        if child.is_alone:
            self._give_up(child, why)
            return
        child.is_alone = True
        self._waiting.appendleft(child)
        self.may_ask()

    def _never_happened(self, child: Child) -> None:
        child.tries += 1
        if child.doom is not None:
            self._give_up(child, _KILLED)
        elif child.tries >= TRIES:
            last = f"the last template: {self._trunk.last_words}"
            self._give_up(child, f"{child.tries} times it ended before its first word; {last}")
        else:
            self._waiting.appendleft(child)
            if self._trunk.template is None:
                self._trunk.replace_template()
            else:
                self.may_ask()

    def _give_up(self, child: Child, why: str) -> None:
        self._let_go(child)
        child.over()
        if child.is_forgotten:
            self._drop_forgotten(child)
            return
        self._unborn.append((child.number, why))
        os.eventfd_write(self._news, 1)

    def _tell_unborn(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._news)
        while self._unborn:
            self._listener.unborn(*self._unborn.popleft())

    def _drop_forgotten(self, child: Child) -> None:
        if child.is_forgotten and child.is_over:
            child.close()
            self._children.pop(child.number, None)

    def _let_go(self, child: Child) -> None:
        """Hear no more of it."""
        self._asked.discard(child.number)
        if child.beat >= 0:
            self._trunk.unwatch(child.beat)
            child.deaf()
