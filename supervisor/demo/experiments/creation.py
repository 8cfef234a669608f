"""Row 4 of the comparison: creating a process takes time, creating a thread is cheap.

From the wish to the first instruction of the new one: a thread, a fork, a new interpreter (what `spawn` does), and ours: a
worker forked from its template and one taken over by its standby, each from the kill of the last one to the next one ready.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Pace, answer
from supervisor.demo.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

STABLE = 0.05  # seconds: longer than `stable_after` in the config, so that every death is a first one
CLAIM = Claim(
    title="Row 4: the cost of creation",
    sentence="Process creation is a time-consuming process. While in Multithreading, process creation is according to "
    "economical",
    done="Each is created a number of times, from the wish to its first instruction; the medians are compared.",
    copy="config/demo-creation.toml",
)


class Seen(NamedTuple):
    """Median seconds."""

    thread_s: float
    fork_s: float
    spawn_s: float
    template_s: float
    standby_s: float


def measure(pace: Pace) -> Seen:
    """Five ways, from the cheapest on."""
    thread = _median(thread_created, pace.times(200))
    fork = _median(process_forked, pace.times(100))
    spawn = _median(interpreter_started, pace.times(15))
    with Service("demo-creation.toml") as service:
        recoveries = _recoveries(service, pace.times(15))
    return Seen(thread, fork, spawn, recoveries["forked"], recoveries["replaced"])


def thread_created() -> float:
    """Seconds until a new thread runs."""
    ran: list[float] = []
    began = time.perf_counter()
    thread = threading.Thread(target=lambda: ran.append(time.perf_counter()))
    thread.start()
    thread.join()
    return ran[0] - began


def process_forked() -> float:
    """Seconds until a copy of this process runs."""
    read, write = os.pipe()
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(time.perf_counter()).encode())  # one clock for all processes
        os._exit(0)
    os.waitpid(pid, 0)
    ran = float(os.read(read, 100))
    os.close(read)
    os.close(write)
    return ran - began


def interpreter_started() -> float:
    """Seconds until a new interpreter runs its program."""
    program = [sys.executable, "-c", "import time; print(time.perf_counter())"]
    began = time.perf_counter()
    return float(subprocess.run(program, capture_output=True, check=True, timeout=20).stdout) - began


def _median(create: Callable[[], float], times: int) -> float:
    return statistics.median(create() for _ in range(times))


def _recoveries(service: Service, times: int) -> dict[str, float]:
    """Kill one worker again and again, then the other; the service says how long each was away."""
    took: dict[str, list[float]] = {"forked": [], "replaced": []}
    pids, standbys = dict.fromkeys(took, 0), {"forked": True, "replaced": False}
    for event in service.events(within=25):
        name = event.get("worker", "")
        match event["event"]:
            case "worker.ready":
                pids[name] = event["pid"]
            case "standby.ready":
                standbys[name] = True
            case "worker.recovered":
                took[name].append(event["recovery_s"])
        next_one = next((each for each in took if len(took[each]) < times), None)
        if next_one is None:
            break
        if all(pids.values()) and all(standbys.values()):  # nothing else is being started
            time.sleep(STABLE)
            os.kill(pids[next_one], signal.SIGKILL)
            pids[next_one], standbys[next_one] = 0, next_one == "forked"
    return {name: statistics.median(each) for name, each in took.items()}


def judge(seen: Seen) -> Outcome:
    """A process costs more than a thread, however it is made."""
    processes = (seen.fork_s, seen.spawn_s, seen.template_s, seen.standby_s)
    return answer(
        min(processes) > seen.thread_s,
        f"a thread runs after {_ms(seen.thread_s)}, a fork after {_ms(seen.fork_s)}, a new interpreter "
        f"after {_ms(seen.spawn_s)}; a killed worker is back after {_ms(seen.template_s)}, with a standby "
        f"after {_ms(seen.standby_s)}",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"


def show(seen: Seen) -> tuple[Figure, ...]:
    """Medians on a logarithmic scale."""
    bars = (
        Bar(label="thread", value=round(seen.thread_s * 1e3, 4), side="threads"),
        Bar(label="fork", value=round(seen.fork_s * 1e3, 4)),
        Bar(label="spawn: a new interpreter", value=round(seen.spawn_s * 1e3, 4)),
        Bar(label="kill to ready: forked from its template", value=round(seen.template_s * 1e3, 4), side="processes"),
        Bar(label="kill to ready: a standby takes over", value=round(seen.standby_s * 1e3, 4), side="processes"),
    )
    return (Bars(title="from the wish to the first instruction, median", unit="ms", bars=bars, log=True),)
