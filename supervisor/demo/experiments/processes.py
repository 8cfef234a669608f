"""The notes' third program: four processes, each of which prints a number.

They start four and join them in a loop. Here four workers are named in a config and started at once; the numbers come in
any order, because nobody waits for anybody (`needs` in the config would make them wait).
"""

from __future__ import annotations

from typing import NamedTuple

from supervisor.demo.frame import Claim, Figure, Outcome, Output, Table, answer
from supervisor.demo.service import Service

NUMBERS = (1, 2, 3, 4)
CLAIM = Claim(
    title="Several processes",
    sentence="create and manage multiple processes to execute tasks concurrently",
    done="`ninelives run` starts the notes' print_number four times, with 1, 2, 3 and 4.",
    copy="config/demo-processes.toml",
)


class Life(NamedTuple):
    """What one of them printed, as whom, and how it ended."""

    line: str
    pid: int
    result: str


class Seen(NamedTuple):
    """The four, in the order in which their lines came."""

    lives: tuple[Life, ...]


def measure(_pace: object) -> Seen:
    """Start the service, and read its events until all four have ended."""
    lines: dict[int, str] = {}
    results: dict[int, str] = {}
    with Service("demo-processes.toml") as service:
        for event in service.events(within=15):
            if event["event"] == "worker.output":
                lines[event["pid"]] = event["msg"]
            if event["event"] == "worker.ended":
                results[event["pid"]] = event["result"]
                if len(results) == len(NUMBERS):
                    break
    return Seen(tuple(Life(line, pid, results.get(pid, "unknown")) for pid, line in lines.items()))


def judge(seen: Seen) -> Outcome:
    """Every number once, every one from a process of its own."""
    printed = sorted(life.line for life in seen.lives)
    wanted = [f"Number: {number}" for number in NUMBERS]
    pids = {life.pid for life in seen.lives}
    well = all(life.result == "success" for life in seen.lives)
    return answer(
        printed == wanted and len(pids) == len(NUMBERS) and well,
        f"{len(seen.lives)} numbers from {len(pids)} processes" + ("" if well else ", not all of which ended well"),
    )


def show(seen: Seen) -> tuple[Figure, ...]:
    """What they printed, and who did."""
    rows = tuple((life.line, str(life.pid), life.result) for life in seen.lives)
    return (
        Output(title="printed", lines=tuple(life.line for life in seen.lives)),
        Table(title="processes", columns=("line", "pid", "ended with"), rows=rows),
    )
