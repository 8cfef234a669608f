"""What we ask of Linux beyond the standard library: prctl, brands, /proc, pidfds.

Standard library only and no state: the anchor, the template and the pump import it as well as the supervisor.
The brand is explained in docs/architecture.md: a soft RLIMIT_RTTIME that names the instance and the spawn, inherited
through fork, exec, setsid and a cleared environment.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno

from workers.hints import NamedTuple

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
RLIMIT_RTTIME = 15  # the resource module does not name it
STACK_SIGNAL = signal.SIGRTMIN + 9  # asks a Python worker for the stacks of all its threads

_BRANDED = 1 << 61


# What ctypes is made of, and not ctypes itself: its import takes 1.5 ms of every start.
class _Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Long(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Int


# Looked up here, not where it is used: that makes an object, in a child out of forty pages.
_libc = dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type]  # None: the program itself
_prctl = _Function(dlsym(_libc, "prctl"))
_prctl.argtypes = (_Int, *[_Long] * 4)
_tee = _Function(dlsym(_libc, "tee"))
_tee.restype = _Long
_tee.argtypes = (_Int, _Int, _Long, _Int)


class Stat(NamedTuple):
    """What /proc/PID/stat says of a process; start in clock ticks since boot, rss in bytes, cpu in seconds."""

    pid: int
    command: str
    state: str
    parent: int
    session: int
    start: int
    cpu_s: float
    rss_bytes: int


_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def prctl(option: int, argument: int) -> None:
    """Ask the kernel to set an attribute of this process; raises OSError."""
    if _prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(get_errno(), f"prctl({option}, {argument})")


def become_subreaper() -> None:
    """Orphans among our descendants become our children, not init's."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> bool:
    """Be killed when `parent` dies; False if it is not (any more) our parent."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The signal is sent on the parent's death, not on arming: a parent that died just before is seen only here.
    return os.getppid() == parent


def name_process(name: str) -> None:
    """What `ps -o comm` and `top` show (15 bytes)."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)  # prctl through ctypes touches 40 more pages in a child
    try:
        os.write(fd, name.encode()[:15])
    finally:
        os.close(fd)


def brand(nonce: int, number: int) -> int:
    """The brand of spawn `number` (32 bits) of the instance `nonce` (24 bits)."""
    return _BRANDED | (nonce & 0xFFFFFF) << 32 | (number & 0xFFFFFFFF)


def set_brand(value: int) -> None:
    """Brand this process and all it will ever start."""
    hard = resource.getrlimit(RLIMIT_RTTIME)[1]
    resource.setrlimit(RLIMIT_RTTIME, (value, hard))


def read_brand(pid: int) -> int | None:
    """The brand of a process, None if it has none or is gone."""
    try:
        soft = resource.prlimit(pid, RLIMIT_RTTIME)[0]
    except PermissionError:  # another user's process: the limits file is readable by all
        soft = _brand_in_limits(pid)
    except OSError:
        return None
    return soft if soft > 0 and soft & _BRANDED else None


