"""Carries out the activities of a run, each in whatever thread calls, and writes down what became of it.

What two threads touch, the journal's entries and the listener, is behind one lock. When the journal is shut, a thread that
was left behind writes no more.
"""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor.chaos import journal as journals
from supervisor.chaos import tolerance
from supervisor.chaos.activities import Activity
from supervisor.chaos.providers import Failed, said
from supervisor.chaos.reading import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supervisor.chaos.course import Course
    from supervisor.chaos.providers import Providers
    from supervisor.chaos.variables import Variables

DRY = ("probes", "actions", "activities", "pause")


@dataclass(frozen=True, slots=True)
class Step:
    """Something began or ended.

    part: before, during, after (the hypothesis), method, rollbacks, undo, stop. name: of an activity; None for the part
    itself. status, seconds and why: when it has ended. error: what an activity raised.
    """

    part: str
    name: str | None
    ended: bool
    status: str | None = None
    seconds: float | None = None
    why: str | None = None
    error: BaseException | None = None


class Performer:
    """`dry`: one of DRY, what is not really done. `variables` may be replaced before anything is performed."""

    def __init__(
        self, providers: Providers, variables: Variables, course: Course, *, dry: str | None,
        listener: Callable[[Step], Any],
    ) -> None:  # fmt: skip
        self.variables = variables
        self._providers, self._course, self._dry, self._listener = providers, course, dry, listener
        self._lock = threading.RLock()
        self._shut = False

    def tell(self, step: Step) -> None:
        """Tell the listener; one call at a time."""
        with self._lock:
            if not self._shut:
                self._listener(step)

    def shut(self, journal: journals.Journal) -> None:
        """Nothing is written any more; what has not ended is noted as that."""
        with self._lock:
            self._shut = True
        states = journal["steady_states"]
        looks = [state for state in (states["before"], states["after"], *states["during"]) if state is not None]
        for entry in [*journal["run"], *journal["rollbacks"], *(one for look in looks for one in look["probes"])]:
            if "status" not in entry:
                journals.entry_ended(entry, None, ["had not ended when the run was over"])
        for look in looks:
            look["steady_state_met"] = bool(look["steady_state_met"])
            for entry in look["probes"]:
                entry.setdefault("tolerance_met", False)

    def look(self, part: str, hypothesis: Sequence[Activity], state: dict[str, Any]) -> None:
        """Look at the steady state, up to the first probe whose answer is not tolerated."""
        self.tell(Step(part, None, ended=False))
        began, why = time.monotonic(), None
        for probe in hypothesis:
            entry = self.perform(part, probe, state["probes"])
            if self._course.stopped:
                return
            why = self._unmet(probe, entry)
            with self._lock:
                if self._shut:
                    return
                entry["tolerance_met"] = why is None
            if why is not None:
                break
        with self._lock:
            if not self._shut:
                state["steady_state_met"] = why is None
        met = "unmet" if why else "met"
        self.tell(Step(part, None, ended=True, status=met, seconds=time.monotonic() - began, why=why))

    def perform(self, part: str, activity: Activity, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Carry out one activity with its pauses; its entry goes into `entries` when it begins."""
        dry = self._is_dry(activity)
        pauses = self.variables.fill(activity.pauses)
        self._pause(pauses.get("before"), dry=dry)
        with self._lock:
            entry = journals.entry(activity)
            if self._shut or self._course.stopped:
                return entry
            entries.append(entry)
        self.tell(Step(part, activity.name, ended=False))
        output, error = None, None
        try:
            output = None if dry else journals.plain(self._providers.call(activity, self.variables))
        except Failed as failed:
            error = failed
        with self._lock:
            if self._shut:
                return entry
            journals.entry_ended(entry, output, traceback.format_exception(error) if error else None)
        why = said(error) if error else None
        cause = error.__cause__ if error else None
        self.tell(
            Step(
                part, activity.name, ended=True, status=entry["status"], seconds=entry["duration"], why=why, error=cause
            )
        )
        self._pause(pauses.get("after"), dry=dry)
        return entry

    def _unmet(self, probe: Activity, entry: dict[str, Any]) -> str | None:
        if entry.get("status") != "succeeded":
            return f"{probe.name} failed"
        if self._is_dry(probe):
            return None
        wanted = probe.tree["tolerance"]
        if not (isinstance(wanted, dict) and wanted.get("type") == "probe"):
            wanted = self.variables.fill(wanted)
        why = tolerance.unmet(wanted, entry["output"], self._judged)
        return None if why is None else f"{probe.name} {why}"

    def _judged(self, probe: dict[str, Any], value: Any) -> str | None:
        return self._providers.judge(Activity(probe), self.variables, value)

    def _pause(self, seconds: Any, *, dry: bool) -> None:
        if is_number(seconds) and seconds > 0 and not dry and self._dry != "pause":
            self._course.pause(seconds)

    def _is_dry(self, activity: Activity) -> bool:
        return self._dry in ("activities", f"{activity.kind}s")
