"""What somebody stops with a signal: a worker is told of, and one of our own, which is as good as dead, is replaced.

The anchor sees it. Each supervisor that takes over is told who is stopped then; what was told of before it stands in the notes.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.aide import Aide
    from supervisor.host import Host
    from supervisor.process import Process

FROZEN = "frozen"  # in the note of a process: that it was told of as that


class Stops:
    """Those of a service. aides: the pump and the templates of the moment."""

    def __init__(self, host: Host, aides: Callable[[], Iterable[Aide]]) -> None:
        self._host, self._aides = host, aides
        self._stopped: set[int] | None = set()  # pids that we were told of, while we take over

    def heard(self, packet: dict[str, Any]) -> None:
        """The anchor has seen a process stop or go on."""
        pid, start, is_stop = packet["pid"], packet["start"], packet["op"] == "stopped"
        if self._stopped is not None:
            (self._stopped.add if is_stop else self._stopped.discard)(pid)
        for aide in self._aides():
            if (aide.pid, aide.start_time) == (pid, start):
                aide.kill()
                return
        process = self._host.processes.find(pid)
        if process is None or process.start != start:
            self._host.processes.orphans.kill_embryo(pid, states="Tt")
        elif is_stop:
            self._tell(process, "worker.frozen", signal=signal.Signals(packet["signal"]).name)
        else:
            self._tell(process, "worker.thawed")

    def resumed(self) -> None:
        """All who are stopped were told of: whoever else stands in the notes has gone on while nobody listened."""
        stopped, self._stopped = self._stopped or set(), None
        for pid, process in self._host.processes.by_pid.items():
            if pid not in stopped:
                self._tell(process, "worker.thawed")

    def _tell(self, process: Process, event: str, **more: Any) -> None:
        is_stop = event == "worker.frozen"
        if process.note.get(FROZEN, False) == is_stop:
            return  # by an earlier supervisor
        process.note[FROZEN] = is_stop
        self._host.ledger.put(f"spawn/{process.spawn_id}", process.note)
        worker = process.note.get("life") or process.note["worker"]
        self._host.announce(event, worker=worker, spawn_id=process.spawn_id, pid=process.pid, **more)
