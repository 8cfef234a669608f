"""Where a service's socket lies: the one rule, for the daemon that makes it and the client that looks for it.

Standard library only, so that the client starts quickly. A folder in /tmp is believed only if it belongs to
us and nobody else may write to it: anybody could have made one of that name first.
"""

from __future__ import annotations

import os
import stat

SUFFIX = ".sock"
SYSTEM_FOLDER = "/run/ninelives"


class PlaceError(Exception):
    """The folder for the sockets cannot be used; the sentence says why."""


def folder() -> str:
    """Return the folder in which this user's services put their sockets; it may not exist yet.

    The first of $RUNTIME_DIRECTORY (systemd's, for this very service), $XDG_RUNTIME_DIR/ninelives,
    /run/ninelives for root, /tmp/ninelives-UID.
    """
    if own := os.environ.get("RUNTIME_DIRECTORY"):
        return own.split(":", maxsplit=1)[0]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(runtime, "ninelives")
    return SYSTEM_FOLDER if os.geteuid() == 0 else _shared_folder()


def socket_path(name: str) -> str:
    """Return where the service called `name` listens; PlaceError if no socket can have that name."""
    if not name or "/" in name or name.startswith(".") or "\0" in name:
        raise PlaceError(f"{name!r} cannot be the name of a service: no '/', no leading '.', not empty")
    path = os.path.join(folder(), name + SUFFIX)
    if len(os.fsencode(path)) > 107:
        raise PlaceError(f"{path}: longer than the 107 bytes Linux allows for the path of a socket")
    return path


def prepare() -> str:
    """Make the folder (0700) if it is missing, and return it; PlaceError if it is not ours to trust."""
    path = folder()
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise PlaceError(f"{path}: {error.strerror}") from error
    if why := distrust(path):
        raise PlaceError(why)
    return path


def distrust(path: str) -> str | None:
    """Say why the folder must not be used; None if it is ours (or root's) and others cannot write to it."""
    try:
        seen = os.lstat(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISDIR(seen.st_mode):
        return f"{path}: not a folder"
    trusted = {SYSTEM_FOLDER, os.environ.get("RUNTIME_DIRECTORY")}  # only root can have made these
    if seen.st_uid not in {os.geteuid(), 0} and path not in trusted:
        return f"{path}: belongs to uid {seen.st_uid}, not to us"
    if seen.st_mode & stat.S_IWOTH:
        return f"{path}: everybody may write to it (mode {stat.S_IMODE(seen.st_mode):04o})"
    return None


def services() -> dict[str, str]:
    """Find the sockets our client could mean: name -> path, nearest folder first. None need answer."""
    found: dict[str, str] = {}
    for path in _folders():
        if distrust(path):
            continue
        for entry in sorted(os.listdir(path) if os.access(path, os.R_OK | os.X_OK) else ()):
            whole = os.path.join(path, entry)
            if entry.endswith(SUFFIX) and _is_socket(whole):
                found.setdefault(entry.removesuffix(SUFFIX), whole)
    return found


def _folders() -> list[str]:
    # A service may have been started with another environment than the client's: by systemd, through sudo,
    # over ssh.
    users = f"/run/user/{os.geteuid()}/ninelives"
    return list(dict.fromkeys([folder(), users, SYSTEM_FOLDER, _shared_folder()]))


def _shared_folder() -> str:
    return f"/tmp/ninelives-{os.geteuid()}"  # noqa: S108 - trusted only after `distrust` has looked at it


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
