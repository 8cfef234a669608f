"""Runs inside boot.sh, in a unit with a limit of memory: a pool whose tasks pass it. Prints one object of JSON.

argv: a folder to leave marks in, and the limit in bytes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from supervisor import Pool
from supervisor.pool import TaskFailed, TaskFuture, oom

PATIENCE = 40.0  # seconds


def double(number: int) -> int:
    return 2 * number


def note(folder: str, word: str) -> None:
    with open(f"{folder}/log", "a") as file:
        file.write(f"{word}\n")


def nap(folder: str) -> None:
    """Says when it begins, and when it is over."""
    note(folder, "nap")
    time.sleep(0.05)
    note(folder, "woke")


def grow(folder: str) -> None:
    """Until somebody ends it."""
    note(folder, "grow")
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def share_with(folder: str, mine: str, other: str, size: int) -> int:
    """As soon as the other has begun, hold so much until somebody has been killed for it."""
    with open(f"{folder}/{mine}", "a") as file:
        file.write("begun\n")
    while not os.path.exists(f"{folder}/{other}"):
        time.sleep(0.01)
    held = b"x" * size
    note(folder, f"{mine} holds")
    deadline = time.monotonic() + PATIENCE
    while not oom.kills() and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(held)


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def grow_elsewhere(size: int) -> int:
    """A kill for want of memory in another control group."""
    options = ["--wait", "--quiet", f"--property=MemoryMax={size}", "--property=MemorySwapMax=0"]
    code = "x = []\nwhile True: x.append(b'x' * (1 << 20))"
    return subprocess.run(["systemd-run", *options, sys.executable, "-c", code], check=False).returncode


def kills_of_machine() -> int:
    with open("/proc/vmstat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("oom_kill "))


def told(future: TaskFuture) -> dict[str, Any]:
    """What became of it."""
    error = future.exception(PATIENCE)
    if isinstance(error, TaskFailed):
        return {"kind": type(error).__name__, "causes": [attempt.cause for attempt in error.report.attempts]}
    return {
        "kind": "value" if error is None else type(error).__name__,
        "value": future.result() if error is None else None,
    }


def main(folder: str, limit: int) -> dict[str, Any]:
    found: dict[str, Any] = {"kills_before": oom.kills()}
    with Pool(2) as pool:
        size = limit * 6 // 10
        pair = [
            pool.submit(share_with, folder, mine, other, size) for mine, other in (("left", "right"), ("right", "left"))
        ]
        found["pair"] = [told(future) for future in pair]
        found["kills_of_pair"] = oom.kills()
        growing = pool.submit(grow, folder)
        naps = [pool.submit(nap, folder) for _ in range(20)]
        doubles = [pool.submit(double, number) for number in range(50)]
        found["growing"] = told(growing)
        found["naps"] = [told(future)["kind"] for future in naps]
        found["doubles"] = [future.result(PATIENCE) for future in doubles]
        found["kills"] = oom.kills()
        before = kills_of_machine()
        found["elsewhere"] = grow_elsewhere(32 << 20)
        found["kills_elsewhere"] = kills_of_machine() - before
        found["killed"] = told(pool.options(retries=0).submit(end))
        found["kills_at_end"] = oom.kills()
        found["after"] = [future.result(PATIENCE) for future in [pool.submit(double, number) for number in range(4)]]
    with open(f"{folder}/log") as file:
        found["log"] = file.read().splitlines()
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
