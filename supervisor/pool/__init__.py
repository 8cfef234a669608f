"""A process pool that survives its workers. What others may use stands here.

Each name is imported when it is asked for: workers import parts of this package that have no use for the rest.
"""

from __future__ import annotations

import importlib

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.pool.executor import Pool, View
    from supervisor.pool.future import TaskFuture
    from supervisor.pool.options import Options
    from supervisor.pool.report import Attempt, CrashReport, PoolBroken, TaskFailed, TaskOutOfMemory, TaskTimeout
    from supervisor.pool.share import Shared
    from supervisor.pool.worker import SoftTimeout

__all__ = [
    "Attempt",
    "CrashReport",
    "Options",
    "Pool",
    "PoolBroken",
    "Shared",
    "SoftTimeout",
    "TaskFailed",
    "TaskFuture",
    "TaskOutOfMemory",
    "TaskTimeout",
    "View",
]

_HOMES = {
    "executor": ("Pool", "View"),
    "future": ("TaskFuture",),
    "options": ("Options",),
    "report": ("Attempt", "CrashReport", "PoolBroken", "TaskFailed", "TaskOutOfMemory", "TaskTimeout"),
    "share": ("Shared",),
    "worker": ("SoftTimeout",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
