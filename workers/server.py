"""A TCP echo server on loopback: ready when it listens, a beat every round, graceful when stopped.

SO_REUSEPORT lets replicas share the port, and a successor listen before its predecessor is gone.
"""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def main(heart: Heart, *, port: int = 0, host: str = "127.0.0.1") -> None:
    """Echo what comes; port 0 takes a free one. Clients being served at a stop get what they sent."""
    with selectors.DefaultSelector() as selector, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(128)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        print(f"listening on {host}:{listener.getsockname()[1]}")
        heart.ready(f"port {listener.getsockname()[1]}")
        served = 0
        while not heart.stopping:
            for key, _ in selector.select(timeout=0.1):
                if key.fileobj is listener:
                    client, _ = listener.accept()
                    client.settimeout(1.0)
                    selector.register(client, selectors.EVENT_READ)
                    continue
                served += _echo(selector, key.fileobj)
            heart.beat(progress=served)
        for key in list(selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket) and key.fileobj is not listener:
                key.fileobj.close()


def _echo(selector: selectors.BaseSelector, client: object) -> int:
    assert isinstance(client, socket.socket)
    try:
        data = client.recv(65536)
        client.sendall(data)
    except OSError:
        data = b""
    if not data:
        selector.unregister(client)
        client.close()
    return len(data)
