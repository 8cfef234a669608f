"""What is told of a task that failed for good: a sentence, and the facts behind it."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from supervisor.pool.value import Value


class Attempt(Value):
    """One life of a task: what ended it, and how far it had come.

    phase: one of page.PHASES. seconds: how long it ran. rss_bytes: the worker's memory when last seen, None when it never was.
    stack: the Python stacks of the worker's threads, as far as they could be had.
    """

    __slots__ = __match_args__ = ("pid", "cause", "phase", "seconds", "rss_bytes", "stack")
    pid: int
    cause: str
    phase: str
    seconds: float
    rss_bytes: int | None
    stack: str

    def __init__(
        self, pid: int, cause: str, phase: str, seconds: float, rss_bytes: int | None = None, stack: str = ""
    ) -> None:
        self._hold(pid, cause, phase, seconds, rss_bytes, stack)

    def __str__(self) -> str:
        memory = f", {self.rss_bytes / 2**20:.0f} MiB" if self.rss_bytes is not None else ""
        return f"worker {self.pid}: {self.cause} in phase {self.phase!r} after {self.seconds:.3f} s{memory}"


class CrashReport(Value):
    """Why a task was given up.

    function: its name. item: its place among the inputs of a map, None for a task of its own. attempts: oldest first.
    """

    __slots__ = __match_args__ = ("function", "attempts", "item")
    function: str
    attempts: tuple[Attempt, ...]
    item: int | None

    def __init__(self, function: str, attempts: tuple[Attempt, ...], item: int | None = None) -> None:
        self._hold(function, attempts, item)

    @property
    def last(self) -> Attempt:
        """What decided it."""
        return self.attempts[-1]

    def __str__(self) -> str:
        count = len(self.attempts)
        what = self.function if self.item is None else f"{self.function}, item {self.item}"
        tries = "1 attempt" if count == 1 else f"{count} attempts"
        text = f"{what}: given up after {tries}; {self.last}"
        return f"{text}\n{self.last.stack}" if self.last.stack else text


class TaskFailed(RuntimeError):
    """The workers that ran this task died of it, or it did something no task may; `report` has the facts."""

    def __init__(self, report: CrashReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return str(self.report)


class TaskTimeout(TaskFailed, TimeoutError):
    """It ran longer than its `task_timeout`, and was put down."""


class TaskOutOfMemory(TaskFailed, MemoryError):
    """It took more than its `memory`, or the kernel ran out of it."""


class PoolBroken(BrokenExecutor):
    """No worker can be had: the initializer fails, or processes cannot be started. Every task waiting gets this."""
