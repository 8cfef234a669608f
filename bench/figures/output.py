"""How many lines a second go from a worker's stdout to where logs end up, and whether one is lost.

ninelives makes an event of each line and writes it to a pipe with a reader; peers copy the bytes to a file, which is less
work. The clock runs from the worker's first line until the last one has come out.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from bench.figures import Effort, place, supervising
from bench.peers import Peer, Program
from bench.rows import Row
from bench.service import WORKLOAD, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bell import Bell

WITHIN = 120.0  # seconds for all lines
NO_OUTPUT = ("runit", "s6")  # they hand the pipe to a logger of your choice
FLOOD = os.path.join(WORKLOAD, "flood.py")
MARK = b'"event":"worker.output"'


def output(effort: Effort) -> Iterator[Row]:
    """Three times, each with a service of its own."""
    values: list[float] = []
    notes = []
    for _ in range(effort.starts):
        with place() as (folder, bell):
            rate, note = _ours(folder, bell, effort.lines)
        values.append(rate)
        notes.append(note)
    yield Row("output", "ninelives", values, note="; ".join(sorted(set(notes))))
    for peer in effort.peers:
        if peer.name not in NO_OUTPUT:
            yield _theirs(peer, effort.lines // 2)


class Counter(threading.Thread):
    """Reads a pipe and counts marks; `done_at` is when the last one that was wanted came."""

    def __init__(self, fd: int, wanted: int) -> None:
        super().__init__(daemon=True)
        self.fd, self.wanted = fd, wanted
        self.found, self.done_at = 0, 0.0
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        """To the end of the pipe."""
        rest = b""
        while data := os.read(self.fd, 1 << 18):
            data = rest + data
            self.found += data.count(MARK)
            rest = data[-len(MARK) + 1 :]
            if self.found >= self.wanted and not self.done.is_set():
                self.done_at = time.monotonic()
                self.done.set()
        os.close(self.fd)


def _ours(folder: str, bell: Bell, lines: int) -> tuple[float, str]:
    read, write = os.pipe()
    config = f"[workers.flood]\ncommand = {[sys.executable, FLOOD, bell.path, str(lines)]}\n"
    try:
        with running(folder, config, stdout=write):
            os.close(write)
            counter = Counter(read, lines)
            began = bell.wait(30, "flood").at
            counter.done.wait(WITHIN)
    finally:
        counter.join(10)
    ended = counter.done_at or time.monotonic()
    return counter.found / (ended - began), f"{lines - counter.found} of {lines} lost"


def _theirs(peer: Peer, lines: int) -> Row:
    with place() as (folder, bell):
        log = os.path.join(folder, "lines")
        program = Program("flood", [sys.executable, FLOOD, bell.path, str(lines)], output=log)
        with supervising(peer, folder, [program]):
            began = bell.wait(60, "flood").at
            size, seen_at = 0, began
            while size < lines * 100 and time.monotonic() - seen_at < WITHIN / 4:
                time.sleep(0.005)
                now = os.path.getsize(log) if os.path.exists(log) else 0
                if now > size:
                    size, seen_at = now, time.monotonic()
        lost = lines - _count(log)
    return Row("output", peer.name, [size / 100 / (seen_at - began)], note=f"{lost} of {lines} lost")


def _count(log: str) -> int:
    found = 0
    with open(log, "rb") as file:
        while data := file.read(1 << 20):
            found += data.count(b"\n")
    return found
