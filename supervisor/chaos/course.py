"""The course of a run: what stops it, and the threads its activities are carried out in.

Every activity has a thread of its own, and the one that runs the experiment waits for it in short steps. So neither a
function that blocks in C nor one that swallows exceptions can keep a run from being interrupted: what does not return in
GRACE_S is left behind, and the journal says so. Nothing is raised from a signal handler: it sets a word, which is seen
within a step.
"""

from __future__ import annotations

import contextlib
import contextvars
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEP_S = 0.05
GRACE_S = 5.0  # for activities that go on when the run is over


class Stopped(Exception):
    """The run ends here; `why` is "interrupted" or "aborted", the sentence has the reason."""

    def __init__(self, why: str, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


class Course:
    """Whether a run goes on. `abort` is asked in every step, and answers why it must not."""

    def __init__(self, abort: Callable[[], str | None]) -> None:
        self._abort = abort
        self._interrupts = 0
        self._heeded = 0
        self._deaf = False  # to `abort`: when rollbacks run, it has been heard
        self.rollbacks = True
        self.stopped = False  # read by pauses in other threads
        self.enough = threading.Event()  # the hypothesis has failed fast: nothing more is begun
        self._jobs: list[Job] = []

    def interrupt(self, *, rollbacks: bool = True) -> None:
        """Ask the run to end. Safe in a signal handler: it takes no lock."""
        self.rollbacks = self.rollbacks and rollbacks
        self._interrupts += 1

    def begin_rollbacks(self) -> None:
        """From here on, only another interrupt stops."""
        self._deaf, self.stopped = True, False
        self.enough.clear()

    def heed(self) -> None:
        """Stopped, if something wants the run to end. For the thread that runs the experiment."""
        if self._interrupts > self._heeded:
            self._heeded, self.stopped = self._interrupts, True
            raise Stopped("interrupted", "interrupted by a signal")
        why = None if self._deaf else self._abort()
        if why is not None:
            self.stopped = True
            raise Stopped("aborted", why)

    def step(self, ended: threading.Event) -> bool:
        """Wait a moment for `ended`; Stopped."""
        self.heed()
        return ended.wait(STEP_S)

    def begin(self, call: Callable[[], Any]) -> Job:
        """Have something done in a thread of its own."""
        job = Job(call)
        self._jobs.append(job)
        return job

    def finish(self, *jobs: Job) -> None:
        """Wait until they have ended; Stopped."""
        for job in jobs:
            while not self.step(job.ended):
                pass

    def pause(self, seconds: float) -> None:
        """Wait, in whatever thread; shorter when the run is over."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.stopped and not self.enough.is_set():
            time.sleep(min(left, STEP_S))

    def wait_out(self) -> None:
        """Give what still goes on GRACE_S to end, whoever interrupts; what has not ended then is left behind."""
        deadline = time.monotonic() + GRACE_S
        for job in self._jobs:
            job.ended.wait(max(0.0, deadline - time.monotonic()))
        self._jobs.clear()


class Job:
    """A call in a daemon thread: it may be left behind, and does not keep the process from ending."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None  # what our own code raised; a provider's exceptions end in the journal
        self._call = call
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run,), name="chaos-activity", daemon=True).start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
            self.error = error
        finally:
            self.ended.set()


@contextlib.contextmanager
def signals(course: Course) -> Iterator[None]:
    """While inside, SIGINT, SIGTERM and SIGUSR1 interrupt the run, SIGUSR2 without rollbacks. Main thread only."""

    def heard(signum: int, _: Any) -> None:
        course.interrupt(rollbacks=signum != signal.SIGUSR2)

    before = {
        number: signal.signal(number, heard)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
