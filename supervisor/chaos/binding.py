"""What actions and probes act through: a session, an observer, and the random numbers targets are drawn with.

A runner binds its own for as long as an experiment runs. Elsewhere, as under the Chaos Toolkit, one is made at the first
use, from `socket` or `name` in the experiment's configuration, NINELIVES_SOCKET or NINELIVES_NAME; it looks on until the
process ends, and what is left then is undone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.chaos import glance
from supervisor.chaos.observer import Observer
from supervisor.chaos.session import CALLED_OFF, Aborted, Halted, Session
from supervisor.cli import client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from supervisor.chaos.record import Injected, Record


TRIES = 5
RESUMES_WITHIN_S = 10.0


class Binding(NamedTuple):
    """random: of the run; the same seed and the same calls give the same targets. expected: may be hurt as well.

    epoch: the session's when it was taken; what was called off since then goes on no further.
    """

    session: Session
    observer: Observer
    random: random.Random
    seed: int = 0
    expected: tuple[str, ...] = ()
    epoch: int = 0

    def inject(self, kind: str, workers: Sequence[str] = (), **how: Any) -> list[Injected]:
        """As `Session.inject`, unless it was called off. Should the supervisor die over it, what it did is found out."""
        for _ in range(TRIES):
            asked = time.monotonic()
            try:
                return self.session.inject(kind, workers, epoch=self.epoch, **how)
            except client.Dropped:
                done = self._done(kind, workers, asked)
            if done:
                self.session.faults += done
                return done
        raise client.Dropped(f"the supervisor went away {TRIES} times before it had done {kind}")

    def _done(self, kind: str, workers: Sequence[str], asked: float) -> list[Injected]:
        """What the events say: each fault is told of, and that is safe at the anchor, before it is done.

        The next supervisor's first word stands behind everything the last one said.
        """
        self.observer.wait_until(
            lambda: bool(self.observer.events("supervisor.resumed", since=asked)), RESUMES_WITHIN_S
        )
        self.observer.catch_up()
        failed = (event["chaos_id"] for event in self.observer.events("chaos.undone") if event["reason"] == "failed")
        known = {*failed, *(fault.chaos_id for fault in self.session.faults)}
        told = (glance.injected(event) for event in self.observer.events("chaos.injected", since=asked))
        return [
            fault for fault in told
            if fault.kind == kind and fault.chaos_id not in known and (fault.worker is None or fault.worker in workers)
        ]  # fmt: skip

    def record(self, expected: Sequence[str] = ()) -> Record:
        """What was seen so far."""
        return self.observer.record(seed=self.seed, expected=(*self.expected, *expected))

    def why_called_off(self) -> str | None:
        """Why the run must not go on: somebody halted it, or too few workers were ready."""
        for event in self.observer.events("chaos.aborted"):
            return str(event.get("msg", "too few workers are ready: everything is undone"))
        if self.session.halted.is_set():
            return "halted: everything that was injected is undone"
        return CALLED_OFF if self.epoch != self.session.epoch else None

    def is_called_off(self) -> bool:
        """Whether there is such a reason."""
        return self.why_called_off() is not None

    def check(self) -> None:
        """Halted, Aborted when it is called off."""
        why = self.why_called_off()
        if why is not None:
            raise Aborted(why) if self.observer.events("chaos.aborted") else Halted(why)


_bound: list[Binding] = []
_making = threading.Lock()


@contextlib.contextmanager
def using(binding: Binding) -> Iterator[Binding]:
    """Have every action and probe of this process act through this one, whatever thread calls it."""
    _bound.append(binding)
    try:
        yield binding
    finally:
        _bound.remove(binding)


def current(configuration: Mapping[str, Any] | None = None) -> Binding:
    """The one that is bound, or else one of our own, from this moment on. client.NoAnswer, client.Denied."""
    with _making:
        if not _bound:
            _bound.append(_made(configuration or {}))
        bound = _bound[-1]
    return bound._replace(epoch=bound.session.epoch)


def _made(configuration: Mapping[str, Any]) -> Binding:
    path = client.find(
        configuration.get("name") or os.environ.get("NINELIVES_NAME"),
        configuration.get("socket") or os.environ.get("NINELIVES_SOCKET"),
    )
    seed = int(configuration.get("seed") or os.environ.get("NINELIVES_SEED") or secrets.randbits(32))
    session = Session(path)
    observer = Observer(session)
    observer.begin()
    atexit.register(_let_go, session, observer)
    return Binding(session, observer, random.Random(seed), seed)  # noqa: S311 - repeatable is what it must be


def _let_go(session: Session, observer: Observer) -> None:
    session.close()
    observer.end()
