"""The tables within tables: backoff, ready, on_quarantine, output, control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from supervisor import forms, readers
from supervisor.problems import Wrong, said
from supervisor.readers import Key, Reader
from supervisor.spec import Backoff, Control, Output, Probe, Quarantine, Ready

if TYPE_CHECKING:
    from supervisor.problems import Place

_ENDPOINT = r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/]+):[0-9]{1,5}|unix:/.+"


def _backoff(values: dict[str, Any]) -> Backoff:
    backoff = Backoff(**values)
    if backoff.max < backoff.initial:
        what = f"{backoff.max:g} s is below initial ({backoff.initial:g} s)"
        raise Wrong(what, "raise max, or lower initial", key="max")
    return backoff


BACKOFF = {
    "first": Key(readers.duration(), "Wait before the first retry in a row of failures."),
    "initial": Key(readers.duration(), "Wait before the second retry."),
    "multiplier": Key(readers.number(1, 1000), "What each further wait is multiplied with."),
    "max": Key(readers.duration(), "Longest wait."),
    "jitter": Key(
        readers.duration(), "Up to so much is added at random, so that workers do not restart in step."
    ),
}
backoff = readers.table(BACKOFF, _backoff)


def _probe(values: dict[str, Any]) -> Probe:
    if len(values.keys() & {"http", "tcp", "exec"}) != 1:
        raise Wrong("needs exactly one of http, tcp, exec")
    return Probe(**values)


def _address(pattern: str, what: str, prefix: str) -> Reader:
    plain = readers.string(pattern, what)

    def read(value: Any, place: Place) -> str:
        found: str = plain.read(value, place)
        try:
            if not found.startswith("unix:"):
                _ = urlsplit(prefix + found).port  # out of range, it raises
        except ValueError as error:
            raise Wrong(f"{said(value)} is no address: {error}") from None
        return found

    return Reader(read, plain.schema, plain.kind)


PROBE = {
    "http": Key(_address(r"http://[^\s/]+(/\S*)?", 'an address such as "http://127.0.0.1:8080/healthz"', ""),
                "Ready when a GET of this address answers 200 to 399."),
    "tcp": Key(_address(_ENDPOINT, '"host:port" or "unix:/path"', "//"),
               "Ready when a connection is accepted."),
    "exec": Key(readers.command(), "Ready when this program ends with code 0."),
    "every": Key(readers.duration(positive=True), "Pause between two questions."),
    "timeout": Key(readers.duration(positive=True), "An answer that takes longer is none."),
}  # fmt: skip
ready = readers.either('`"' + '"` \\| `"'.join(Ready) + '"` \\| table (probe)', lambda v: isinstance(v, dict),
                       readers.table(PROBE, _probe), readers.word(tuple(Ready), Ready))  # fmt: skip


def _quarantine(values: dict[str, Any]) -> Quarantine:
    if "probation" not in values:
        raise Wrong("is missing probation", 'such as { probation = "5m" }')
    return Quarantine(action="probation", **values)


PROBATION = {"probation": Key(readers.duration(positive=True), "Try again so long after each quarantine.")}
quarantine = readers.either(
    '`"stay"` \\| `"exit"` \\| `"escalate"` \\| table (probation)', lambda v: isinstance(v, dict),
    readers.table(PROBATION, _quarantine),
    readers.word(("stay", "exit", "escalate"), lambda action: Quarantine(action=action)),
)  # fmt: skip


def _output(values: dict[str, Any]) -> Output:
    if "file" in values:
        return Output(to="file", **values)
    if values.keys() & {"max", "keep"}:
        raise Wrong("max and keep belong to a file", 'add file = "…"')
    return Output(**values)


OUTPUT = {
    "file": Key(
        forms.path(), "Write the raw lines to this file and rotate it, instead of making events of them."
    ),
    "max": Key(readers.size(4096), "Size at which the file is rotated."),
    "keep": Key(readers.integer(0, 1000), "How many rotated files are kept."),
    "when_full": Key(
        readers.word(("block", "drop")),
        "When nobody reads fast enough: let the worker wait, or drop and count.",
    ),
    "rate": Key(readers.number(0.001, 1e9), "At most so many lines a second; no limit by default."),
}
output = readers.either(
    '`"capture"` \\| `"inherit"` \\| table (output)', lambda v: isinstance(v, dict),
    readers.table(OUTPUT, _output), readers.word(("capture", "inherit"), lambda to: Output(to=to)),
)  # fmt: skip

CONTROL = {
    "group": Key(readers.string(forms.ACCOUNT, "the name of a group"),
                 "Members of this Unix group may use the control socket, too."),
    "group_may": Key(readers.word(("read", "all")), "What they may do there: only look, or everything."),
}  # fmt: skip
control = readers.table(CONTROL, lambda values: Control(**values))
