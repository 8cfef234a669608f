"""From `kill -9` of a worker to the next one's `ready`, and to the supervisor's knowing.

The worker says on a datagram socket when it was ready, by its own clock: neither our waking up nor the supervisor's log
is in the figure. Peers get more than a second between two kills, so that none is in the second for which it holds a
restart back.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.figures import Effort, place, supervising
from bench.peers import Peer, Program
from bench.rows import Row
from bench.service import UNTIRING, WORKLOAD, Service, clock, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bell import Bell, Ring

PAUSE = 0.15  # seconds between two kills: a standby has been made again by then
PEERS_PAUSE = (1.2, 2.2)  # a pause that is always the same would meet a peer that polls at always the same moment
PLAIN, NUMPY = os.path.join(WORKLOAD, "plain.py"), os.path.join(WORKLOAD, "with_numpy.py")


def standby(effort: Effort) -> Iterator[Row]:
    """A function with a standby; and when its death was known."""
    with place() as (folder, bell), running(folder, _function(bell, "standby = 1")) as service:
        took, killed_at = _kills(bell, effort.kills, service)
        time.sleep(0.5)
        yield Row("kill-standby", "ninelives", took)
        yield Row("kill-decided", "ninelives", _decided(service, killed_at))


def preloaded(effort: Effort) -> Iterator[Row]:
    """A function forked from a template that has imported NumPy."""
    with place() as (folder, bell):
        science = '[templates.science]\npreload = ["numpy"]\n'
        with running(folder, science + _function(bell, 'template = "science"')) as service:
            took, _ = _kills(bell, effort.kills, service)
            yield Row("kill-preloaded", "ninelives", took)


def program(effort: Effort) -> Iterator[Row]:
    """Two plain programs, under everybody; between the kills, what one costs that nobody supervises."""
    for key, script in (("kill-program", PLAIN), ("kill-program-numpy", NUMPY)):
        with place() as (folder, bell):
            config = f"[workers.w]\ncommand = {[sys.executable, script, bell.path, 'w']}\n{UNTIRING}"
            alone: list[float] = []
            with running(folder, config) as service:
                took, _ = _kills(bell, effort.kills // 3, service, script=script, alone=alone)
            yield Row(key, "ninelives", took)
            yield Row(key, "started by hand", alone)
            if key == "kill-program":
                own = Row(key, "", alone).median
                yield Row("kill-program-over", "ninelives", [each - own for each in took])
    for peer in effort.peers:
        yield from _peer(peer, effort.peer_kills)


def _function(bell: Bell, more: str) -> str:
    return f"[workers.w]\ntarget = \"functions:main\"\nargs = {{ bell = '{bell.path}' }}\n{more}\n{UNTIRING}"


def _kills(
    bell: Bell, count: int, service: Service, *, script: str | None = None, alone: list[float] | None = None
) -> tuple[list[float], list[float]]:
    """Milliseconds to ready, and the wall time of each kill."""
    ring = bell.wait(20)
    service.wait_told("supervisor.ready")
    time.sleep(1.0)
    took: list[float] = []
    at: list[float] = []
    for _ in range(count):
        time.sleep(PAUSE)
        at.append(time.time())
        ring, milliseconds = _kill(bell, ring)
        took.append(milliseconds)
        if script is not None and alone is not None:
            time.sleep(PAUSE)
            alone.append(_by_hand(bell, script))
    return took, at


def _kill(bell: Bell, ring: Ring) -> tuple[Ring, float]:
    killed_at = time.monotonic()
    os.kill(ring.pid, signal.SIGKILL)
    following = bell.wait(20, ring.name)
    return following, (following.at - killed_at) * 1000


def _by_hand(bell: Bell, script: str) -> float:
    """The program's own start, from posix_spawn to ready."""
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, script, bell.path, "alone"], close_fds=False)
    ring = bell.wait(20, "alone")
    child.kill()
    child.wait()
    return (ring.at - began) * 1000


def _decided(service: Service, killed_at: list[float]) -> list[float]:
    """From each kill to the stamp of its worker.ended, in milliseconds."""
    ended = [clock(said) for said in service.told("worker.ended")]
    found = []
    for killed in killed_at:
        after = [at for at in ended if killed <= at < killed + PAUSE]
        if after:
            found.append((after[0] - killed) * 1000)
    return found


def _peer(peer: Peer, count: int) -> Iterator[Row]:
    """Both programs under one peer, killed by turns."""
    names = {"w": "kill-program", "n": "kill-program-numpy"}
    with place() as (folder, bell):
        programs = [
            Program(name, [sys.executable, script, bell.path, name]) for name, script in (("w", PLAIN), ("n", NUMPY))
        ]
        took: dict[str, list[float]] = {name: [] for name in names}
        with supervising(peer, folder, programs):
            rings = {ring.name: ring for ring in bell.wait_all(2, 30)}
            for _ in range(count):
                time.sleep(random.uniform(*PEERS_PAUSE))
                for name in names:
                    rings[name], milliseconds = _kill(bell, rings[name])
                    took[name].append(milliseconds)
        for name, key in names.items():
            yield Row(key, peer.name, took[name])
