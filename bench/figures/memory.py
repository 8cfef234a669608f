"""What a service weighs with ten workers, and which of its processes the weight is in."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bench import processes
from bench.figures import Effort, place, supervising
from bench.figures.fleet import PLAIN, functions
from bench.peers import Peer, Program
from bench.rows import Row
from bench.service import running

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLED = 3.0
SHOWN = ("Pss", "Pss_Anon", "Pss_File", "Pss_Shmem")


def ten(effort: Effort) -> Iterator[Row]:
    """Ten beating functions; for peers ten plain programs."""
    with place() as (folder, bell), running(folder, functions(bell, 10)) as service:
        bell.wait_all(10, 30)
        time.sleep(SETTLED)
        found = {name: processes.memory(pid) for name, pid in {**service.parts(), **service.templates()}.items()}
        three = sum(found[name]["Pss"] for name in service.parts())
        yield Row("memory-10", "ninelives", [three], note="; ".join(_said(name, of) for name, of in found.items()))
    for peer in effort.peers:
        yield _peer(peer)


def _said(name: str, of: dict[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{key.removeprefix('Pss_')} {of[key]:.1f}" for key in SHOWN if key in of)


def _peer(peer: Peer) -> Row:
    with place() as (folder, bell):
        program = Program("w", [sys.executable, PLAIN, bell.path, "w"], copies=10)
        with supervising(peer, folder, [program]):
            pids = [ring.pid for ring in bell.wait_all(10, 60)]
            time.sleep(SETTLED)
            own = processes.own(pids)
            return Row("memory-10", peer.name, [processes.pss(own)], note=f"{len(own)} processes")
