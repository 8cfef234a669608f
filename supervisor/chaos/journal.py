"""The journal of a run: what the specification ("Experiment Journal") wants, and our measurements in `extensions`.

Stamps are RFC 3339 in UTC, durations seconds. Where the specification and the Chaos Toolkit differ: `output` is whatever
JSON an activity answered (the specification wants a string, and an object of the providers that fill it), `deviated` and
`steady_states.during` are there (the specification does not know them), and `extensions` is a list of {"name": …} as an
experiment has it, at the top: the experiment in a journal is to stay as it was.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from supervisor import __version__
from supervisor.chaos.record import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.chaos.activities import Activity
    from supervisor.chaos.experiment import Experiment

Journal = dict[str, Any]
STATUSES = ("completed", "failed", "aborted", "interrupted")


class NotAJournal(Exception):
    """A file that is none; the sentence says why."""


def opened(experiment: Experiment) -> Journal:
    """Return a journal with nothing in it yet."""
    return {
        "chaoslib-version": f"ninelives {__version__}",
        "platform": platform.platform(),
        "node": platform.node(),
        "experiment": experiment.tree,
        "start": now(),
        "status": None,
        "deviated": False,
        "steady_states": {"before": None, "after": None, "during": []},
        "run": [],
        "rollbacks": [],
    }


def entry(activity: Activity) -> dict[str, Any]:
    """Return the entry of an activity that begins now."""
    return {"activity": activity.tree, "output": None, "start": now()}


def entry_ended(one: dict[str, Any], output: Any, exception: Sequence[str] | None) -> None:
    """Note in an entry that its activity has ended now: with an output, or with the lines of a traceback."""
    one["output"] = output
    one["status"] = "succeeded" if exception is None else "failed"
    if exception is not None:
        one["exception"] = list(exception)
    one["end"] = now()
    one["duration"] = between(one["start"], one["end"])


def closed(journal: Journal, status: str) -> Journal:
    """The run is over."""
    journal["status"] = status
    journal["end"] = now()
    journal["duration"] = between(journal["start"], journal["end"])
    return journal


def extend(journal: Journal, facts: dict[str, Any], name: str = EXTENSION) -> Journal:
    """Put our own facts into the journal, beside what others have put there."""
    others = [one for one in journal.get("extensions", []) if one.get("name") != name]
    journal["extensions"] = [*others, {"name": name, **facts}]
    return journal


def extension(journal: Journal, name: str = EXTENSION) -> dict[str, Any] | None:
    """Return what `extend` has put there."""
    return next((one for one in journal.get("extensions", []) if one.get("name") == name), None)


def written(journal: Journal, path: str) -> None:
    """Write it to a file, all or nothing; OSError."""
    folder = os.path.dirname(os.path.abspath(path))
    fd, name = tempfile.mkstemp(prefix=".journal-", suffix=".json", dir=folder)
    try:
        with open(fd, "w") as file:
            json.dump(journal, file, indent=2, ensure_ascii=False, default=_as_json, allow_nan=False)
            file.write("\n")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is its owner's alone; a journal is to be read
        os.replace(name, path)
    except BaseException:  # raised again: the caller sees it
        os.unlink(name)
        raise


def loaded(path: str) -> Journal:
    """Read one, ours or the Chaos Toolkit's; NotAJournal, OSError."""
    with open(path, "rb") as file:
        try:
            journal = json.load(file)
        except ValueError as error:
            raise NotAJournal(f"{path} is no JSON: {error}") from error
    wanted = ("experiment", "status", "start", "end", "duration")
    missing = [key for key in wanted if key not in journal] if isinstance(journal, dict) else list(wanted)
    if missing:
        raise NotAJournal(f"{path} is no journal of an experiment: it has no {', '.join(missing)}")
    return dict(journal)


def now() -> str:
    """Return the time of day, as a journal says it."""
    return datetime.now(UTC).isoformat()


def between(start: str, end: str) -> float:
    """Seconds from one stamp to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def plain(value: Any) -> Any:
    """Return what an activity answered as JSON can say it: what it cannot say becomes text."""
    return json.loads(json.dumps(_finite(value), default=_as_json))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not abs(value) < float("inf") else value


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)
