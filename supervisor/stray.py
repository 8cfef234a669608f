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
    told = forensics.decode(seen.status) if seen.status is not None else None
    host.announce(
        "worker.ended",
        level="info",
        worker=process.note["worker"],
        spawn_id=process.spawn_id,
        pid=process.pid,
        how=f"{told} (no longer in the config)",
        exit_kind=told.kind if told else None,
        exit_code=told.code if told else None,
        signal=told.signal if told else None,
        uptime_s=round(seen.at - process.note["spawned_at"], 3),
    )
    if seen.id is not None:
        host.ledger.ack(seen.id)
    host.processes.forget(process)
