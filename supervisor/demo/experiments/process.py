"""The notes' first program: one function, one process of its own.

They write `multiprocessing.Process(target=process_function, args=("Alice",))`, start and join. With ninelives the same
function, unchanged (`workers/hello.py`), is named in a config; whoever starts it also looks after it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from supervisor.demo.frame import Claim, Figure, Outcome, Output, Table, answer
from supervisor.demo.service import Service

CLAIM = Claim(
    title="Process",
    sentence="the ability to create and manage multiple processes",
    done="`ninelives run` starts the notes' process_function with the argument 'Alice' in a process of its own.",
    copy="config/demo-process.toml",
)


class Seen(NamedTuple):
    """Its lines, its pid beside ours and the service's, and how it ended."""

    lines: tuple[str, ...]
    pid: int
    others: tuple[int, ...]
    result: str
    alive_s: float


def measure(_pace: object) -> Seen:
    """Start the service, and read its events until Alice's function has returned."""
    lines, pid = [], 0
    with Service("demo-process.toml") as service:
        for event in service.events(within=15):
            if event["event"] == "worker.output":
                lines.append(event["msg"])
            if event["event"] == "worker.spawned":
                pid = event["pid"]
            if event["event"] == "worker.ended":
                break
        return Seen(tuple(lines), pid, (os.getpid(), service.pid), event["result"], event["uptime_s"])


def judge(seen: Seen) -> Outcome:
    """It greeted once, in a process that is nobody else's, and ended well."""
    own = seen.pid not in (0, *seen.others)
    greeted = seen.lines == ("Hello, Alice!",)
    return answer(
        own and greeted and seen.result == "success",
        f"it said {' / '.join(seen.lines) or 'nothing'}, as process {seen.pid} of its own, and ended with {seen.result}"
        if own
        else "it had no process of its own",
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """What it printed, and who is who."""
    rows = (
        ("the demo", str(seen.others[0]), ""),
        ("the service", str(seen.others[1]), ""),
        ("process_function", str(seen.pid), f"{seen.alive_s * 1e3:.0f} ms"),
    )
    return Output(title="printed", lines=seen.lines), Table(
        title="processes", columns=("who", "pid", "alive"), rows=rows
    )
