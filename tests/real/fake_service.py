"""A Service that behaves, in a process of its own: `python fake_service.py LISTENER_FD BOUNDS_JSON`.

Its answers say what was asked. `stop slow` ends only when `release slow` was asked; `status` tells how late
the loop has been. It is what tests of the control socket and of the commands talk to.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from typing import Any

from supervisor.control import ControlServer
from supervisor.doorway import Bounds
from supervisor.peer import Access
from supervisor.requests import Failed, Refused

INSTANCE = "0123abcd"
WORKERS = ["mailer", "slow", "web-0", "web-1"]


class Fake:
    """Remembers what it was asked, in a file beside its socket, so that a successor knows it too."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.over = asyncio.Event()
        self.lag_s = 0.0
        self.denied: list[dict[str, Any]] = []

    @property
    def chaos(self) -> Any:
        raise Failed("this one is never broken on purpose")

    async def status(self, worker: str | None) -> dict[str, Any]:
        workers = [_worker(name) for name in WORKERS if worker in {None, name}]
        if not workers:
            raise Refused(f"no worker is called {worker!r}")
        about = {"name": "fake", "pid": os.getpid(), "anchor_pid": os.getppid(), "instance_id": INSTANCE}
        return {
            "supervisor": {**about, "uptime_s": 12.5, "resumes": 0},
            "workers": workers,
            "groups": [],
            "status": "3 of 4 ready, 1 quarantined: mailer",
            "lag_s": self.lag_s,
            "denied": self.denied,
            "descriptors": len(os.listdir("/proc/self/fd")),
        }

    async def start(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        if "mialer" in workers:
            raise Refused("no worker is called 'mialer': did you mean 'mailer'?")
        if "broken" in workers:
            raise Failed("broken did not become ready")
        if "die" in workers:
            _die_once()
        return {"started": workers, "wait": wait}

    async def stop(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        if "slow" in workers and wait:
            await self.free.wait()
        return {"stopped": workers, "wait": wait}

    async def restart(self, workers: list[str], *, rolling: bool, wait: bool) -> dict[str, Any]:
        if "die" in workers:
            os.kill(os.getpid(), 9)
        return {"restarted": workers, "rolling": rolling, "wait": wait}

    async def release(self, workers: list[str]) -> dict[str, Any]:
        self.free.set()
        return {"released": workers}

    async def scale(self, worker: str, replicas: int) -> dict[str, Any]:
        return {"worker": worker, "replicas": replicas}

    async def reload(self, *, diff: bool) -> dict[str, Any]:
        return {"changes": "restart web-0: args" if diff else ""}

    async def upgrade(self) -> dict[str, Any]:
        raise Failed("upgrade refused, the old code stays: it does not import")

    async def shutdown(self) -> None:
        self.over.set()

    async def follow(self, sock: socket.socket, wanted: dict[str, Any], *, follow: bool) -> None:
        """Three lines of output and the filter; a follower is dropped after them, as by a pump that was killed."""
        after = wanted.get("after", 0)
        kept = [
            {"event": "worker.output", "seq": seq, "instance_id": INSTANCE, "msg": f"line {seq}"}
            for seq in range(1, 4)
        ]
        if follow and after:
            kept.append(
                {
                    "event": "worker.output",
                    "seq": after + 1,
                    "instance_id": INSTANCE,
                    "msg": json.dumps(wanted),
                }
            )
        else:
            kept[0]["filter"] = wanted
        if wanted.get("output") is False:
            kept = []
        elif follow:
            kept = [line for line in kept if line["seq"] > after]
        with sock:
            await asyncio.get_running_loop().sock_sendall(
                sock, b"".join(json.dumps(line).encode() + b"\n" for line in kept)
            )

    async def watch(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            await asyncio.sleep(0.002)
            self.lag_s = max(self.lag_s, time.monotonic() - began - 0.002)


def _worker(name: str) -> dict[str, Any]:
    ending = {"result": "exit-code", "exit_code": 1, "uptime_s": 0.2}
    ready = name != "mailer"
    return {
        "worker": name, "want": "up", "phase": "ready" if ready else "quarantined",
        "pid": 4242 if ready else None, "spawn_id": f"{name}#1", "uptime_s": 61.0 if ready else None,
        "restarts": 2, "streak": 0 if ready else 8,
        "standbys": 0, "beat_age_s": 0.25, "rss_bytes": 12_345_678, "cpu_s": 0.5,
        "last_ending": None if ready else ending,
    }  # fmt: skip


def _die_once() -> None:
    if not os.path.exists(os.environ["FAKE_MARK"]):
        with open(os.environ["FAKE_MARK"], "w", encoding="ascii"):
            os.kill(os.getpid(), 9)


async def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    fake = Fake()
    access = Access(owner=int(os.environ.get("FAKE_OWNER", os.geteuid())), group=None)
    group = os.environ.get("FAKE_GROUP")
    if group is not None:
        access = access._replace(group=int(group), group_may=os.environ.get("FAKE_GROUP_MAY", "read"))
    bounds = Bounds(**json.loads(sys.argv[2]))
    server = ControlServer(listener, fake, access=access, denied=fake.denied.append, bounds=bounds)
    server.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fake.watch())
        await fake.over.wait()
        await server.close()


if __name__ == "__main__":
    asyncio.run(main())
