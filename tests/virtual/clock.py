"""An event loop whose clock jumps: where others would wait, it is at once as late as need be."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Stuck(Exception):
    """Everybody waits for somebody else: no event is due, ever."""


class _Jump(selectors.SelectSelector):
    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.passed += max(0.0, timeout)
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """Time passes only while nothing can be done, and then in no time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return 1000.0 + self._jump.passed


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end in virtual time; whatever it leaves behind is cancelled."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story)
