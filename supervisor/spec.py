"""The nouns of ninelives, frozen.

Nothing here reads a clock, touches a process or opens a file: these are the values that travel between the modules
that do. Durations are seconds, sizes are bytes, stamps are CLOCK_MONOTONIC seconds. Every noun is a msgspec struct, so
a config can be handed to the next supervisor as JSON and come back with its types.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Noun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value; the base of all the others."""


class Restart(StrEnum):
    """When an ended worker is started again (the words and the table are OTP's)."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who else is restarted when a member of a group fails (the words are OTP's)."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Ready(StrEnum):
    """How a worker shows that it is ready.

    AUTO: a function that takes a heart says so itself (`heart.ready()`); every other worker is ready when started.
    """

    AUTO = "auto"
    BEAT = "beat"
    NOTIFY = "notify"
    NEWLINE = "newline"
    STARTED = "started"


class Until(StrEnum):
    """What a need waits for."""

    STARTED = "started"
    READY = "ready"
    COMPLETED = "completed"


class Backoff(Noun, frozen=True):
    """Seconds to wait before the next life: `first` once, then initial x multiplier^n up to max, plus up to jitter."""

    first: float = 0.0
    initial: float = 0.1
    multiplier: float = 2.0
    max: float = 30.0
    jitter: float = 0.1


class Probe(Noun, frozen=True):
    """A question asked from outside; exactly one of http, tcp, exec is set."""

    http: str | None = None
    tcp: str | None = None
    exec: tuple[str, ...] | None = None
    every: float = 1.0
    timeout: float = 1.0


class Quarantine(Noun, frozen=True):
    """What follows max_failures: `stay` until released, a `probation` every so many seconds, `exit`, or `escalate`.

    escalate counts as one failure of the group the worker is a member of; exit brings the service down (code 10).
    """

    action: str = "stay"  # stay | probation | exit | escalate
    probation: float | None = None


class Output(Noun, frozen=True):
    """Where a worker's stdout and stderr go.

    to: "capture" (worker.output events), "inherit" (the service's own), or "file" (raw lines, rotated).
    when_full: "block" lets the worker wait, "drop" counts what is lost. rate: lines a second, None for no limit.
    """

    to: str = "capture"
    file: str | None = None
    max: int = 100 * 1024 * 1024
    keep: int = 5
    when_full: str = "block"
    rate: float | None = None


class Need(Noun, frozen=True):
    """Start only when `name` (a worker or a group) has got so far."""

    name: str
    until: Until = Until.READY


class Policy(Noun, frozen=True):
    """What a keeper needs to know to keep a member: the same for a worker and for a group."""

    restart: Restart = Restart.PERMANENT
    stable_after: float = 30.0
    backoff: Backoff = Backoff()
    max_failures: int = 8
    on_quarantine: Quarantine = Quarantine()
    significant: bool = False
    success: tuple[int | str, ...] = (0,)  # exit codes, or signal names such as "SIGTERM"
    never_restart: tuple[int | str, ...] = ()


class ChildSpec(Noun, frozen=True):
    """One [workers.NAME] table: a function or a program, and how it is kept."""

    name: str
    target: str | None = None
    command: tuple[str, ...] | None = None
    args: dict[str, Any] = {}
    replicas: int | None = None  # None: one worker, called by the spec's own name; else NAME-0 … NAME-(n-1)
    template: str = "bare"
    standby: int = 0
    needs: tuple[Need, ...] = ()
    ready: Ready | Probe = Ready.AUTO
    ready_within: float = 10.0
    beat_within: float | None = None
    grace: float = 10.0
    policy: Policy = Policy()
    env: dict[str, str] = {}  # env_files are merged in already, env wins
    cwd: str | None = None
    umask: int | None = None
    user: str | int | None = None
    group: str | int | None = None
    nice: int | None = None
    cpus: str | tuple[str, ...] = "symmetric"  # symmetric | spread | "0-3,6" | one such list per replica
    output: Output = Output()
    chaos: bool = False


class GroupSpec(Noun, frozen=True):
    """One [groups.NAME] table; members are names of workers or of other groups, in start order."""

    name: str
    members: tuple[str, ...]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    needs: tuple[Need, ...] = ()
    policy: Policy = Policy()


class TemplateSpec(Noun, frozen=True):
    """One [templates.NAME] table: what is imported once, before workers are forked from it."""

    name: str
    preload: tuple[str, ...] = ()
    env: dict[str, str] = {}


class Control(Noun, frozen=True):
    """Who besides the owner (and root) may use the control socket."""

    group: str | None = None
    group_may: str = "read"  # read | all


class ChaosRules(Noun, frozen=True):
    """What chaos may do to a service: nothing, unless it is enabled.

    max_count and max_percent bound the workers under a fault at one time; below the share `abort_below` of ready ones
    everything is undone. parts: whether the service's own processes may be hit. protected: names or globs that never are.
    """

    enabled: bool = False
    max_count: int = 1
    max_percent: float = 50.0
    abort_below: float = 0.5
    parts: bool = False
    protected: tuple[str, ...] = ()


class Config(Noun, frozen=True):
    """A whole config file, checked and with every default filled in."""

    source: str  # absolute path of the file it was read from
    name: str = "default"
    path: tuple[str, ...] = ()  # absolute folders put before sys.path in workers
    starting_at_once: int = 32
    recent: int = 4 * 1024 * 1024  # bytes of log lines kept in memory for `logs` and `events`
    control: Control = Control()
    chaos: ChaosRules = ChaosRules()
    templates: dict[str, TemplateSpec] = {}
    workers: dict[str, ChildSpec] = {}
    groups: dict[str, GroupSpec] = {}


class Result(StrEnum):
    """How a life ended, in systemd's words ($SERVICE_RESULT)."""

    SUCCESS = "success"
    EXIT_CODE = "exit-code"
    SIGNAL = "signal"
    CORE_DUMP = "core-dump"
    WATCHDOG = "watchdog"  # hung: no beat within beat_within
    TIMEOUT = "timeout"  # not ready within ready_within
    RESOURCES = "resources"  # could not be spawned
    PROTOCOL = "protocol"  # spoke nonsense on its pipe


class Ending(Noun, frozen=True):
    """One life's end, as it was seen. `asked`: we put it down because it was no longer wanted."""

    worker: str
    spawn_id: str
    result: Result
    pid: int | None = None
    exit_kind: str | None = None  # exited | killed | dumped; None when it never ran
    exit_code: int | None = None
    signal: str | None = None
    asked: bool = False
    was_ready: bool = False
    uptime_s: float = 0.0  # since spawn
    ready_s: float = 0.0  # how long it had been ready
    ended_at: float = 0.0  # CLOCK_MONOTONIC when the anchor reaped it
    detect_s: float = 0.0  # from then (or from the missed deadline) to our knowing
    rusage: dict[str, float] = {}
    why: str | None = None  # a sentence, where the code does not say it all
    stack: str | None = None
    exit_id: int | None = None  # the anchor's number for the exit, acknowledged with the ending
    chaos_id: str | None = None  # of the last fault injected into this life


class Verdict(StrEnum):
    """How keeping came to an end."""

    DONE = "done"  # a clean end that is not to be restarted
    FAILED = "failed"  # a temporary worker's unclean end: not restarted, and not clean either
    GIVEN_UP = "given_up"  # quarantined with on_quarantine = escalate or exit
