"""Runs an experiment: hypothesis, method, hypothesis, rollbacks; and writes down what happened.

    before ──met──▶ method (hypothesis meanwhile) ──▶ after ──▶ rollbacks ──▶ undo
       └───unmet────────────────────────────────────────────────────▲

As the Chaos Toolkit runs it (chaostoolkit-lib 1.45), but for these, where a pass would otherwise hide a failure:
- a hypothesis that is not met before the method ends the run as "failed" (the specification's word; there "completed");
- one that is not met during the method is a deviation, as one after it is;
- an activity of the method that fails makes the run "failed" (the specification's word; there "completed"). The others
  are carried out, and the rollbacks are as if it had not;
- whatever happens, `undo` is called: at an interrupt or abort before the rollbacks, and at the end.
"""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor.chaos import journal as journals
from supervisor.chaos.activities import Activity
from supervisor.chaos.course import Course, Job, Stopped
from supervisor.chaos.performer import Performer, Step
from supervisor.chaos.providers import Failed, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.chaos.experiment import Experiment
    from supervisor.chaos.journal import Journal
    from supervisor.chaos.providers import Providers

_BEFORE = ("default", "before-method-only", "continuously")
_DURING = ("during-method-only", "continuously")
_AFTER = ("default", "after-method-only", "continuously")


class Unconfigured(Exception):
    """A probe that was to tell a value of the configuration did not; nothing was done."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever runs an experiment wants otherwise than its file; None: as the file says. dry: of performer.DRY."""

    hypothesis: str | None = None
    rollbacks: str | None = None
    frequency: float | None = None
    fail_fast: bool | None = None
    dry: str | None = None


