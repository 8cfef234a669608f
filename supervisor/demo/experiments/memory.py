"""Row 5 of the comparison: every process has an address space of its own, threads share one.

A thread and a worker both write to the same global variable. Then we look at it.
"""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

from supervisor.demo.frame import Claim, Figure, Outcome, Table, answer
from supervisor.pool import Pool

UNTOUCHED = "untouched"
box = [UNTOUCHED]  # the global: at one address, in one or in several memories
CLAIM = Claim(
    title="Row 5: address space",
    sentence="every process owned a separate address space … a common address space is shared by all the threads",
    done="A worker, then a thread, writes its name into a global list; each time we look at ours.",
)


class Write(NamedTuple):
    """In which process it was written, what the writer read afterwards, and what we read."""

    pid: int
    there: str
    here: str


class Seen(NamedTuple):
    """The two writes, and our own pid."""

    pid: int
    worker: Write
    thread: Write


def write(name: str) -> tuple[int, str]:
    """Write to the global, and read it."""
    box[0] = name
    return os.getpid(), box[0]


def measure(_pace: object) -> Seen:
    """The worker first: what the thread wrote would still be there."""
    box[0] = UNTOUCHED
    with Pool(max_workers=1, preload=[__name__]) as pool:
        pid, there = pool.submit(write, "worker").result()
    worker = Write(pid, there, box[0])
    said: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: said.append(write("thread")))
    thread.start()
    thread.join()
    pid, there = said[0]
    return Seen(os.getpid(), worker, Write(pid, there, box[0]))


def judge(seen: Seen) -> Outcome:
    """The worker's write stays with it, the thread's is ours."""
    separate = seen.worker.there == "worker" and seen.worker.here == UNTOUCHED and seen.worker.pid != seen.pid
    common = seen.thread.here == "thread" and seen.thread.pid == seen.pid
    return answer(
        separate and common,
        f"what the worker wrote was {'not seen here' if separate else 'seen here'}, "
        f"what the thread wrote was {'seen' if common else 'not seen'}",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """Who read what."""
    rows = (
        ("a worker", str(seen.worker.pid), seen.worker.there, seen.worker.here),
        ("a thread", str(seen.thread.pid), seen.thread.there, seen.thread.here),
    )
    columns = ("written by", "in process", "read there", f"read in process {seen.pid}")
    return (Table(title="one global variable", columns=columns, rows=rows),)