def _brand_in_limits(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            for line in file:
                if line.startswith(b"Max realtime timeout"):
                    soft = line.split()[3]
                    return int(soft) if soft.isdigit() else -1
    except OSError:
        pass
    return -1


def stat(pid: int) -> Stat | None:
    """/proc/PID/stat, None if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The command may contain anything, spaces and brackets too; the last bracket ends it.
    open_, close = text.index(b"("), text.rindex(b")")
    rest = text[close + 2 :].split()
    return Stat(
        pid=pid,
        command=text[open_ + 1 : close].decode("utf-8", "replace"),
        state=rest[0].decode(),
        parent=int(rest[1]),
        session=int(rest[3]),
        start=int(rest[19]),
        cpu_s=(int(rest[11]) + int(rest[12])) / _TICK,
        rss_bytes=int(rest[21]) * _PAGE,
    )


def cpu_spans_s(pid: int) -> tuple[float, float] | None:
    """Seconds the main thread of a process has run, and has waited in a queue of a CPU before it ran; None if unknown."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            ran, waited, _ = file.read().split()
            return int(ran) / 1e9, int(waited) / 1e9
    except (OSError, ValueError):
        return None


def own_start() -> int:
    """Our own start time in ticks since boot, and nothing else: see `stat`."""
    return _start_in("/proc/self/stat")


def start_of(pid: int) -> int | None:
    """The start time of a process (a zombie has one still), None if it is gone; a third of the time `stat` takes."""
    try:
        return _start_in(f"/proc/{pid}/stat")
    except OSError:
        return None


def _start_in(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, 1024)
    finally:
        os.close(fd)
    return int(text[text.rindex(b")") + 2 :].split(None, 20)[19])


def run_delay_s(pid: int) -> float | None:
    """Seconds the main thread of a process has waited for a CPU it wanted, ever; None where the kernel does not say."""
    spans = cpu_spans_s(pid)
    return None if spans is None else spans[1]


def tee(source: int, target: int, size: int) -> int:
    """Copy what waits in one pipe to another without taking it: the bytes copied, 0 at the end. Raises OSError."""
    copied: int = _tee(source, target, size, 2)  # SPLICE_F_NONBLOCK
    if copied < 0:
        raise OSError(get_errno(), "tee")
    return copied


def children_of_one_thread(pid: int) -> list[int]:
    """The children of a process that is known to have one thread only; empty if it is gone."""
    try:
        fd = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    text = b""
    try:
        while more := os.read(fd, 1 << 16):  # however much is asked for, a page at most is given
            text += more
    except OSError:
        return []
    finally:
        os.close(fd)
    return [int(child) for child in text.split()]


def children(pid: int) -> list[int]:
    """The children of all threads of a process; empty if it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(int(child) for child in file.read().split())
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, parents before children."""
    found = children(pid)
    for child in found:  # grows while we walk it
        found.extend(children(child))
    return found


def open_pidfd(pid: int, start: int) -> int | None:
    """A pidfd of the process that is (pid, start); None if that one is gone, whoever has its number now."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    now = stat(pid)
    if now is None or now.start != start:
        os.close(fd)
        return None
    return fd


def send_signal(pidfd: int, number: int) -> bool:
    """pidfd_send_signal; False if the process is gone."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def kill_branded(nonce: int, *, spare: frozenset[int] = frozenset()) -> int:
    """SIGKILL every process on the machine that carries the nonce; how many were found alive."""
    found = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or (pid := int(entry)) in spare:
            continue
        value = read_brand(pid)
        if value is None or value >> 32 & 0xFFFFFF != nonce or value >> 61 != 1:
            continue
        now = stat(pid)
        pidfd = open_pidfd(pid, now.start) if now is not None and now.state not in "ZX" else None
        if now is None or pidfd is None:
            continue
        # Between the look and the pidfd another process could have taken the number: look again.
        if read_brand(pid) == value:
            found += send_signal(pidfd, signal.SIGKILL)
            if now.state == "D":  # in a frozen cgroup of version 1 it would not even die
                from supervisor import freezer  # noqa: PLC0415 - hardly ever

                freezer.release(pid)
        os.close(pidfd)
    return found


def kill_with_descendants(pids: list[int]) -> None:
    """SIGKILL these processes, and all below them; for who has the right to, and is their parent or nobody is."""
    below = [each for pid in pids for each in descendants(pid)]
    alive = [now for pid in (*pids, *below) if (now := stat(pid)) is not None and now.state not in "ZX"]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none forks while we go through them
        for each in alive:
            pidfd = open_pidfd(each.pid, each.start)
            if pidfd is not None:
                with contextlib.suppress(PermissionError):
                    send_signal(pidfd, number)
                os.close(pidfd)


def last_rites(nonce: int, *, seconds: float = 2.0) -> None:
    """The anchor is dead: leave nothing of its instance alive but ourselves, who leave next."""
    deadline = time.monotonic() + seconds
    while kill_branded(nonce, spare=frozenset({os.getpid()})) and time.monotonic() < deadline:
        time.sleep(0.01)
