"""What an ending tells: exit statuses in systemd's words, and the Python stacks a worker left behind.

Stacks are on a memfd that outlives the worker. A crash (SEGV, ABRT, BUS …) writes them there by itself; a worker that
hangs is asked with a signal, which faulthandler answers without the GIL.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor import kernel
from supervisor.spec import Result

if TYPE_CHECKING:
    from supervisor.process import Process
    from supervisor.processes import Processes

STACK_BYTES = 3000  # of a stack that fit into an event with everything else
STACK_WITHIN = 0.25  # seconds a hung worker has to write its stacks
LOOK_EVERY = 0.002


class Told(NamedTuple):
    """An exit status: exit_kind exited|killed|dumped, and the code or the signal's name."""

    kind: str
    code: int | None
    signal: str | None

    @property
    def result(self) -> Result:
        """As if nobody had been told which codes are a success: only 0 is."""
        if self.kind == "exited":
            return Result.SUCCESS if self.code == 0 else Result.EXIT_CODE
        return Result.CORE_DUMP if self.kind == "dumped" else Result.SIGNAL

    def __str__(self) -> str:
        if self.kind == "exited":
            return f"exit code {self.code}"
        return f"{self.signal}{' (core dumped)' if self.kind == 'dumped' else ''}"


def decode(status: int) -> Told:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return Told("dumped" if os.WCOREDUMP(status) else "killed", None, signal_name(os.WTERMSIG(status)))
    return Told("exited", os.WEXITSTATUS(status), None)


def fields(status: int | None) -> dict[str, Any]:
    """The fields of an event that tell an ending: `how` in words, and in facts; None: it never ran."""
    told = decode(status) if status is not None else None
    return {
        "how": str(told) if told else "never ran",
        "exit_kind": told.kind if told else None,
        "exit_code": told.code if told else None,
        "signal": told.signal if told else None,
    }


def signal_name(number: int) -> str:
    """SIGTERM for 15, SIGRTMIN+9 for 43."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def stack(process: Process) -> str | None:
    """What is on the process's stack memfd: the end of it, where the main thread is; None if nothing."""
    if process.stack_fd < 0:
        return None
    try:
        size = os.fstat(process.stack_fd).st_size
        text = os.pread(process.stack_fd, STACK_BYTES, max(0, size - STACK_BYTES)).decode("utf-8", "replace")
    except OSError:
        return None
    return text.strip("\0\n") or None


async def take_stacks(processes: Processes, process: Process) -> str | None:
    """Ask a hung Python worker where it is; None if it does not answer in a quarter of a second."""
    before = os.fstat(process.stack_fd).st_size
    if not process.note.get("stacks") or not processes.signal(process, kernel.STACK_SIGNAL):
        return None
    size, waited = before, 0.0
    while waited < STACK_WITHIN:
        await asyncio.sleep(LOOK_EVERY)
        waited += LOOK_EVERY
        now = os.fstat(process.stack_fd).st_size
        if now > before and now == size:
            return stack(process)
        size = now
    return stack(process)
