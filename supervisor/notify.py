"""sd_notify, both ways: what workers tell us, and the words for what we tell systemd.

No event loop, no policy: sockets are made here and datagrams become facts here; the rest is decided above.
Whatever a worker sends, nothing here raises and nothing it sends is kept open. The protocol is systemd's
sd_notify(3), covered by its promise of stability, which is why it is written out here.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NamedTuple

LARGEST = 4096  # bytes of a datagram that are looked at; systemd's own limit
LONGEST_STATUS = 256  # characters of a status that are kept
LONGEST_PATH = 107  # bytes of a socket's path: sockaddr_un has 108, the last is a NUL

SCRUB = frozenset(  # words, not a list: it is read and compared with the manual page
    """
    NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC LISTEN_PID LISTEN_PIDFDID LISTEN_FDS LISTEN_FDNAMES FDSTORE
    JOURNAL_STREAM LOG_NAMESPACE INVOCATION_ID
    SYSTEMD_EXEC_PID SYSTEMD_ACTIVATION_UNIT SYSTEMD_ACTIVATION_SCOPE
    MAINPID MAINPIDFDID MANAGERPID MANAGERPIDFDID PIDFILE REMOTE_ADDR REMOTE_PORT
    CREDENTIALS_DIRECTORY ENCRYPTED_CREDENTIALS_DIRECTORY RUNTIME_DIRECTORY STATE_DIRECTORY CACHE_DIRECTORY
    LOGS_DIRECTORY CONFIGURATION_DIRECTORY MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE
    SERVICE_RESULT EXIT_CODE EXIT_STATUS MONITOR_SERVICE_RESULT MONITOR_EXIT_CODE MONITOR_EXIT_STATUS
    MONITOR_INVOCATION_ID MONITOR_UNIT TRIGGER_UNIT TRIGGER_PATH TRIGGER_TIMER_REALTIME_USEC
    TRIGGER_TIMER_MONOTONIC_USEC
    """.split()  # noqa: SIM905 - forty quoted names would hide the one that is missing
)
"""What systemd tells *our* main process and no worker may take for its own (systemd.exec(5))."""


class Notification(NamedTuple):
    """One datagram. `watchdog` is a beat; `hung` is a worker that says so of itself (WATCHDOG=trigger)."""

    ready: bool = False
    reloading: bool = False
    stopping: bool = False
    watchdog: bool = False
    hung: bool = False
    status: str | None = None
    extend_s: float | None = None  # seconds from now for which the running timeout is to be lengthened


def bind(path: str, uid: int | None = None) -> socket.socket:
    """A private, non-blocking datagram socket for one worker that runs as `uid` (None: as we do).

    The folder is made when missing, a socket left there by an earlier life is replaced. Raises OSError.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError(f"{path}: the path of a socket has at most {LONGEST_PATH} bytes")
    _make_folder(os.path.dirname(path))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.bind(path)
        # Sending needs write permission on the file, so its owner is all the authentication there has to be.
        os.chmod(path, 0o600)
        if uid is not None and uid != os.geteuid():
            os.chown(path, uid, -1)
    except OSError:
        sock.close()
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    return sock


def receive(sock: socket.socket, *, at_most: int = 64) -> list[Notification]:
    """Everything waiting, oldest first; `at_most` so that a flooding worker cannot hold the caller."""
    found: list[Notification] = []
    while len(found) < at_most:
        try:
            # Plain recv, not recvmsg: descriptors nobody asks for are closed by the kernel and never become
            # ours, which is also just what answers BARRIER=1.
            datagram = sock.recv(LARGEST + 1)
        except InterruptedError:
            continue
        except OSError:  # nothing waiting, or closed meanwhile
            break
        found.append(parse(datagram))
    return found


def parse(datagram: bytes) -> Notification:
    """The facts in a datagram; unknown keys, garbage and datagrams over 4,096 bytes say nothing.

    MAINPID is ignored on purpose: which process is the worker is not for the worker to say.
    """
    if len(datagram) > LARGEST:
        return Notification()
    said: dict[str, str] = {}
    for line in datagram.decode("utf-8", "replace").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            said[key] = value
    return Notification(
        ready=said.get("READY") == "1",
        reloading=said.get("RELOADING") == "1",
        stopping=said.get("STOPPING") == "1",
        watchdog=said.get("WATCHDOG") == "1",
        hung=said.get("WATCHDOG") == "trigger",
        status=_printable(said["STATUS"]) if "STATUS" in said else None,
        extend_s=_seconds(said.get("EXTEND_TIMEOUT_USEC", "")),
    )


def ready(text: str) -> str:
    """We are up (or a reload is done), and `text` is the state in a sentence."""
    return f"READY=1\n{status(text)}"


def status(text: str) -> str:
    """The sentence `systemctl status` shows."""
    return f"STATUS={' '.join(text.split())}"  # a newline would start the next key


def stopping(text: str) -> str:
    """We are on the way out; systemd 259 and newer do not let anyone take that back."""
    return f"STOPPING=1\n{status(text)}"


def reloading(monotonic_usec: int) -> str:
    """A reload began at this CLOCK_MONOTONIC stamp (systemd 253 and newer wait for it); `ready` ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}"


def extend(seconds: float) -> str:
    """Do not give up on starting or stopping for so many seconds from now."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def watchdog() -> str:
    """The whole chain made progress."""
    return "WATCHDOG=1"


def _make_folder(folder: str) -> None:
    """0711: a worker of another user may walk through to its own socket, and list nobody's."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    os.chmod(folder, 0o711)  # noqa: S103 - on purpose; and the umask has had its say in mkdir


def _printable(text: str) -> str:
    """It ends up on people's terminals: no escape sequences, no length that hides the rest."""
    return "".join(char if char.isprintable() else "?" for char in text[:LONGEST_STATUS])


def _seconds(microseconds: str) -> float | None:
    """20 digits hold every 64-bit number; more is nonsense that would not fit a float's arithmetic either."""
    if microseconds.isascii() and microseconds.isdigit() and len(microseconds) <= 20:
        return int(microseconds) / 1e6
    return None
