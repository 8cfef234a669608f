"""Layers on a heart, taken off at the worst moment: in the middle of what it says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from supervisor.chaos import tamper
from workers.heart import Heart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[Heart, int]]:
    read, write = os.pipe()
    yield Heart(write), read
    os.close(read)
    os.close(write)


class Undone(tamper.Layer):
    """Is taken off while it sends, or while it is asked, as the handler of the undoing order may do."""

    def __init__(self, heart: Heart, *, when_asked: bool) -> None:
        self.heart, self.when_asked = heart, when_asked

    def says(self, kind: str) -> bool:
        if self.when_asked:
            tamper.take_off(self.heart, self)
        return bool(kind)

    def sends(self, data: bytes, onward: Callable[[bytes], None]) -> None:
        tamper.take_off(self.heart, self)
        for at in range(len(data)):
            onward(data[at : at + 1])


@pytest.mark.parametrize("when_asked", [True, False])
def test_what_is_being_said_when_the_last_layer_goes_is_said(pipe: tuple[Heart, int], *, when_asked: bool) -> None:
    """The heart is a plain one again by then; the line arrives whole, and so does the next."""
    heart, read = pipe
    tamper.put_on(heart, Undone(heart, when_asked=when_asked))
    heart.ready("one")
    assert type(heart) is Heart
    heart.beat(status="two")
    lines = os.read(read, 4096).splitlines()
    assert [b'"ready"' in lines[0], b'"beat"' in lines[1], len(lines)] == [True, True, 2]
