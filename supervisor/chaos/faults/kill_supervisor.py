"""kill-supervisor: the one who does it kills itself, once it has answered. The workers go on."""

from __future__ import annotations

import asyncio
import os
import signal

from supervisor.chaos.fault import NEVER, PART, Fault, Scene

FAULT = Fault(
    kind="kill-supervisor",
    place=PART,
    summary="the supervisor is killed with SIGKILL",
    ends=NEVER,
    detected="the anchor reaps it and starts another: supervisor.resumed; no worker notices",
)


async def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """When the anchor has everything, and who asked has the answer: this task is over then."""
    await scene.service.host.ledger.sync()
    asking = asyncio.current_task()
    assert asking is not None
    asking.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGKILL))