class Runner:
    """Runs one experiment once. `abort` says why the run must not go on; `undo` takes back whatever was done.

    Both are called in the thread that runs it, `abort` some twenty times a second. The listener is called from several
    threads, one call at a time.
    """

    def __init__(
        self, experiment: Experiment, providers: Providers, *, wishes: Wishes | None = None,
        abort: Callable[[], str | None] = lambda: None, undo: Callable[[], Any] = lambda: None,
        listener: Callable[[Step], Any] = lambda _: None,
    ) -> None:  # fmt: skip
        wishes = wishes or Wishes()
        self._experiment, self._providers, self._undo = experiment, providers, undo
        self._strategy = wishes.hypothesis or experiment.hypothesis_strategy
        self._rollbacks = wishes.rollbacks or experiment.rollbacks_strategy
        self._frequency = wishes.frequency or experiment.frequency
        self._fail_fast = experiment.fail_fast if wishes.fail_fast is None else wishes.fail_fast
        self._journal: Journal = {}
        self._begun = False  # the method: else there is nothing to roll back
        self.course = Course(abort)
        self._performer = Performer(providers, experiment.variables, self.course, dry=wishes.dry, listener=listener)

    def run(self) -> Journal:
        """Run it and return the journal, however it ends; Unconfigured. In a main thread, inside course.signals."""
        self._journal = journals.opened(self._experiment)
        self._providers.open()
        try:
            status = self._conduct()
        finally:
            self._stop_and_undo()
            self._providers.close()
        self._performer.shut(self._journal)
        return copy.deepcopy(journals.closed(self._journal, status))

    # -- the parts -----------------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        for name, probe in self._experiment.variables.dynamic.items():
            try:
                output = self._providers.call(Activity(probe), self._performer.variables)
            except Failed as error:
                raise Unconfigured(f"configuration.{name}: {error}") from error
            match probe["provider"]["type"]:
                case "process" if output["status"] != 0:
                    raise Unconfigured(
                        f"configuration.{name}: the program ended with {output['status']}: {output['stderr']}"
                    )
                case "process":
                    output = output["stdout"].strip()
                case "http":
                    output = output["body"]
            self._performer.variables = self._performer.variables.learned(name, output)

    def _conduct(self) -> str:
        try:
            status = self._examine()
        except Stopped as stopped:
            status = stopped.why
            self._performer.tell(Step("stop", None, ended=True, status=status, why=str(stopped)))
            self._stop_and_undo()
        if self._wants_rollbacks(status):
            try:
                self.course.begin_rollbacks()
                self._activities("rollbacks", self._experiment.rollbacks, self._journal["rollbacks"])
            except Stopped as stopped:
                status = stopped.why
        failed = any(one.get("status") == "failed" for one in self._journal["run"])
        return "failed" if failed and status == "completed" else status

    def _examine(self) -> str:
        self._finish(self.course.begin(self._configure))
        if self._strategy in _BEFORE and not self._is_steady("before"):
            return "failed"
        self._method()
        status = "failed" if self.course.enough.is_set() else "completed"
        self.course.enough.clear()
        if self._strategy in _AFTER and not self._is_steady("after"):
            self._journal["deviated"] = True
            probes = self._journal["steady_states"]["after"]["probes"]
            status = "failed" if any(one.get("status") == "failed" for one in probes) else status
        self.course.heed()  # what came in its last moment
        return status

    def _is_steady(self, part: str) -> bool:
        if not self._experiment.hypothesis:
            return True
        state: dict[str, Any] = {"steady_state_met": None, "probes": []}
        self._journal["steady_states"][part] = state
        self._finish(self.course.begin(lambda: self._performer.look(part, self._experiment.hypothesis, state)))
        return bool(state["steady_state_met"])

    def _method(self) -> None:
        self._begun = True
        over = threading.Event()
        meanwhile = None
        if self._strategy in _DURING and self._experiment.hypothesis:
            meanwhile = self.course.begin(lambda: self._watch(over))
        try:
            self._activities("method", self._experiment.method, self._journal["run"])
        finally:
            over.set()
        if meanwhile is not None:
            self._finish(meanwhile)

    def _watch(self, over: threading.Event) -> None:
        while not over.is_set() and not self.course.stopped:
            state: dict[str, Any] = {"steady_state_met": None, "probes": []}
            self._journal["steady_states"]["during"].append(state)
            self._performer.look("during", self._experiment.hypothesis, state)
            if state["steady_state_met"] is False:
                self._journal["deviated"] = True
                if self._fail_fast:
                    self.course.enough.set()
                    return
            over.wait(self._frequency)  # between two looks, however long one takes: as the Chaos Toolkit does

    def _wants_rollbacks(self, status: str) -> bool:
        if not self.course.rollbacks or not self._experiment.rollbacks:
            return False
        match self._rollbacks:
            case "always":
                return True
            case "deviated":
                return bool(self._journal["deviated"])
            case "never":
                return False
            case _:
                return self._begun and status not in ("failed", "interrupted")

    def _activities(self, part: str, activities: Iterable[Activity], entries: list[dict[str, Any]]) -> None:
        self._performer.tell(Step(part, None, ended=False))
        began, background = time.monotonic(), list[Job]()
        for activity in activities:
            if self.course.enough.is_set():
                break
            job = self._begin(part, activity, entries)
            if activity.background:
                background.append(job)
            else:
                self._finish(job)
        self._finish(*background)
        self._performer.tell(Step(part, None, ended=True, status="ended", seconds=time.monotonic() - began))

    def _begin(self, part: str, activity: Activity, entries: list[dict[str, Any]]) -> Job:
        return self.course.begin(lambda: self._performer.perform(part, activity, entries))

    def _finish(self, *jobs: Job) -> None:
        self.course.finish(*jobs)
        for job in jobs:
            if job.error is not None:
                raise job.error

    def _stop_and_undo(self) -> None:
        self.course.stopped = True
        self._performer.tell(Step("undo", None, ended=False))
        began, error = time.monotonic(), None
        try:
            self._undo()
        except Exception as raised:  # noqa: BLE001 - the listener sees it; a journal must come of the run all the same
            error = raised
        self._providers.stop()
        self.course.wait_out()
        why = said(error) if error else None
        status = "failed" if error else "succeeded"
        self._performer.tell(
            Step("undo", None, ended=True, status=status, seconds=time.monotonic() - began, why=why, error=error)
        )
