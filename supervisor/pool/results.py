"""What workers tell: out of their sockets and rings, to the tasks it concerns. Nothing of it is unpickled here."""

from __future__ import annotations

import errno
import struct
import time
from typing import TYPE_CHECKING, TypeAlias

from supervisor.pool import frames, page
from supervisor.pool.task import Error, Placed

if TYPE_CHECKING:
    from supervisor.pool.arena import Place
    from supervisor.pool.dispatcher import Dispatcher
    from supervisor.pool.remote import Remote
    from supervisor.pool.task import Task

_Found: TypeAlias = "tuple[Place, bytes | None, bool]"
DEAF = 0.2  # seconds a worker may live on after it closed its socket


class Results:
    """Called under the pool's lock."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def hear(self, remote: Remote) -> None:
        """There is something on its socket, if only the end of it."""
        dispatcher = self._dispatcher
        try:
            remote.hear()
            if remote.is_behind and not remote.is_deaf and remote.flush():
                dispatcher.loop.watch_both_ways(remote.sock.fileno(), both=False)
        except page.Broken as error:
            dispatcher.crew.put_down(remote, f"it broke the protocol: {error}")
        except OSError:
            remote.is_deaf = True
        self.settle(remote)
        if remote.is_deaf:
            dispatcher.office.deaf(remote)
            dispatcher.loop.at(time.monotonic() + DEAF, lambda: self._still_there(remote))

    def _still_there(self, remote: Remote) -> None:
        if remote.number in self._dispatcher.crew.remotes:
            self._dispatcher.crew.put_down(remote, "it closed its socket")

    def look(self, *, rest: bool) -> None:
        """Read every ring, though nobody rang."""
        crew = self._dispatcher.crew
        for remote in list(crew.remotes.values() if rest else crew.members):
            self.settle(remote, rest=rest)

    def settle(self, remote: Remote, *, rest: bool = True) -> None:
        """Everything it has told; then give it more."""
        try:
            self.take(remote, remote.records(rest=rest))
        except page.Broken as error:
            self._dispatcher.crew.put_down(remote, f"it broke the protocol: {error}")
        except OSError:
            return  # it is gone, which is heard of in other ways
        if remote.is_member and not remote.is_deaf:
            feeding = self._dispatcher.feeding
            if feeding.pending or feeding.alone or (not remote.outstanding and remote not in feeding.free):
                feeding.feed(remote)

    def last(self, remote: Remote) -> None:
        """Everything it told before it died."""
        try:
            if not remote.is_deaf:
                remote.hear()
            self.take(remote, remote.records())
        except (page.Broken, OSError):
            pass  # it died of that, or in the middle of a record

    def take(self, remote: Remote, records: list[page.Record]) -> None:  # noqa: C901, PLR0912 a table
        """Each to its task. Raises page.Broken."""
        finish = self._dispatcher.finish
        for sequence, kind, payload in records:
            if kind == page.VALUE:
                task = remote.finished(sequence)
                if task is not None:
                    if not task.function.is_known:
                        self._dispatcher.post.learn(task.function)
                    if task.is_plain and task.future is not None:  # the common case, and nothing to it
                        if not task.is_over:
                            task.is_over = True
                            task.future.deliver(payload)
                        continue
                    if task.chunk is not None:
                        task.chunk.seconds += remote.mean_s or 0.0
                    finish(task, payload)
            elif kind == page.ERROR:
                self._take_other(remote, remote.finished(sequence), payload)
            elif kind == page.PLACED:
                found = self._find(remote, payload)
                self._take_other(remote, remote.finished(sequence), payload, found)
            elif kind == page.SKIPPED:
                task = remote.skipped(sequence)
                if task is not None:
                    self._dispatcher.feeding.give_back([task])
            elif kind in (page.FREED, page.KEPT):
                number = int.from_bytes(payload, "little")
                self._dispatcher.lending.take_back(number, remote.number, kept=kind == page.KEPT)
            elif kind == page.TRIMMED:
                remote.shelf.forget(int.from_bytes(payload, "little"))
            elif kind == page.UP:
                self._dispatcher.crew.up(remote)
            elif kind == page.INITIALIZER:
                remote.initializer_error = payload

    def _find(self, remote: Remote, payload: bytes) -> _Found | OSError:
        """Where a result lies; or that its segment is not there, for want of descriptors. Raises page.Broken."""
        try:
            found = frames.decode_place(payload)
        except (struct.error, ValueError) as error:
            raise page.Broken(f"a result that lies nowhere: {error}") from error
        if found[0].segment not in remote.shelf:
            try:
                remote.hear()  # the ring was looked at before the socket
            except page.Broken as error:
                self._dispatcher.crew.put_down(remote, f"it broke the protocol: {error}")
        if found[0].segment not in remote.shelf:
            return OSError(errno.EMFILE, "No descriptor was left for the segment with the result")
        return found

    def _take_other(
        self, remote: Remote, task: Task | None, payload: bytes, found: _Found | OSError | None = None
    ) -> None:
        name, item = ("", None) if task is None else (task.function.name, task.item)
        sealed: Placed | Error
        if isinstance(found, OSError):
            sealed = Error(found)
        elif found is not None:
            place, data, is_error = found
            sealed = Placed(
                remote.shelf, place, data, is_error=is_error, released=remote.released, function=name, item=item
            )
        else:
            sealed = Error(payload, name, item)
        if task is None:
            return
        if sealed.is_error and task.chunk is not None and task.count > 1:
            self._dispatcher.aftermath.split(task)  # one item cannot be unpickled, or one value not be pickled
        else:
            self._dispatcher.finish(task, sealed)
