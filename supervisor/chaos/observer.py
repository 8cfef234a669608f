"""Watches a service while it is hurt: its events, `status` about once a second, its processes before and after.

Two threads, neither of which anybody waits for: one follows the events through restarts of pump and supervisor, one
samples. Questions about what has happened so far are answered from memory; `record` is all of it, as the report reads it.

What it costs the service is bounded: a sample is followed by a pause of at least 10 times as long as it took, and the
output of workers, of which only the numbers are looked at, is not followed any more once there is a flood of it. A long
run keeps fewer samples: of every two one is dropped whenever there are too many.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Self

import msgspec

from supervisor.chaos import amounts, glance, inspection
from supervisor.chaos.record import Kind as KindOfFault
from supervisor.chaos.record import Record, Service, Settings
from supervisor.cli import client
from supervisor.cli.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from supervisor.chaos.record import Inspection, Member, Sample
    from supervisor.chaos.session import Session

Event = dict[str, Any]

SPARING = 10  # times as long as a sample took is the pause after it
MOST_ROWS = 100_000  # of workers in samples; about 10 MiB in a journal
FLOOD = 2_000  # lines of output in a second: more, and output is not followed any more
READINESS = {"worker.ready": True, "worker.ended": False, "worker.stopping": False}
_BEFORE_S = 1.5  # of events from before we began: the service keeps seconds of wall time
_LISTENS_WITHIN_S = 30.0
_LAST_WORDS_S = 3.0  # for events that are on their way when we stop
_IN_THE_PIPE_S = 0.05  # an event may wait so long at the pump, which lets output come first
_LOOK_S = 0.25
_OUT_OF_ORDER_S = 10.0  # an ending is told when the last words of its life have been read


class Observer:
    """Of the service `session` hurts. A context: it looks from `begin` to `end`, and can be asked at any time in between.

    every: seconds between two samples, at least.
    """

    def __init__(self, session: Session, *, every: float = 1.0) -> None:
        self.session = session
        self.began = self.ended = time.monotonic()
        self.every = every
        self._listeners: list[Callable[[Event], None]] = []
        self._news = threading.Condition()
        self._events: list[Event] = []
        self._of_worker: dict[str, list[Event]] = defaultdict(list)
        self._named: dict[str, list[Event]] = defaultdict(list)
        self._seq = 0
        self._missing: list[tuple[int, int]] | None = []
        self._flood_since, self._flood = 0.0, 0
        self._lines: Counter[str] = Counter()
        self._samples: list[Sample] = []
        self._listening, self._over = threading.Event(), threading.Event()
        self._since = time.time() - _BEFORE_S
        self._stream = Stream(session.path, {"since": self._since}, listening=self._listening.set)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._sample)]
        self.before: Inspection | None = None
        self.after: Inspection | None = None
        self._anchor_after: int | None = None

    def __repr__(self) -> str:
        return f"<Observer {self.session.path} events={len(self._events)} samples={len(self._samples)}>"

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    # -- from beginning to end

    def begin(self) -> None:
        """Look at what there is, and go on looking. client.NoAnswer, client.Denied."""
        self._chaos, self._status = self.session.chaos(), self.session.status()
        self._keep(glance.sample(self._status, time.monotonic()))  # what is asked at once has an answer
        self._ready = {row["worker"]: row["phase"] == "ready" for row in self._status["workers"] if row["want"] == "up"}
        self._began_wall = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        for thread in self._threads:
            thread.start()
        if not self._listening.wait(_LISTENS_WITHIN_S):
            self.end()
            raise client.NoAnswer("the service is there, but nobody tells its events")
        self.before = inspection.inspect(self.own["anchor_pid"], self._status)
        self.began = self.ended = time.monotonic()

    def end(self) -> None:
        """Hear what is on its way, look once more, and stop. Nothing is raised when the service is gone."""
        if self._over.is_set():
            return
        self.ended = time.monotonic()
        with contextlib.suppress(client.NoAnswer, client.Denied, client.Dropped):
            self.catch_up()
            status = self.session.status()
            self._anchor_after = status["supervisor"]["anchor_pid"]
            self.after = self._inspect(status)
        self._over.set()
        self._stream.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_LISTENS_WITHIN_S)

    # -- questions

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have it called with each event as it comes, in the thread that follows: it must not block."""
        self._listeners.append(listener)

    @property
    def is_over(self) -> bool:
        """Whether it has stopped looking."""
        return self._over.is_set()

    def events(self, event: str | None = None, *, worker: str | None = None, since: float | None = None) -> list[Event]:
        """Those of this name and this worker, announced at `since` (monotonic) or later; since it began if None."""
        earliest = self.began if since is None else since
        with self._news:
            among = self._of_worker[worker] if worker is not None else self._named[event] if event else self._events
            return [
                each for each in _recent(among, earliest)
                if each.get("monotonic_s", 0.0) >= earliest and (event is None or each["event"] == event)
            ]  # fmt: skip

    def lines(self, worker: str) -> int | None:
        """How many lines of a worker's output have come; None: there was a flood, and nobody has counted."""
        with self._news:
            return None if self._missing is None else self._lines[worker]

    @property
    def sentence(self) -> str:
        """How many of the workers that were wanted when it began are ready."""
        with self._news:
            return f"{sum(self._ready.values())} of {len(self._ready)} ready"

    @property
    def own(self) -> dict[str, Any]:
        """What `status` said of the service itself when it began: name, pid, anchor_pid, instance_id."""
        found: dict[str, Any] = self._status["supervisor"]
        return found

    def wait_for_news(self, seconds: float) -> None:
        """Return when an event has come, or after so long."""
        with self._news:
            self._news.wait(seconds)

    def wait_until(self, look: Callable[[], bool], within: float) -> bool:
        """Whether `look` became true within so many seconds. It is asked when an event has come, and now and then."""
        deadline = time.monotonic() + within
        while not look():
            with self._news:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._news.wait(min(left, _LOOK_S))
        return True

    def catch_up(self) -> None:
        """Wait until the last event there is has come; not for ever, for it may be one that is not told to us."""
        time.sleep(_IN_THE_PIPE_S)
        last = max((line.record.get("seq", 0) for line in Stream(self.session.path, self._tail()).kept()), default=0)
        self.wait_until(lambda: self._seq >= last, _LAST_WORDS_S)

    def record(self, *, seed: int | None = None, expected: Sequence[str] = ()) -> Record:
        """All that was seen so far; the whole of it after `end`."""
        with self._news:
            events, samples = tuple(self._events), tuple(self._samples)
            missing = None if self._missing is None else tuple(self._missing)
        own = self.own
        return Record(
            service=Service(
                name=own["name"], instance_id=own["instance_id"], anchor_pid_before=own["anchor_pid"],
                anchor_pid_after=self._anchor_after,
            ),
            began=self.began, ended=self.ended if self._over.is_set() else time.monotonic(), began_wall=self._began_wall,
            workers=tuple(self.members_by_name.values()), events=events, samples=samples, faults=tuple(self.session.faults),
            kinds=tuple(self.kinds.values()),
            settings=msgspec.convert(self._chaos["settings"], Settings), before=self.before, after=self.after,
            missing=missing, expected=tuple(expected), seed=seed,
        )  # fmt: skip

    def inspected(self, **how: Any) -> Record:
        """The record so far, with a look at the processes as they are now; takes up to two seconds. See `record`."""
        status = self.session.status()
        anchor = status["supervisor"]["anchor_pid"]
        record = self.record(**how)
        after = self._inspect(status)
        service = msgspec.structs.replace(record.service, anchor_pid_after=anchor)
        return msgspec.structs.replace(record, after=after, service=service)

    def _inspect(self, status: dict[str, Any]) -> Inspection:
        """Once more, and again, while somebody takes more than before, for it may be in the middle of something."""
        before = self.before
        is_well = (lambda seen: amounts.is_back(before, seen)) if before is not None else (lambda _seen: True)
        return inspection.inspect(status["supervisor"]["anchor_pid"], status, self._events, is_well=is_well)

    @functools.cached_property
    def kinds(self) -> dict[str, KindOfFault]:
        """The catalogue of the service, by name."""
        return {kind["kind"]: msgspec.convert(kind, KindOfFault) for kind in self._chaos["kinds"]}

    @functools.cached_property
    def members_by_name(self) -> dict[str, Member]:
        """The workers as they were when it began."""
        return {member.worker: member for member in glance.members(self._status, set(self._chaos["may_hit"]))}

    # -- the threads

    def _follow(self) -> None:
        with contextlib.suppress(client.NoAnswer, client.Denied):  # the service is over, and that is in its events
            for line in self._stream.followed():
                self._hear(line.record)

    def _hear(self, event: Event) -> None:
        with self._news:
            self._count(event)
            if event["event"] == "worker.output":
                return
            self._events.append(event)
            self._named[event["event"]].append(event)
            if event.get("worker") in self._ready and event["event"] in READINESS:
                self._ready[event["worker"]] = READINESS[event["event"]]
            if "worker" in event:
                self._of_worker[event["worker"]].append(event)
            self._news.notify_all()
        for listener in self._listeners:
            listener(event)

    def _count(self, event: Event) -> None:
        """Note stretches of numbers that never came; leave the output alone when there is too much of it."""
        seq = event.get("seq", 0)
        if self._missing is not None and seq > self._seq + 1 and self._seq:
            self._missing.append((self._seq + 1, seq - 1))
        self._seq = max(seq, self._seq)
        if event["event"] != "worker.output" or self._missing is None:
            return
        self._flood += 1
        self._lines[event.get("worker", "")] += 1
        now = time.monotonic()
        if now - self._flood_since > 1.0:
            self._flood_since, self._flood = now, 0
        elif self._flood > FLOOD:
            self._missing = None
            self._stream.choose({"since": self._since, "output": False})

    def _tail(self) -> dict[str, Any]:
        tail = {"since": self._since, "last": 1}
        return tail if self._missing is not None else {**tail, "output": False}

    def _sample(self) -> None:
        took = 0.0
        while not self._over.wait(max(self.every, SPARING * took)):
            began = time.monotonic()
            with contextlib.suppress(client.NoAnswer, client.Denied, client.Dropped):
                self._keep(glance.sample(self.session.status(), time.monotonic()))
            took = time.monotonic() - began

    def _keep(self, sample: Sample) -> None:
        with self._news:
            self._samples.append(sample)
            if len(self._samples) * len(sample.workers) > MOST_ROWS and len(self._samples) > 8:
                del self._samples[1::2]
                self.every *= 2


def _recent(events: list[Event], earliest: float) -> list[Event]:
    """Those that may be of `earliest` or later. A run has many, and most questions are about its last moments."""
    at = len(events)
    while at > 0 and events[at - 1].get("monotonic_s", earliest) >= earliest - _OUT_OF_ORDER_S:
        at -= 1
    return events[at:]
