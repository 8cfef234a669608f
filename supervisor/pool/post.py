"""What workers are sent: tasks, what they need for them, what nobody needs any more; and practice for standbys."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from supervisor.pool.remote import Unsent
from supervisor.pool.task import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.remote import Remote
    from supervisor.pool.task import Function, Task

KNOWN = 16  # functions a new standby loads, those used first by somebody last


class Post:
    """Called under the pool's lock."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._known: weakref.WeakValueDictionary[int, Function] = weakref.WeakValueDictionary()

    def send(self, remote: Remote, tasks: list[Task]) -> None:
        """Give a worker tasks."""
        try:
            self._try(remote, lambda: remote.give(tasks, self._dispatcher.lending))
        except Unsent as error:
            self._unsent(remote, tasks, error)
            return
        for task in tasks:
            if task.options.is_watched:
                self._dispatcher.watch_over.begin(remote)
                break

    def _unsent(self, remote: Remote, tasks: list[Task], error: Unsent) -> None:
        """Those that need descriptors fail; the others are tried once more."""
        needy = [task for task in tasks if task.needs_descriptors]
        self._dispatcher.feeding.give_back([task for task in tasks if task not in needy])
        for task in needy:
            self._dispatcher.finish(
                task, Error(OSError(error.errno, f"{error.strerror}: the task could not be sent to a worker"))
            )
        self._dispatcher.feeding.feed(remote)

    def stands_by(self, remote: Remote) -> None:
        """It loads, while nobody waits for it, what others have run and lived."""
        self._warm(remote, list(self._known.values())[-KNOWN:])

    def learn(self, function: Function) -> None:
        """A worker has run it: standbys may load it as well."""
        function.is_known = True
        if function.place is None and not function.shared:
            self._known[function.number] = function
            for remote in self._dispatcher.crew.standbys:
                self._warm(remote, [function])

    def _warm(self, remote: Remote, functions: list[Function]) -> None:
        self._try(remote, lambda: remote.warm(functions))

    def tidy(self) -> None:
        """Tell workers what nobody will need again."""
        while self._dispatcher.gone:
            function = self._dispatcher.gone.popleft()
            if function.place is not None:
                self._dispatcher.lending.done(function.place.segment)
            self._tell_all(function.number, [], [])
        if self._dispatcher.lending.gone:
            segments, self._dispatcher.lending.gone = self._dispatcher.lending.gone, []
            self._tell_all(0, segments, [])
        while self._dispatcher.unshared:
            self._tell_all(0, [], [self._dispatcher.unshared.popleft()])

    def _tell_all(self, function: int, segments: list[int], shared: list[int]) -> None:
        for remote in self._dispatcher.crew.remotes.values():
            messages = remote.seen.forget(function, segments, shared)
            if messages and not remote.is_deaf:
                self._try(remote, lambda remote=remote, messages=messages: remote.say(*messages))  # type: ignore[misc]

    def _try(self, remote: Remote, send: Callable[[], None]) -> None:
        """Send; a worker that is gone is heard of in other ways."""
        try:
            send()
        except Unsent:
            raise
        except OSError:
            return
        if remote.is_behind:
            self._dispatcher.loop.watch_both_ways(remote.sock.fileno(), both=True)
