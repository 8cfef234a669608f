"""What was seen of a service while it was hurt: the nouns of a record. Pure; JSON both ways with `as_json` and `read`.

The observer fills a record, the report is made from it, and a journal carries it under `extensions`. Every moment is in
seconds of CLOCK_MONOTONIC, the clock that `monotonic_s` of an event is of; `began_wall` alone is a date. What was not
looked at is None or empty, and whoever judges says "unknown" of it. Unknown keys are passed over, so that a later
version's record can be read.
"""

from __future__ import annotations

from typing import Any

import msgspec

EXTENSION = "ninelives"  # the name under which a journal's `extensions` carries the record


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Which service, and the pid of its anchor at both ends: another one is another service. None: not looked."""

    name: str
    instance_id: str | None = None
    anchor_pid_before: int | None = None
    anchor_pid_after: int | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`[chaos]` as the service had it: the budgets its faults had to keep."""

    max_count: int = 1
    max_percent: float = 50
    abort_below: float = 0.5
    parts: bool = False
    protected: tuple[str, ...] = ()


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue says of a kind of fault, as the verb `chaos` answers it."""

    kind: str
    summary: str = ""
    place: str = ""  # outside | inside | part
    lasting: bool = False
    ends: str = "maybe"  # is the life it is done to ended by it: ending (always) | maybe | never
    detected: str = ""
    undone: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it was when the record began. `members_after`: who restarts with it when it fails, by its group's rule."""

    worker: str
    group: str | None = None
    chaos: bool = False
    beat_within: float | None = None
    strategy: str | None = None
    members_after: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A worker in a sample: what `status` said of it."""

    worker: str
    phase: str
    want: str | None = None
    verdict: str | None = None  # done, failed, given_up: for good, until somebody starts it again
    pid: int | None = None
    spawn_id: str | None = None
    progress: float | None = None
    beat_age_s: float | None = None
    restarts: int = 0


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor itself takes; None: could not be read."""

    fds: int | None = None
    threads: int | None = None
    rss_bytes: int | None = None
    children: int | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at `status`, about one a second."""

    at: float
    supervisor_pid: int | None = None
    workers: tuple[Row, ...] = ()
    own: Own | None = None


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, done to one target: the answer to `inject`. `worker` None: a part of the service."""

    chaos_id: str
    kind: str
    at: float
    until: float | None = None
    worker: str | None = None
    spawn_id: str | None = None
    pid: int | None = None
    seconds: float | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One of the service's own programs, from outside; None: could not be read (another user's)."""

    pid: int
    fds: int | None = None
    threads: int | None = None
    rss_bytes: int | None = None
    pss_bytes: int | None = None


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What /proc says of the processes of a service. See `inspection`."""

    at: float
    supervisor: Process | None = None
    pump: Process | None = None
    anchor: Process | None = None
    zombies: tuple[int, ...] = ()  # below the anchor, and for our own programs to reap
    strangers: tuple[int, ...] = ()  # below the anchor, and of no life and no part
    doubles: tuple[str, ...] = ()  # workers of whom two lives are alive
    workers: int = 0  # lives alive


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen of one run.

    `events`: every line of the service's own from just before `began` to just after `ended`, as they came, without
    `worker.output`. `missing`: first and last of each stretch of `seq` that never came to somebody who followed output too;
    None: output was not followed, so what is missing may have been output. `expected`: names or globs of workers that were
    meant to be hurt as well.
    """

    service: Service
    began: float
    ended: float
    began_wall: str
    workers: tuple[Member, ...] = ()
    events: tuple[dict[str, Any], ...] = ()
    samples: tuple[Sample, ...] = ()
    faults: tuple[Injected, ...] = ()
    kinds: tuple[Kind, ...] = ()
    settings: Settings | None = None
    before: Inspection | None = None
    after: Inspection | None = None
    missing: tuple[tuple[int, int], ...] | None = None
    expected: tuple[str, ...] = ()
    seed: int | None = None


class NoRecord(ValueError):
    """A sentence that says what is wrong with what was to be read as a record."""


def as_json(record: Record) -> dict[str, Any]:
    """Builtins that `json` can write."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


def read(tree: object) -> Record:
    """The record from what `as_json` gave; raises NoRecord with the place and the fault."""
    try:
        return msgspec.convert(tree, Record, strict=False)
    except msgspec.ValidationError as error:
        raise NoRecord(f"no record of ninelives: {error}") from None


def within(journal: object) -> Record:
    """The record that a journal carries; raises NoRecord."""
    extensions = journal.get("extensions") if isinstance(journal, dict) else None
    for extension in extensions if isinstance(extensions, list) else []:
        if isinstance(extension, dict) and extension.get("name") == EXTENSION and "record" in extension:
            return read(extension["record"])
    raise NoRecord(f'no record in this journal: no entry of its "extensions" is named "{EXTENSION}" and has a "record"')
