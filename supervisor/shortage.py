"""The anchor had no room for the descriptors of some notes.

What a later supervisor could not go on with is ended now, and begun again as after any failure. What we hold ourselves is
put down once more, until there is room.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from supervisor.outlet import STORE
from supervisor.processes import UNHEARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.entrance import Entrance
    from supervisor.service import Service

AGAIN_AFTER = 1.0  # seconds until a note is put down once more


def lost(keys: Iterable[str], service: Service, entrance: Entrance, aides: Iterable[Any]) -> None:
    """These notes are kept without their descriptors."""
    for key in keys:
        for aide in aides:
            if aide.key == key:
                aide.lost()
        if key.startswith("spawn/"):
            service.roster.lose(key.removeprefix("spawn/"), UNHEARD)
        again = _holder(key, service, entrance)
        if again is not None:
            asyncio.get_running_loop().call_later(AGAIN_AFTER, again)


def _holder(key: str, service: Service, entrance: Entrance) -> Callable[[], None] | None:
    """Who has the descriptors of this note, and puts it down with them; None for those that are ended instead."""
    kind, _, name = key.partition("/")
    if key == "config":
        return lambda: service.note_config(service.roster.config)  # the one of then: it may be reloaded meanwhile
    if key == "entrance":
        return entrance.keep
    if key == STORE:
        return service.host.processes.outlet.keep_store
    worker = service.roster.worker(name) if kind == "notify" else None
    return worker.keep_notify if worker is not None else None
