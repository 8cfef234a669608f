"""What may be asked for a task, beside its function and its arguments."""

from __future__ import annotations

from typing import Any

from supervisor.pool.value import Value


class Options(Value):
    """How a task is treated.

    task_timeout: seconds a worker may spend on it (on each item of a map) before it is put down. soft_timeout: seconds
    until SoftTimeout is raised inside it. retries: how often it is tried again after a worker died of it. idempotent: False
    if it must not be begun twice: then it is never tried again, and maps send items one by one. memory: bytes its worker
    may hold. Raises ValueError for what makes no sense.
    """

    __slots__ = __match_args__ = ("task_timeout", "soft_timeout", "retries", "idempotent", "memory")
    task_timeout: float | None
    soft_timeout: float | None
    retries: int
    idempotent: bool
    memory: int | None

    def __init__(
        self,
        task_timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int = 2,
        idempotent: bool = True,
        memory: int | None = None,
    ) -> None:
        self._hold(task_timeout, soft_timeout, retries, idempotent, memory)
        self._check()

    def but(self, **changes: Any) -> Options:
        """The same, but for these. Raises TypeError for a name that is none, ValueError."""
        return Options(**{**dict(zip(self.__match_args__, self._facts(), strict=True)), **changes})

    def _check(self) -> None:
        for name in ("task_timeout", "soft_timeout", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: {value!r} is not more than 0")
        if self.retries < 0:
            raise ValueError(f"retries: {self.retries!r} is less than 0")

    @property
    def is_watched(self) -> bool:
        """Whether somebody must look at its worker while it runs."""
        return self.task_timeout is not None or self.soft_timeout is not None or self.memory is not None
