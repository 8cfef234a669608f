"""Whether the files of what a template has imported are still what they were.

A template is made once and used for days; whoever edits a module or installs a newer version of a package wants the next
life made from that. Only files outside the standard library are looked at: a new Python comes with a new service.
"""

from __future__ import annotations

import os
import sys
import time

CHECK = b'{"kind":"check"}'  # on a template's channel: are you still fresh?

_LONGEST_PATH = 300  # characters of a path that are told
_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = tuple(os.path.join(_STANDARD, folder, "") for folder in ("site-packages", "dist-packages"))


class Freshness:
    """Made before the imports; `note` after them."""

    def __init__(self) -> None:
        self._began = time.time_ns()
        self._files: dict[str, tuple[int, int] | None] = {}
        self._failed: str | None = None

    def fail(self, module: str) -> None:
        """A module that could not be imported; whoever has mended it wants it tried again."""
        self._failed = module

    def note(self) -> None:
        """Remember size and date (mtime, ns) of every file that was imported so far."""
        now = time.time_ns()
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if not isinstance(path, str) or (path.startswith(_STANDARD) and not path.startswith(_INSTALLED)):
                continue
            seen = _look(path)
            # Written while we imported: nobody knows whether we read it before or after.
            self._files[path] = None if seen is not None and self._began <= seen[0] <= now else seen

    def stale(self) -> str | None:
        """Why the imports should be made again, in a few words; None if there is no reason to."""
        if self._failed is not None:
            return f"{self._failed} could not be imported"
        changed = (path for path, seen in self._files.items() if seen is None or _look(path) != seen)
        return next((f"{path[-_LONGEST_PATH:]} has changed" for path in changed), None)


def _look(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
