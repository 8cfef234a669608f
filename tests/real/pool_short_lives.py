"""Initializers of workers that are not to live long."""

from __future__ import annotations

import os
from typing import Any

from supervisor.pool import frames
from tests.real.pool_tasks import kill, note, wait_for


def die_before_the_first_message(path: str, notes: str) -> None:
    """An initializer: as long as there is such a file this worker dies when it has said that it is up, and notes it."""
    listen = frames.Inbox.next

    def next_or_die(inbox: frames.Inbox) -> tuple[Any, ...]:
        if os.path.exists(path):
            note(notes)
            kill()
        return listen(inbox)

    frames.Inbox.next = next_or_die  # type: ignore[assignment, method-assign]


def note_and_wait(notes: str, gate: str) -> None:
    """Up only when that file is there."""
    note(notes)
    wait_for(gate)
