"""What every life of a service stands on: its processes, its book, its watches, and the words of its config.

One value handed to every worker, so that a life names what it uses and nothing is global.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.ledger import Ledger
    from supervisor.process import Process
    from supervisor.processes import Processes
    from supervisor.vigil import Vigil

Announce = Callable[..., None]
"""announce(event, **fields): one line of the log, in the transaction of this turn."""


@dataclass(slots=True)
class Host:
    """See the head of this file. `path`, `environment` and `chaos` change with a reload; the rest never does."""

    processes: Processes
    ledger: Ledger
    vigil: Vigil
    announce: Announce
    hurry: asyncio.Future[None]  # done when everything is to stop at once
    folder: str  # of the service's sockets
    name: str  # the service's
    path: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    chaos: bool = False  # whether the config enables it
    _probes: set[asyncio.Task[None]] = field(default_factory=set)

    def bury_probe(self, process: Process) -> None:
        """A probe's program was put down: acknowledge and forget it once it is reaped."""
        task = asyncio.get_running_loop().create_task(self._bury(process))
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _bury(self, process: Process) -> None:
        await process.exit
        await self.processes.sweep(process)
        self.processes.bury(process)
