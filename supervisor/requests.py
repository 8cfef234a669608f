"""What a client may say to the control socket, and the ways in which it is told no.

The rule of this file: a request is checked whole before anything is done; nothing here does anything. Errors
are sentences, and their codes are the exit codes of the command.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class ControlError(Exception):
    """A request that was understood and not done; the sentence goes to the client, with its exit code."""

    code: ClassVar[int]


class Failed(ControlError):
    """It was tried and did not work: 1."""

    code = 1


class Usage(ControlError):
    """The request makes no sense: 2."""

    code = 2


class Refused(ControlError):
    """It makes sense and is not done: 3."""

    code = 3


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="verb", tag=str.lower):
    """A line of a client; `id` is anything, and comes back with the answer."""

    id: Any = None

    @property
    def reading(self) -> bool:
        """Whether it changes nothing."""
        return isinstance(self, Status | Follow | Chaos) or (isinstance(self, Reload) and self.diff)


class Status(Request, frozen=True):
    """The state of every worker, or of one."""

    worker: str | None = None


class Start(Request, frozen=True, kw_only=True):
    """Want them up."""

    workers: list[str]
    wait: bool = True


class Stop(Request, frozen=True, kw_only=True):
    """Want them down."""

    workers: list[str]
    wait: bool = True


class Restart(Request, frozen=True, kw_only=True):
    """A new life for each; rolling: one after another."""

    workers: list[str]
    rolling: bool = False
    wait: bool = True


class Release(Request, frozen=True, kw_only=True):
    """Out of quarantine."""

    workers: list[str]


class Scale(Request, frozen=True, kw_only=True):
    """So many replicas."""

    worker: str
    replicas: int


class Reload(Request, frozen=True):
    """Read the config again; diff: only tell what would change."""

    diff: bool = False


class Upgrade(Request, frozen=True):
    """Let new code take over."""


class Shutdown(Request, frozen=True):
    """Stop everything."""


class Chaos(Request, frozen=True):
    """Which faults may be injected here, into whom, and which go on."""


class Inject(Request, frozen=True, kw_only=True):
    """A fault for each of these workers, by exact names; none of them for a fault of the service's own parts.

    seconds: how long a lasting one goes on. lease: any word; its faults are undone when nobody holds it.
    """

    kind: str
    workers: list[str] = []
    seconds: float | None = None
    parameters: dict[str, Any] = {}
    lease: str | None = None
    dry_run: bool = False


class Hold(Request, frozen=True, kw_only=True):
    """Hold a lease for as long as the connection is open; answered when it is over."""

    lease: str


class Halt(Request, frozen=True):
    """Undo the faults of a lease, or these, or all."""

    lease: str | None = None
    chaos_ids: list[str] | None = None


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which log lines a follower wants; keys that are absent let everything pass."""

    output: bool | None = None  # False: everything but worker.output
    events: str | None = None  # a glob
    level: str | None = None  # this level and above
    worker: str | None = None  # a glob
    stream: str | None = None  # stdout | stderr
    grep: str | None = None  # a regular expression searched for in msg
    since: float | None = None  # seconds since 1970: only later lines
    last: int | None = None  # at most so many of the lines that are already there
    after: int | None = None  # seq of the last line seen
    instance: str | None = None  # of the service in which `after` was seen


class Follow(Request, frozen=True):
    """Log lines, from memory and, with follow, as they come."""

    filter: Filter = Filter()
    follow: bool = False


VERBS: dict[str, type[Request]] = {
    kind.__name__.lower(): kind
    for kind in (
        Status, Start, Stop, Restart, Release, Scale, Reload, Upgrade, Shutdown, Follow, Chaos, Inject, Hold, Halt,
    )
}


def parse(fields: Any) -> Request:
    """Check a decoded line; Usage names what is wrong with it."""
    if not isinstance(fields, dict):
        raise Usage('a request is an object such as {"id": 1, "verb": "status"}')
    verb = fields.get("verb")
    if not isinstance(verb, str) or verb not in VERBS:
        raise Usage(f"no verb {verb!r}{suggestion(str(verb), VERBS)}; there are {', '.join(VERBS)}")
    try:
        return msgspec.convert(fields, VERBS[verb])
    except msgspec.ValidationError as error:
        raise Usage(f"{verb}: {error}") from error


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """Return ': did you mean …?' or nothing."""
    near = difflib.get_close_matches(wrong, list(right), n=1)
    return f": did you mean {near[0]!r}?" if near else ""
