"""Hundreds of workers: how long until all are ready, what one weighs, what watching over them costs.

Ready is the last worker's own word for it, on the bell; a function of ninelives rings after its first beat. CPU and memory
are those of every process that is no worker; of ninelives, templates apart: they are the memory the workers share.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from bench import processes
from bench.figures import Effort, place, supervising
from bench.peers import Peer, Program
from bench.rows import Row
from bench.service import WORKLOAD, Service, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.bell import Bell

NUMPY = '[templates.science]\npreload = ["numpy"]\n'
SCIENCE = '[templates.science]\npreload = ["numpy", "functions"]\n'  # and the workers' own module
WITHIN = 180.0  # seconds until all are ready
SETTLED = 3.0  # seconds after that, before CPU is measured
WEIGHED = 50  # workers whose memory is read
PLAIN = os.path.join(WORKLOAD, "plain.py")


def start(effort: Effort) -> Iterator[Row]:
    """500 preloaded workers, which beat once a second; their weight, and that of such as import their own module."""
    with place() as (folder, bell), running(folder, functions(bell, 500, NUMPY)) as service:
        pids = _all_ready(bell, 500, service.began, [])
        time.sleep(SETTLED)
        yield Row("worker-pss-import", "ninelives", _weights(pids), note=_templates(service))
    took: list[float] = []
    for _ in range(effort.starts):
        with place() as (folder, bell), running(folder, functions(bell, 500, SCIENCE)) as service:
            pids = _all_ready(bell, 500, service.began, took)
            if len(took) == effort.starts:
                time.sleep(SETTLED)
                yield Row("worker-pss", "ninelives", _weights(pids), note=_templates(service))
    yield Row("start-500", "ninelives", took)


def start_many(effort: Effort) -> Iterator[Row]:
    """2,000 of them."""
    took: list[float] = []
    for _ in range(effort.starts):
        with place() as (folder, bell), running(folder, functions(bell, 2000, SCIENCE)) as service:
            _all_ready(bell, 2000, service.began, took)
    yield Row("start-2000", "ninelives", took)


def cpu(effort: Effort) -> Iterator[Row]:
    """What 500 workers cost, beating and not."""
    for key, every in (("cpu-1", 1.0), ("cpu-10", 0.1), ("cpu-idle", None)):
        with place() as (folder, bell), running(folder, functions(bell, 500, SCIENCE, every)) as service:
            _all_ready(bell, 500, service.began, [])
            yield _spent(key, "ninelives", effort, service.parts)


def programs(effort: Effort) -> Iterator[Row]:
    """500 plain programs under everybody: until ready, their weight, the supervisor's CPU."""
    with place() as (folder, bell):
        config = f"[workers.w]\ncommand = {[sys.executable, PLAIN, bell.path, 'w']}\nreplicas = 500\n"
        with running(folder, config) as service:
            took: list[float] = []
            pids = _all_ready(bell, 500, service.began, took)
            yield Row("start-500-program", "ninelives", took)
            yield Row("program-pss", "ninelives", _weights(pids))
    for peer in effort.peers:
        yield from _peer_with_500(peer, effort)


def functions(bell: Bell, count: int, templates: str = "", every: float | None = 1.0) -> str:
    """The config of so many functions that beat `every` so many seconds, or never."""
    beats = f"every = {every}" if every else "beats = false"
    template = 'template = "science"\n' if templates else ""
    within = "beat_within = '5s'\n" if every else ""
    worker = f"[workers.w]\ntarget = \"functions:main\"\nargs = {{ bell = '{bell.path}', {beats} }}\n"
    return f"{templates}{worker}replicas = {count}\n{template}{within}ready_within = '60s'\n"


def _all_ready(bell: Bell, count: int, began: float, took: list[float]) -> list[int]:
    rings = bell.wait_all(count, WITHIN)
    took.append(rings[-1].at - began)
    return [ring.pid for ring in rings]


def _weights(pids: list[int]) -> list[float]:
    step = max(1, len(pids) // WEIGHED)
    return [weight for pid in pids[::step] if (weight := processes.memory(pid).get("Pss")) is not None]


def _templates(service: Service) -> str:
    """What the templates weigh beside it."""
    found = {name: processes.memory(pid) for name, pid in service.templates().items()}
    return ", ".join(
        f"{name}: PSS {of.get('Pss', 0):.1f} MiB, RSS {of.get('Rss', 0):.1f}" for name, of in found.items()
    )


def _spent(key: str, who: str, effort: Effort, parts: Callable[[], dict[str, int]]) -> Row:
    """Percent of one core in each window; where it went is the note."""
    time.sleep(SETTLED)
    pids = parts()
    before = {name: processes.cpu_s([pid]) for name, pid in pids.items()}
    values = []
    began = time.monotonic()
    for _ in range(effort.windows):
        start_s, at = processes.cpu_s(pids.values()), time.monotonic()
        time.sleep(effort.window_s)
        values.append(100 * (processes.cpu_s(pids.values()) - start_s) / (time.monotonic() - at))
    lasted = time.monotonic() - began
    shares = {name: 100 * (processes.cpu_s([pid]) - before[name]) / lasted for name, pid in pids.items()}
    return Row(key, who, values, note=", ".join(f"{name} {share:.2f} %" for name, share in shares.items()))


def _peer_with_500(peer: Peer, effort: Effort) -> Iterator[Row]:
    with place() as (folder, bell):
        program = Program("w", [sys.executable, PLAIN, bell.path, "w"], copies=500)
        began = time.monotonic()
        with supervising(peer, folder, [program]):
            took: list[float] = []
            pids = _all_ready(bell, 500, began, took)
            yield Row("start-500-program", peer.name, took)
            yield Row("program-pss", peer.name, _weights(pids))
            yield _total(_spent("cpu-idle", peer.name, effort, lambda: _numbered(pids)))


def _numbered(workers: Iterable[int]) -> dict[str, int]:
    return {f"{name} {pid}": pid for pid, name in processes.own(workers).items()}


def _total(row: Row) -> Row:
    """The share of each of 500 runsv is nobody's concern."""
    row.note = f"{row.note.count(',') + 1} processes"
    return row
