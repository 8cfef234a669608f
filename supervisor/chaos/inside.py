"""Orders to the hook in a worker's heart: where it is found, how it is asked, and whether it obeys.

The other end is workers/chaos.py. A worker that does not answer in time (it is stopped, or holds the GIL) is told to forget
the order, so that it does not come over it later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor import kernel
from supervisor.chaos.fault import GONE, Impossible
from workers.chaos import NAME, ORDER

if TYPE_CHECKING:
    from supervisor.process import Process
    from supervisor.processes import Processes

ANSWERS_WITHIN = 2.0  # seconds
_LINK = f"/memfd:{NAME} (deleted)"
NO_HOOK = (
    "nothing in it listens for orders: it is no Python worker with a heart, has not got so far, "
    "or was started before chaos was enabled"
)


def look_for_hook(process: Process) -> None:
    """Raises Impossible where there is none."""
    os.close(_open(process))


async def order(processes: Processes, process: Process, chaos_id: str, kind: str, parameters: dict[str, Any]) -> None:
    """Have the worker do it; returns when it says that it has begun, or has ended. Raises Impossible."""
    said = await _ask(processes, process, {"id": chaos_id, "do": kind, "with": parameters})
    if said is None and process.exit.done():
        return  # that is what some are for
    if said is None:
        _tell(processes, process, {"id": chaos_id, "undo": True})
        raise Impossible(f"it did not obey within {ANSWERS_WITHIN:g} s")
    if "failed" in said:
        raise Impossible(f"it could not: {said['failed']}")


async def undo(processes: Processes, process: Process, chaos_id: str) -> str | None:
    """Have the worker end it: None when it has, else why it has not."""
    try:
        said = await _ask(processes, process, {"id": chaos_id, "undo": True})
    except Impossible as why:
        return str(why)
    if said is None:
        return f"it did not obey within {ANSWERS_WITHIN:g} s"
    return said.get("failed")


async def _ask(processes: Processes, process: Process, line: dict[str, Any]) -> dict[str, Any] | None:
    """Its answer; None when none came."""
    fd = _open(process)
    try:
        before = os.fstat(fd).st_size
        _send(processes, process, fd, line)
        loop = asyncio.get_running_loop()
        deadline, again = loop.time() + ANSWERS_WITHIN, loop.time() + ANSWERS_WITHIN / 2
        pause = 0.001
        while not process.exit.done() and loop.time() < deadline:
            await asyncio.wait([process.exit], timeout=pause)
            pause = min(pause * 1.5, 0.05)
            if loop.time() > again:
                # The signal came between a look at a flag and a call into C that was to be interrupted by it.
                again = deadline
                look_for_hook(process)
                processes.signal(process, ORDER)
            for each in os.pread(fd, 65536, before).splitlines():
                with contextlib.suppress(
                    msgspec.DecodeError
                ):  # the worker's memory, in which it may write what it likes
                    said = msgspec.json.decode(each)
                    if isinstance(said, dict) and said.get("answer") == line["id"]:
                        return said
        return None
    finally:
        os.close(fd)


def _tell(processes: Processes, process: Process, line: dict[str, Any]) -> None:
    with contextlib.suppress(Impossible):
        fd = _open(process)
        try:
            _send(processes, process, fd, line)
        finally:
            os.close(fd)


def _send(processes: Processes, process: Process, fd: int, line: dict[str, Any]) -> None:
    try:
        os.write(fd, msgspec.json.encode(line) + b"\n")
    except OSError as error:
        raise Impossible(f"its hook cannot be written to: {error}") from error
    if not processes.signal(process, ORDER):
        raise Impossible(GONE)


def _open(process: Process) -> int:
    """The hook's memory, in a worker that is the one we mean."""
    folder = f"/proc/{process.pid}/fd"
    try:
        names = os.listdir(folder)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"{folder}/{name}") == _LINK:
                    fd = os.open(f"{folder}/{name}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK)
                    now = kernel.stat(process.pid or 0)
                    if now is not None and now.start == process.start:
                        return fd
                    os.close(fd)
    except FileNotFoundError:
        raise Impossible(GONE) from None
    except PermissionError as error:
        raise Impossible(f"its descriptors cannot be looked at: {error.strerror}") from None
    raise Impossible(NO_HOOK)
