"""A worker's raw output in a file of its own, rotated by renaming. Exactly once, too.

Only the pump writes to these files, so the size and the inode noted before a write tell the next pump how
much of it was done.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.pump.journal import Journal


class RotatedFile:
    """`path`, and `path.1` … `path.keep` behind it; sizes in bytes."""

    def __init__(self, path: str, *, most: int, keep: int, owner: int | None) -> None:
        self.path = path
        self.most = most
        self.keep = keep
        self.owner = owner
        self.fd = -1

    def append(self, journal: Journal, data: bytes) -> int:
        """Write what the inbox holds; how many bytes could not be written. Never raises."""
        generation, rest = journal.consumed + 1, memoryview(data)
        try:
            rest = rest[self._already(journal, generation, len(data)) :]
            while rest:
                status = self._open()
                if journal.file_generation != generation and status.st_size and status.st_size + len(rest) > self.most:
                    self._rotate()
                    status = self._open()
                journal.file_generation, journal.file_inode = generation, status.st_ino
                journal.file_at = status.st_size - (len(data) - len(rest))  # where this inbox began, or would have
                journal.commit()
                rest = rest[os.write(self.fd, rest) :]
        except OSError:
            return len(rest)
        return 0

    def _already(self, journal: Journal, generation: int, length: int) -> int:
        if journal.file_generation != generation:
            return 0
        status = self._open()
        if status.st_ino != journal.file_inode:
            return 0
        return max(0, min(status.st_size - journal.file_at, length))

    def _open(self) -> os.stat_result:
        """The file that has the name now: a foreign logrotate may have moved ours."""
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            if self.fd >= 0 and os.path.samestat(status, os.fstat(self.fd)):
                return status
        self.close()
        self.fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        status = os.fstat(self.fd)
        if status.st_size == 0 and self.owner is not None and os.geteuid() == 0:
            os.fchown(self.fd, self.owner, -1)
        return status

    def _rotate(self) -> None:
        """Shift only up to the first gap: a rotation that was interrupted has left one, and is finished so."""
        self.close()
        if self.keep < 1:
            os.truncate(self.path, 0)
            return
        names = [self.path, *(f"{self.path}.{number}" for number in range(1, self.keep + 1))]
        gap = next((place for place, name in enumerate(names) if not os.path.exists(name)), self.keep)
        for place in range(gap, 0, -1):
            os.rename(names[place - 1], names[place])

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
