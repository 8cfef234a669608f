"""Whether a task is tried again after a worker died of it, and when. Nothing here reads a clock or touches a process.

| what it died of      | idempotent, attempts left          | else                         |
|----------------------|------------------------------------|------------------------------|
| crash                | again: at once, then after backoff | TaskFailed                   |
| time limit           | again: at once, then after backoff | TaskTimeout                  |
| out of memory        | again, alone                       | TaskOutOfMemory              |
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, assert_never

from supervisor.pool.report import TaskFailed, TaskOutOfMemory, TaskTimeout

if TYPE_CHECKING:
    from supervisor.pool.task import Task

FIRST, LONGEST, JITTER = 0.01, 1.0, 0.01  # seconds before the second retry, at most, and of chance


class Cause(enum.Enum):
    """What ended an attempt."""

    CRASH = "crash"
    TIMEOUT = "timeout"
    MEMORY = "memory"


def again(task: Task, cause: Cause) -> bool:
    """Whether it has attempts left; the last one is in task.attempts already."""
    if not task.options.idempotent:
        return False
    match cause:
        case Cause.MEMORY:
            return task.options.retries > 0 and not task.alone
        case Cause.CRASH | Cause.TIMEOUT:
            return len(task.attempts) <= task.options.retries
        case _:
            assert_never(cause)


def failure(task: Task, cause: Cause) -> TaskFailed:
    """What its future raises."""
    match cause:
        case Cause.MEMORY:
            return TaskOutOfMemory(task.report())
        case Cause.TIMEOUT:
            return TaskTimeout(task.report())
        case Cause.CRASH:
            return TaskFailed(task.report())
        case _:
            assert_never(cause)


def delay(attempts: int) -> float:
    """Seconds until the next attempt after so many: none at first, then tenacity's exponential backoff with jitter."""
    if attempts <= 1:
        return 0.0
    # Here, for it takes 50 ms that nobody needs without a crash.
    from tenacity import RetryCallState, Retrying, wait_exponential, wait_random  # noqa: PLC0415

    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempts - 1
    return float((wait_exponential(FIRST, max=LONGEST) + wait_random(0, JITTER))(state))
