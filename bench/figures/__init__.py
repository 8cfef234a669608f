"""One figure a file; each a generator of rows. What they share: how much to measure, and which peers there are."""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from bench import processes
from bench.bell import Bell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers import Peer, Program


class Effort(NamedTuple):
    """How often, how long, against whom; `lock` is a file held locked while pools are measured, "" for none."""

    kills: int = 200
    peer_kills: int = 10
    starts: int = 3
    window_s: float = 10.0  # seconds of CPU in one sample
    windows: int = 2
    lines: int = 3_000_000
    peers: tuple[Peer, ...] = ()
    pool_rounds: int = 3
    pools: tuple[str, ...] = ()
    lock: str = ""


QUICK = Effort(kills=40, peer_kills=4, starts=1, window_s=5.0, windows=1, lines=500_000, pool_rounds=1)


@contextlib.contextmanager
def place() -> Iterator[tuple[str, Bell]]:
    """A folder of its own, with a bell in it; both gone at the end."""
    with tempfile.TemporaryDirectory(prefix="nlb-", ignore_cleanup_errors=True) as folder:
        bell = Bell(folder)
        try:
            yield folder, bell
        finally:
            bell.close()


@contextlib.contextmanager
def supervising(peer: Peer, folder: str, programs: Sequence[Program]) -> Iterator[None]:
    """A peer that runs these programs; it is gone, with all it started, when this is left."""
    service = processes.started(peer.command(folder, programs), folder=folder, env=peer.env(folder))
    try:
        yield
    finally:
        processes.ended(service)
