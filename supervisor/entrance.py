"""The service's door: the lock on its name, its control socket, and who may come in.

Both are descriptors the anchor keeps, so they outlive every supervisor: a second service of the same name is refused by
the kernel, and a client that connects while nobody answers is served late, not turned away.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import socket
import time
from typing import TYPE_CHECKING

from supervisor import kernel, place
from supervisor.control import ControlServer
from supervisor.peer import Access

if TYPE_CHECKING:
    from supervisor.ledger import Ledger
    from supervisor.log import Log
    from supervisor.resume import Takeover
    from supervisor.service import Service
    from supervisor.spec import Config

BACKLOG = 1024
DYING_WITHIN = 3.0  # seconds the remains of a service whose anchor was killed may take to go


class NameTaken(Exception):
    """A service of this name runs already."""


class Entrance:
    """Made by every supervisor, from what the anchor kept or anew."""

    def __init__(self, ledger: Ledger, takeover: Takeover, config: Config) -> None:
        self._ledger = ledger
        self._server: ControlServer | None = None
        self.path = place.socket_path(config.name)
        kept = takeover.take("entrance")
        if (
            kept is not None and kept[1]
        ):  # the anchor may have had no room for them: then they are gone with who had them
            lock, listener = kept[1]
            self._lock = lock
            self._listener = socket.socket(fileno=listener)
            self.path = kept[0]["path"]
        else:
            self.folder = place.prepare()
            self._lock = self._take_lock(config.name)
            self._listener = self._listen(config)
            self.keep()
        self.folder = os.path.dirname(self.path)

    def keep(self) -> None:
        """Have lock and listener kept at the anchor."""
        self._ledger.put("entrance", {"path": self.path}, [os.dup(self._lock), os.dup(self._listener.fileno())])

    def _take_lock(self, name: str) -> int:
        path = os.path.join(self.folder, f"{name}.lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + DYING_WITHIN
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = os.pread(fd, 64, 0).decode("ascii", "replace").split()
                # The lock is held by whoever is left of a service; without its anchor that is not for long.
                if is_alive(owner) or time.monotonic() > deadline:
                    os.close(fd)
                    whose = f" (anchor {owner[0]})" if owner else ""
                    raise NameTaken(f"a service called {name!r} runs already{whose}; its lock is {path}") from None
                time.sleep(0.02)
        anchor = kernel.stat(os.getppid())
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getppid()} {anchor.start if anchor else 0}\n".encode(), 0)
        return fd

    def _listen(self, config: Config) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # we hold the lock: whoever made it is gone
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        before = os.umask(0o177)
        try:
            listener.bind(self.path)
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        self._admit_group(config)
        return listener

    def _admit_group(self, config: Config) -> None:
        """Mode 0600, or 0660 and the group's; the peer's credentials are checked besides."""
        gid = gid_of(config)
        os.chmod(self.path, 0o600 if gid is None else 0o660)
        if gid is not None:
            os.chown(self.path, -1, gid)
            os.chmod(self.folder, 0o711)  # noqa: S103 - the group must reach the socket, and sees no more

    def open(self, service: Service, log: Log) -> None:
        """Answer clients from now on."""
        self._server = ControlServer(
            self._listener,
            service,
            access=access(service.config),
            denied=lambda facts: log.announce("control.denied", **facts),
        )
        self._server.start()
        service.adopt_access = self._adopt

    def _adopt(self, config: Config) -> None:
        assert self._server is not None
        self._server.access = access(config)
        self._admit_group(config)

    async def close(self) -> None:
        """Answer what was asked, and nobody new."""
        if self._server is not None:
            await self._server.close()

    def remove(self) -> None:
        """The service is over: its socket and the folder of its notify sockets go with it."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        notify_folder = self.path.removesuffix(place.SUFFIX) + ".notify"
        with contextlib.suppress(OSError):
            for entry in os.listdir(notify_folder):
                os.unlink(os.path.join(notify_folder, entry))
            os.rmdir(notify_folder)


def access(config: Config) -> Access:
    """Who may do what."""
    return Access(owner=os.geteuid(), group=gid_of(config), group_may=config.control.group_may)


def gid_of(config: Config) -> int | None:
    """The control group's number; None if there is none, or nobody knows it (then nobody is let in by it)."""
    try:
        return grp.getgrnam(config.control.group).gr_gid if config.control.group else None
    except KeyError:
        return None


def is_alive(owner: list[str]) -> bool:
    """Whether the anchor a lock file names still runs."""
    if len(owner) != 2 or not (owner[0].isdigit() and owner[1].isdigit()):
        return False
    now = kernel.stat(int(owner[0]))
    return now is not None and now.start == int(owner[1]) and now.state not in "ZX"
