"""Who is at the other end of a Unix socket, and what it may ask for.

The kernel noted the peer's credentials when it connected: nothing here looks a pid up, which could by now be
somebody else's. Nothing here writes or waits either.
"""

from __future__ import annotations

import array
import errno
import socket
import struct
from typing import NamedTuple

_SO_PEERGROUPS = 59  # Linux 4.13; the socket module does not name it
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Peer(NamedTuple):
    """The process that connected; groups includes its primary one."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]


class Access(NamedTuple):
    """Who may do what: root and `owner` everything; members of `group` (a gid) may "read" or do "all"."""

    owner: int
    group: int | None = None
    group_may: str = "read"


def peer_of(sock: socket.socket) -> Peer:
    """Ask the kernel who connected; OSError if the socket is not a connected Unix one."""
    pid, uid, gid = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return Peer(pid, uid, gid, frozenset({gid, *_supplementary(sock)}))


def refusal(access: Access, peer: Peer, *, reading: bool) -> str | None:
    """Say why the peer may not (a sentence for both sides), or None if it may."""
    if peer.uid in {0, access.owner}:
        return None
    if access.group is None or access.group not in peer.groups:
        return f"uid {peer.uid} is neither the owner (uid {access.owner}) nor a member of the control group"
    if reading or access.group_may == "all":
        return None
    return f"members of the control group may only read (control.group_may = {access.group_may!r})"


def _supplementary(sock: socket.socket) -> array.array[int]:
    groups = array.array("I")
    try:
        groups.frombytes(sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024))
    except OSError as error:
        # ERANGE: more than 256 groups, which Python's getsockopt cannot fetch. Looking them up by name could
        # block on a network, so such a peer is judged by its primary group alone.
        if error.errno not in {errno.ERANGE, errno.ENOPROTOOPT}:
            raise
    return groups
