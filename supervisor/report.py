"""What the service tells of itself: `status`, and the sentence systemd shows."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor import notify
from supervisor.phase import Phase, Want
from supervisor.spec import GroupSpec, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from supervisor.account import Account
    from supervisor.keeper import Keeper
    from supervisor.roster import Roster

AT_A_TIME = 0.004  # seconds of looking at workers, then others have their turn
NAMED = 5  # workers named in the sentence, for each phase that is not `ready`
TOLD_EVERY = 0.5  # seconds between two sentences to systemd
SPARING = 20  # a sentence about thousands takes longer: this many times as long is the pause before the next
TOLD_SOON = 0.02  # while it waits for us: on the way up and on the way down
MARGIN = 10.0  # seconds beyond the longest step the config allows, for a busy machine
STILL_UP = frozenset({Phase.STARTING, Phase.READY, Phase.STOPPING})


def sentence(keepers: Iterable[Keeper]) -> str:
    """The state in a sentence: "41 of 42 ready, 1 quarantined: mailer"."""
    wanted = [keeper for keeper in keepers if keeper.want is Want.UP and keeper.verdict is not Verdict.DONE]
    ready = sum(keeper.phase is Phase.READY for keeper in wanted)
    parts = [f"{ready} of {len(wanted)} ready"]
    for phase in (Phase.QUARANTINED, Phase.BACKING_OFF, Phase.STARTING, Phase.WAITING, Phase.STOPPING):
        named = [keeper.name for keeper in wanted if keeper.phase is phase]
        if named:
            more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
            parts.append(f"{len(named)} {phase.value.replace('_', ' ')}: {', '.join(named[:NAMED])}{more}")
    failed = [keeper.name for keeper in wanted if keeper.verdict is Verdict.FAILED and keeper.phase is Phase.DOWN]
    if failed:
        parts.append(f"{len(failed)} failed: {', '.join(failed[:NAMED])}")
    return ", ".join(parts)


async def worker_rows(roster: Roster, meant: Collection[str] | None) -> list[dict[str, Any]]:
    """The rows of `status --json`, all or those of certain names. A look at 2,000 workers must not hold the loop."""
    rows = []
    began = time.monotonic()
    for name, keeper in list(roster.keepers.items()):
        if (meant is None or name in meant) and (worker := roster.worker(name)) is not None:
            rows.append(show_worker(keeper, worker.show()))
        if time.monotonic() - began > AT_A_TIME:
            await asyncio.sleep(0)
            began = time.monotonic()
    return rows


def group_rows(roster: Roster, meant: Collection[str] | None) -> list[dict[str, Any]]:
    """The same of groups."""
    return [
        show_group(keeper, str(keeper.child.spec.strategy))
        for name, keeper in roster.groups.items()
        if isinstance(keeper.child.spec, GroupSpec) and (meant is None or name in meant)
    ]


def show_worker(keeper: Keeper, facts: dict[str, Any]) -> dict[str, Any]:
    """One row of `status --json`."""
    return {
        "worker": keeper.name,
        "want": str(keeper.want),
        "phase": str(keeper.phase),
        "pid": facts["pid"],
        "spawn_id": facts["spawn_id"],
        "uptime_s": facts["uptime_s"],
        "restarts": keeper.restarts,
        "streak": keeper.streak,
        "standbys": facts["standbys"],
        "beat_age_s": facts["beat_age_s"],
        "beat_within": facts["beat_within"],
        "rss_bytes": facts["rss_bytes"],
        "cpu_s": facts["cpu_s"],
        "last_ending": show_ending(keeper),
        "verdict": keeper.verdict,
        "progress": facts["progress"],
        "status": facts["status"],
        "group": keeper.above.name if keeper.above is not None else None,
    }


def show_ending(keeper: Account) -> dict[str, Any] | None:
    """How it last ended, without what is only ours."""
    if keeper.last_ending is None:
        return None
    ending: dict[str, Any] = msgspec.to_builtins(keeper.last_ending)
    return {
        key: ending[key]
        for key in ("spawn_id", "result", "exit_kind", "exit_code", "signal", "asked", "uptime_s", "why")
    }


def show_group(keeper: Keeper, strategy: str) -> dict[str, Any]:
    """One group."""
    return {
        "group": keeper.name,
        "strategy": strategy,
        "phase": str(keeper.phase),
        "want": str(keeper.want),
        "streak": keeper.streak,
        "members": [member.name for member in keeper.child.members],
        "ready": sum(member.phase is Phase.READY for member in keeper.child.members),
        "verdict": keeper.verdict,
    }


class Herald:
    """Tells systemd: READY once everybody who should be up is settled, the sentence when it changes, and that we progress.

    Every change is a step, and for each step systemd is asked for as much patience as the config itself has.
    """

    def __init__(self, roster: Roster, send: Callable[[str], None], all_settled: Callable[[], None]) -> None:
        self._roster, self._send, self._all_settled = roster, send, all_settled
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._said = ""
        self._took = 0.0  # seconds to make the last sentence
        self.ready = False
        self._leaving = False

    def changed(self) -> None:
        """Something changed: say so soon."""
        if self._timer is None:
            soon = not self.ready or self._leaving
            pause = max(TOLD_SOON if soon else TOLD_EVERY, SPARING * self._took)
            self._timer = self._loop.call_later(pause, self._tell)

    def reloading(self) -> None:
        """A reload begins. Nobody who still waits for READY is told: the end of a reload is a READY too."""
        if self.ready:
            self._send(notify.reloading(time.monotonic_ns() // 1000))

    def reloaded(self) -> None:
        """The reload is over, whichever way it went."""
        if self.ready:
            self._said = sentence(self._roster.keepers.values())
            self._send(notify.ready(self._said))

    def leave(self) -> None:
        """The service stops: from now on the sentence says who is still up."""
        self._leaving = True
        self._send(notify.stopping("stopping"))
        self.changed()

    def close(self) -> None:
        """Nothing more is told."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(1e9, lambda: None)  # `changed` finds it taken

    def _tell(self) -> None:
        self._timer = None
        if self._leaving:
            up = [keeper.name for keeper in self._roster.keepers.values() if keeper.phase in STILL_UP]
            self._say_patiently(f"stopping, {len(up)} still up: {', '.join(up[:NAMED])}" if up else "stopping")
            return
        began = time.monotonic()
        said = sentence(self._roster.keepers.values())
        self._took = time.monotonic() - began
        if self.ready:
            if said != self._said:
                self._send(notify.status(said))
        elif self._is_settled():
            self.ready = True
            self._all_settled()
            self._send(notify.ready(said))
        else:
            self._say_patiently(said)
        self._said = said

    def _say_patiently(self, said: str) -> None:
        # Called after changes only: that is the progress for which systemd is asked to be patient.
        self._send(notify.extend(self._longest_step() + MARGIN) + "\n" + notify.status(said))

    def _longest_step(self) -> float:
        specs = self._roster.config.workers.values()
        if self._leaving:
            return max((spec.grace for spec in specs), default=0.0)
        waits = (max(spec.ready_within, spec.policy.backoff.max + spec.policy.backoff.jitter) for spec in specs)
        return max(waits, default=0.0)

    def _is_settled(self) -> bool:
        return all(keeper.settled or keeper.want is Want.DOWN for keeper in self._roster.keepers.values())
