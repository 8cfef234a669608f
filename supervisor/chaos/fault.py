"""The nouns of the catalogue of faults: what a kind is called, where it acts, what it takes, and how its end is seen.

One file of `faults/` is one kind. It has a `FAULT`, and by where that acts

    OUTSIDE, PART    inject(scene, kept)       do it, from the supervisor; may be a coroutine function
                     look(scene) -> dict       before that: what `undo` must know, as JSON; may raise Impossible
                     undo(scene, kept) -> str  only of a lasting one: put it right, and say how
    INSIDE           begin(act)                do it, in the worker's main thread, called by the hook in its heart
                     end(act)                  only of a lasting one: put right what was done of it; called in the midst of
                                               `begin` if it is undone then (once more after it), and when `begin` fails
                     seen(scene)               perhaps: in the supervisor, when it has begun, so that it shows

and, if not every machine can do it, `possible() -> str | None`: why not. Standard library only, and light: an INSIDE file is
imported into workers.
"""

from __future__ import annotations

from workers.hints import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.process import Process
    from supervisor.service import Service
    from supervisor.worker import Worker

OUTSIDE, INSIDE, PART = "outside", "inside", "part"
ENDING, MAYBE, NEVER = "ending", "maybe", "never"


class Impossible(Exception):
    """It cannot be done to this worker, or on this machine; the sentence says why."""


GONE = "it ended a moment ago"


class Parameter(NamedTuple):
    """One thing a kind takes. kind: number | count | seconds | size | flag | text | word (then one of `words`)."""

    name: str
    kind: str
    default: Any
    summary: str
    words: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1e12


class Fault(NamedTuple):
    """A kind of fault.

    place: OUTSIDE (done to any worker), INSIDE (done by a worker to itself), PART (done to the service's own processes).
    lasting: it goes on until it is undone. ends: whether the life it is done to ends of it, always, maybe or never.
    outlives: what it makes is there still when that life has ended, or keeps it from ending: undone also when the worker is
    put down, and when it has ended. fleeting: it is in the supervisor's memory only, so it ends with that supervisor.
    of_part: the worker says of whom, and what is hit is a part of the service.
    """

    kind: str
    place: str
    summary: str
    ends: str
    detected: str  # by what the service notices
    lasting: bool = False
    undone: str = ""  # how; empty where there is nothing to undo
    parameters: tuple[Parameter, ...] = ()
    idle: bool = False  # OUTSIDE: the worker need not have a process
    outlives: bool = False
    fleeting: bool = False
    of_part: bool = False


class Scene(NamedTuple):
    """What a fault done from the supervisor gets to see. `process`: of the worker's life; None for a PART."""

    service: Service
    worker: Worker | None
    process: Process | None
    chaos_id: str
    seconds: float | None
    parameters: dict[str, Any]

    def signal(self, number: int) -> None:
        """Send it to the worker alone, not to what that has started; Impossible if it has ended."""
        assert self.process is not None
        if not self.service.host.processes.signal(self.process, number):
            raise Impossible(GONE)


def read_parameters(fault: Fault, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a fault, the absent ones by their defaults; ValueError says what is wrong with one."""
    known = {parameter.name: parameter for parameter in fault.parameters}
    for name in given:
        if name not in known:
            import difflib  # noqa: PLC0415 - a worker reads none

            near = difflib.get_close_matches(name, known, n=1)
            there = f"there are {', '.join(known)}" if known else "it takes none"
            raise ValueError(
                f"{fault.kind} has no parameter {name!r}: " + (f"did you mean {near[0]!r}?" if near else there)
            )
    return {name: _read(one, given[name]) if name in given else one.default for name, one in known.items()}


def _read(parameter: Parameter, value: Any) -> Any:
    from supervisor import units  # noqa: PLC0415 - a worker reads none

    name, kind = parameter.name, parameter.kind
    match kind:
        case "text":
            return str(value)
        case "word":
            if value not in parameter.words:
                raise ValueError(f"{name}: must be one of {', '.join(parameter.words)}, not {value!r}")
            return value
        case "flag":
            if str(value).lower() not in {"true", "false"}:
                raise ValueError(f"{name}: must be true or false, not {value!r}")
            return str(value).lower() == "true"
    try:
        found = _number(units, kind, value)
    except ValueError as error:
        said = "; ".join(str(each) for each in error.args if each)  # the second of them is what may have been meant
        raise ValueError(f"{name}: {said}") from None
    if not parameter.low <= found <= parameter.high:
        raise ValueError(f"{name}: must lie between {parameter.low:g} and {parameter.high:g}, {value} does not")
    return found


def _number(units: Any, kind: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be a number, not {value!r}")  # noqa: TRY004 - the caller names the parameter
    text = value.strip() if isinstance(value, str) else value
    if kind in {"seconds", "size"}:
        if isinstance(text, str) and text.replace(".", "", 1).isdecimal():
            text = float(text) if "." in text else int(text)
        found: float = (units.seconds if kind == "seconds" else units.size)(text)
        return found
    try:
        if kind == "number":
            return float(text)
        if int(text) == text or isinstance(text, str):
            return int(text)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"must be a {'whole ' if kind == 'count' else ''}number, not {value!r}")
