"""What a worker has been sent once and need not be sent again: functions, segments, shared objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor.pool import frames

if TYPE_CHECKING:
    from supervisor.pool.lending import Lending
    from supervisor.pool.task import Task


class Seen:
    """Numbers of functions and segments, keys of shared objects."""

    def __init__(self) -> None:
        self.functions: set[int] = set()
        self.segments: set[int] = set()
        self.shared: set[int] = set()

    def prepare(self, task: Task, lending: Lending, messages: list[tuple[Any, ...]], fds: list[int]) -> None:
        """What comes before it: functions, segments and shared objects that are new to this worker."""
        function = task.function
        for handle in (*function.shared, *task.shared):
            if handle.key not in self.shared:
                self.shared.add(handle.key)
                messages.append((frames.SHARED, handle.key))
                fds.append(handle.fd)
        for place in (function.place, task.place):
            if place is not None and place.segment not in self.segments:
                self.segments.add(place.segment)
                messages.append((frames.SEGMENT, place.segment))
                fds.append(lending.fd(place.segment))
        if function.number not in self.functions:
            self.functions.add(function.number)
            messages.append((frames.FUNCTION, function.number, function.data, function.place))

    def undo(self, messages: list[tuple[Any, ...]]) -> None:
        """They were not sent after all."""
        known = {frames.SHARED: self.shared, frames.SEGMENT: self.segments, frames.FUNCTION: self.functions}
        for kind, number, *_ in messages:
            known[kind].discard(number)

    def forget(self, function: int, segments: list[int], shared: list[int]) -> list[tuple[Any, ...]]:
        """What to tell it about a function, segments and shared objects that nobody will use again."""
        messages: list[tuple[Any, ...]] = []
        if function in self.functions:
            self.functions.discard(function)
            messages.append((frames.FORGET, function))
        known = [segment for segment in segments if segment in self.segments]
        if known:
            self.segments.difference_update(known)
            messages.append((frames.DROP, known))
        for key in self.shared.intersection(shared):
            self.shared.discard(key)
            messages.append((frames.UNSHARED, key))
        return messages
