"""Writes a note into a file at every beat, and fails where it cannot: what a full disk or a lack of descriptors shows in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart

PAGE = 64 * 1024  # bytes; then the file is begun anew


def main(heart: Heart, *, every: float = 0.1, folder: str | None = None) -> None:
    """Note the beats in a file of `folder` (by default the system's for such files), which goes with the worker."""
    path = Path(folder or tempfile.gettempdir()) / f"ninelives-notes-{os.getpid()}"
    heart.ready("taking notes")
    notes = 0
    try:
        while not heart.wait(every):
            notes += 1
            with open(path, "a" if notes % (PAGE // 16) else "w") as file:  # opened each time: it takes a descriptor
                file.write(f"note {notes:10d}\n")
            heart.beat(progress=notes)
    finally:
        path.unlink(missing_ok=True)
