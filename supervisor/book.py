"""The keepers' book: their events go to the log, their memories to the anchor, their endings to both in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor.events import level_of_ending
from supervisor.forensics import Told
from supervisor.policy import is_success

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.account import Account
    from supervisor.ledger import Ledger
    from supervisor.log import Log
    from supervisor.spec import Ending
    from supervisor.worker import Worker


class Book:
    """What world.Ledger asks for. `changed(keeper)` is called after every note."""

    def __init__(
        self, ledger: Ledger, log: Log, worker_of: Callable[[str], Worker | None], changed: Callable[[Account], None]
    ) -> None:
        self._ledger, self._log, self._worker_of, self._changed = ledger, log, worker_of, changed

    def announce(self, event: str, /, **fields: Any) -> None:
        """One line of the log; stamps and spans to the microsecond."""
        if event == "worker.recovered" and (worker := self._worker_of(fields["worker"])) and (process := worker.process):
            fields |= {"spawn_id": process.spawn_id, "pid": process.pid, "standby": "prepared" in process.note}
        said: dict[str, Any] = {key: round(it, 6) if isinstance(it, float) else it for key, it in fields.items()}
        self._log.announce(event, **said)

    def note(self, keeper: Account) -> None:
        """Write down its memory."""
        self._ledger.put(f"{keeper.kind}/{keeper.name}", keeper.memory())
        self._changed(keeper)

    def ended(self, ending: Ending, keeper: Account) -> None:
        """The event, the acknowledgement and the end of its notes: one step, which is never torn."""
        level = level_of_ending(asked=ending.asked, success=is_success(keeper.policy, ending))
        self._log.announce(
            "worker.ended",
            level=level,
            worker=ending.worker,
            spawn_id=ending.spawn_id,
            pid=ending.pid,
            how=how(ending),
            exit_kind=ending.exit_kind,
            exit_code=ending.exit_code,
            signal=ending.signal,
            result=str(ending.result),
            uptime_s=ending.uptime_s,
            restarts=keeper.restarts,
            streak=keeper.streak,
            rusage=ending.rusage or None,
            why=ending.why,
            stack=ending.stack,
            detect_s=ending.detect_s,
            chaos_id=ending.chaos_id,
        )
        if ending.exit_id is not None:
            self._ledger.ack(ending.exit_id)
        worker = self._worker_of(ending.worker)
        if worker is not None:
            worker.buried()


def how(ending: Ending) -> str:
    """An ending in a few words: "exit code 1", "SIGKILL (asked)", "could not be spawned"."""
    told = str(Told(ending.exit_kind, ending.exit_code, ending.signal)) if ending.exit_kind else "never ran"
    if ending.asked:
        return f"{told} (asked)"
    return told if ending.why is None else f"{told} ({ending.why})"
