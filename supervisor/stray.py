"""A process that an earlier supervisor left, and that is no worker's any more: put down, swept and told of like any other."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from supervisor import forensics

if TYPE_CHECKING:
    from supervisor.host import Host
    from supervisor.process import Process

GRACE = 10.0  # seconds from TERM to KILL


async def put_down_stray(host: Host, process: Process) -> None:
    """TERM, grace, KILL; its worker is in no config any more."""
    process.heard = lambda _message: None
    host.processes.signal_tree(process, signal.SIGTERM)
    await asyncio.wait([process.exit], timeout=GRACE)
    while not process.exit.done():
        host.processes.signal_tree(process, signal.SIGKILL)
        await asyncio.wait([process.exit], timeout=0.1)
    seen = process.exit.result()
    await host.processes.sweep(process)
    ending = forensics.fields(seen.status)
    host.announce(
        "worker.ended",
        level="info",
        worker=process.note["worker"],
        spawn_id=process.spawn_id,
        pid=process.pid,
        **{**ending, "how": f"{ending['how']} (no longer in the config)"},
        uptime_s=round(seen.at - process.note["spawned_at"], 3),
    )
    host.processes.bury(process)
