"""Segments of arguments: who may still look at one, and when it is free again.

A segment is lent when a task that needs it is sent, and comes back when the worker says so or is dead. It is used again
only when its task is over and nobody holds it; one that a worker's own code still looks at is given up instead.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from supervisor.pool.arena import Store
from supervisor.pool.parcel import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.pool.arena import Place
    from supervisor.pool.task import Task

EARLY = 512 << 20  # bytes of arguments that are copied before their turn comes


class _Loan:
    __slots__ = ("early", "holders", "is_kept", "wanted")

    def __init__(self, early: int) -> None:
        self.early = early  # bytes
        self.holders: set[int] = set()  # numbers of workers
        self.wanted = 1  # tasks not over, or a function
        self.is_kept = False


class Lending:
    """All segments of arguments of a pool; any thread may ask."""

    def __init__(self) -> None:
        self._store = Store()
        self._lock = threading.Lock()
        self._loans: dict[int, _Loan] = {}
        self._early = 0  # bytes of arguments copied by those who submitted them, and not yet let go of
        self.gone: list[int] = []  # segments no worker will see again, for the dispatcher to tell them

    @staticmethod
    def is_needed(data: bytes, buffers: Sequence[Any]) -> bool:
        """Whether a parcel is too large for the socket."""
        return bool(buffers) or len(data) > THRESHOLD

    def put(self, data: bytes, buffers: Sequence[Any], *, early: int = 0) -> tuple[bytes | None, Place]:
        """Copy a parcel into a segment: what still travels by itself, and where the rest lies. Raises MemoryError."""
        alone = len(data) <= THRESHOLD
        place = self._store.put(buffers if alone else [data, *buffers])
        with self._lock:
            self._loans[place.segment] = _Loan(early)
        return (data if alone else None), place

    def put_early(self, task: Task) -> None:
        """Copy a task's arguments before its turn comes; or leave it for then, if EARLY bytes wait already."""
        size = len(task.data or b"") + sum(buffer.raw().nbytes for buffer in task.buffers)
        with self._lock:
            if self._early + size > EARLY and self._early:
                return
            self._early += size
        try:
            task.data, task.place = self.put(task.data or b"", task.buffers, early=size)
        except (MemoryError, OSError):
            with self._lock:
                self._early -= size
            return  # perhaps there will be room when its turn comes; if not, its future is told
        task.buffers = ()

    def fd(self, segment: int) -> int:
        """Its descriptor, to be sent to a worker who has not seen it."""
        return self._store.fd(segment)

    def lend(self, segment: int, worker: int) -> None:
        """A worker has been told of it."""
        self._loans[segment].holders.add(worker)

    def take_back(self, segment: int, worker: int, *, kept: bool = False) -> None:
        """The worker does not look at it any more; kept: it does, and nobody knows how long."""
        with self._lock:
            loan = self._loans.get(segment)
            if loan is not None:
                loan.holders.discard(worker)
                loan.is_kept |= kept
                self._settle(segment, loan)

    def bury(self, worker: int) -> None:
        """The worker is dead."""
        with self._lock:
            for segment, loan in list(self._loans.items()):
                if worker in loan.holders:
                    loan.holders.discard(worker)
                    self._settle(segment, loan)

    def want(self, segment: int) -> None:
        """One more task needs it."""
        with self._lock:
            self._loans[segment].wanted += 1

    def done(self, segment: int) -> None:
        """A task that needed it is over."""
        with self._lock:
            loan = self._loans.get(segment)
            if loan is not None:
                loan.wanted -= 1
                self._settle(segment, loan)

    def close(self) -> None:
        """Give everything up."""
        with self._lock:
            self._loans.clear()
            self._store.close()

    def _settle(self, segment: int, loan: _Loan) -> None:
        if loan.wanted > 0 or loan.holders:
            return
        del self._loans[segment]
        self._early -= loan.early
        if loan.is_kept:
            self._store.drop(segment)
            self.gone.append(segment)
        else:
            self._store.release(segment)
            self.gone.extend(self._store.trim())
