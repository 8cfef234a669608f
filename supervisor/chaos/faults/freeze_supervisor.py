"""freeze-supervisor: the supervisor is stopped for a while, as by a debugger, or a machine that swaps.

Longer than two seconds, and the anchor takes it for hung, kills it and starts another. A small program outside of it
(supervisor/chaos/pause.py) stops it and lets it go on; to ask the stopped one to undo it is in vain.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from supervisor import kernel
from supervisor.anchor import boot
from supervisor.chaos.fault import NEVER, PART, Fault, Scene

if TYPE_CHECKING:
    from supervisor.service import Service

FAULT = Fault(
    kind="freeze-supervisor",
    place=PART,
    summary="the supervisor is stopped with SIGSTOP",
    ends=NEVER,
    detected="within 2 s it goes on: supervisor.lagged; after that the anchor kills it: supervisor.resumed",
    lasting=True,
    undone="SIGCONT, unless the anchor was first",
    fleeting=True,
)


async def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """When the anchor has everything, and who asked has the answer: this task is over then."""
    await scene.service.host.ledger.sync()
    asking = asyncio.current_task()
    assert asking is not None
    asking.add_done_callback(lambda _: _have_it_stopped(scene.service, scene.chaos_id, scene.seconds or 0.0))


def undo(_scene: Scene, _kept: dict[str, object]) -> str:
    """Who can be asked is not stopped."""
    return "it goes on, by the program that stopped it"


def _have_it_stopped(service: Service, chaos_id: str, seconds: float) -> None:
    words = [str(os.getpid()), str(kernel.own_start()), f"{seconds:.6f}", str(service.facts["anchor_pid"])]
    argv = [sys.executable, "-S", "-s", "-P", *boot("supervisor.chaos.pause"), *words]
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    stderr = os.dup(service.host.processes.outlet.stdio[1])
    packet = {"op": "spawn", "key": f"pause/{chaos_id}", "argv": argv, "env": service.host.environment, "number": 0}
    service.host.ledger.ask(packet, [null, os.dup(null), stderr])
