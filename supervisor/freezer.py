"""Cgroups to freeze processes in: made below the one they are in, thawed and removed afterwards.

In version 2 what is frozen dies of SIGKILL all the same; in version 1 (the freezer controller) only once it is thawed. So
whoever kills what a group of ours may hold has to thaw it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import NamedTuple

PREFIX = "ninelives-frozen-"  # how our groups are called, so that they are known as ours
_SWITCH = {2: ("cgroup.freeze", "1", "0"), 1: ("freezer.state", "FROZEN", "THAWED")}


class Group(NamedTuple):
    """A cgroup: the version of its hierarchy and its folder."""

    version: int
    folder: str


def group_of(pid: int | str, version: int) -> Group | None:
    """The cgroup a process is in; None where there is no such hierarchy, or it cannot be seen from here."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return None
    for _, controllers, path in lines:
        if controllers if version == 2 else "freezer" not in controllers.split(","):
            continue
        for mount in mounts:
            fstype, _, options = mount[mount.index("-") + 1 :][:3]
            is_it = fstype == "cgroup2" if version == 2 else fstype == "cgroup" and "freezer" in options.split(",")
            root = mount[3].rstrip("/")
            if is_it and (path == root or path.startswith(f"{root}/")):
                return Group(version, mount[4] + path[len(root) :].rstrip("/"))
    return None


def why_not(group: Group | None) -> str | None:
    """Why no group can be made below this one, and processes moved between the two; None if they can."""
    if group is None:
        return "there is no such hierarchy here"
    for path in (group.folder, f"{group.folder}/cgroup.procs"):
        if not os.access(path, os.W_OK):
            return f"{path} may not be written to"
    return None


def make(inside: Group, name: str) -> Group:
    """A group of ours; raises OSError."""
    made = Group(inside.version, f"{inside.folder}/{PREFIX}{name}")
    os.mkdir(made.folder)
    return made


def move(pid: int, to: Group) -> None:
    """Put a process into a group; raises OSError, ProcessLookupError if it is gone."""
    _write(f"{to.folder}/cgroup.procs", str(pid))


def freeze(group: Group) -> None:
    """Ask for it; raises OSError. It is done when `is_frozen`."""
    name, frozen, _ = _SWITCH[group.version]
    _write(f"{group.folder}/{name}", frozen)


def is_frozen(group: Group) -> bool:
    """Whether everything in it has stopped; raises OSError."""
    if group.version == 1:
        return _read(f"{group.folder}/freezer.state").strip() == "FROZEN"
    return "frozen 1" in _read(f"{group.folder}/cgroup.events").splitlines()


def thaw(group: Group) -> None:
    """Let everything in it go on; nothing if the group is gone. Raises OSError."""
    name, _, thawed = _SWITCH[group.version]
    with contextlib.suppress(FileNotFoundError):
        _write(f"{group.folder}/{name}", thawed)


def remove(group: Group) -> bool:
    """Thaw it, put what is in it where the group was made, and remove it. Raises OSError.

    False: it is still there, for a process that is just ending counts for a moment longer. Ask again.
    """
    try:
        thaw(group)
        for pid in _read(f"{group.folder}/cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                move(int(pid), Group(group.version, os.path.dirname(group.folder)))
        os.rmdir(group.folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def is_ours(group: Group) -> bool:
    """Whether it is one that `make` has made."""
    return os.path.basename(group.folder).startswith(PREFIX)


def release(pid: int) -> None:
    """If a process is in a group of ours, thaw that: it may have to die."""
    for version in _SWITCH:
        group = group_of(pid, version)
        if group is not None and is_ours(group):
            with contextlib.suppress(OSError):
                thaw(group)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
