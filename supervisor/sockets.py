"""Unix sockets, and the descriptors that travel on them. Not by `socket`: its import takes 3 ms of every start."""

from __future__ import annotations

import struct
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CTRUNC,
    MSG_TRUNC,
    SCM_RIGHTS,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
    socketpair,
)

__all__ = ["MSG_CTRUNC", "MSG_TRUNC", "of", "pair", "receive_fds", "send_fds", "socket"]

_INT = struct.calcsize("i")


def of(fd: int) -> socket:
    """The socket behind a descriptor, which is its own from now on. Raises OSError."""
    return socket(fileno=fd)


def pair() -> tuple[socket, socket]:
    """Two ends of a stream, closed by exec. Raises OSError."""
    return socketpair(AF_UNIX, SOCK_STREAM, 0)


def send_fds(sock: socket, data: bytes | memoryview, fds: list[int]) -> int:
    """How many bytes of the data were taken, and the descriptors with the first of them. Raises OSError."""
    return sock.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])


def receive_fds(sock: socket, size: int, most: int) -> tuple[bytes, list[int], int]:
    """Data, descriptors, and flags: MSG_CTRUNC among them where more came than `most`, or than we may have. Raises OSError."""
    data, beside, flags, _ = sock.recvmsg(size, CMSG_SPACE(most * _INT))
    fds: list[int] = []
    for level, kind, content in beside:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            fds.extend(struct.unpack_from(f"{len(content) // _INT}i", content))
    return data, fds, flags
