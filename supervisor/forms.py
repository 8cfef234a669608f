"""Readers of values with a form of their own: needs, CPU lists, exit codes, environments, paths.

Paths are made absolute here, from the folder of the config file.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from supervisor import readers
from supervisor.environment import read_environment
from supervisor.problems import Place, Wrong, said, text
from supervisor.readers import Reader
from supervisor.spec import Need, Until

NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
NAME_SAYS = "a name of up to 64 letters, digits, dots, dashes and underscores, first a letter or a digit"
_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_CPUS = r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*"
ACCOUNT = r"[A-Za-z_][A-Za-z0-9_.-]{0,62}\$?"
_SIGNALS = tuple(item.name for item in signal.Signals)


def name() -> Reader:
    """The name of a worker, group, template or service."""
    return readers.string(NAME, NAME_SAYS, "name")


def glob() -> Reader:
    """A name, or a pattern of names as shells know them."""
    return readers.string(r"[A-Za-z0-9_.*?\[\]!-]{1,100}", 'a name or a glob such as "db-*"', "glob")


def path() -> Reader:
    """A path, relative to the config file's folder."""
    plain = readers.string(r"[\s\S]+", "a path", "path")

    def read(value: Any, place: Place) -> str:
        return os.path.normpath(os.path.join(place.folder, plain.read(value, place)))

    return Reader(read, plain.schema, "path")


def module() -> Reader:
    """The name of a module."""
    return readers.string(_DOTTED, "the name of a module", "module")


def target() -> Reader:
    """module:function."""
    what = 'a function in the form "package.module:function"'
    plain = readers.string(f"{_DOTTED}:{_DOTTED}", what, "module:function")

    def read(value: Any, place: Place) -> Any:
        if isinstance(value, str) and re.fullmatch(rf"{_DOTTED}\.[^\W\d]\w*", value):
            module, _, function = value.rpartition(".")
            raise Wrong(
                f"must be {said('module:function')}, not {said(value)}",
                f'did you mean "{module}:{function}"?',
            )
        return plain.read(value, place)

    return Reader(read, plain.schema, "module:function")


def need() -> Reader:
    """A worker's or group's name, and how far it must have got."""
    plain = readers.string()

    def read(value: Any, place: Place) -> Need:
        who, colon, until = plain.read(value, place).partition(":")
        if not re.fullmatch(NAME, who):
            raise Wrong(
                f"must be the name of a worker or group, not {said(value)}", 'such as "feed" or "feed:ready"'
            )
        return Need(name=who, until=_until.read(until, place) if colon else Until.READY)

    pattern = f"^{NAME}(:({'|'.join(Until)}))?$"
    return Reader(read, {"type": "string", "pattern": pattern}, "`NAME[:started\\|ready\\|completed]`")


_until = readers.word(tuple(Until), Until)


def ending() -> Reader:
    """An exit code or the name of a signal."""
    code = readers.integer(0, 255)
    named = readers.word(_SIGNALS)

    def read(value: Any, place: Place) -> int | str:
        if not isinstance(value, str):
            return int(code.read(value, place))
        if value not in _SIGNALS:
            close = f"SIG{value.upper().removeprefix('SIG')}"
            raise Wrong(
                f"{said(value)} is no signal", f"did you mean {text(close)}?" if close in _SIGNALS else None
            )
        return value

    return Reader(read, {"anyOf": [code.schema, named.schema]}, "exit code or signal")


def cpus() -> Reader:
    """Where the replicas run."""
    one = readers.string(f"symmetric|spread|{_CPUS}")

    def listed(value: Any, _: Place) -> str:
        if not isinstance(value, str) or not re.fullmatch(_CPUS, value):
            raise Wrong(f'must be a list of CPUs such as "0-3,6", not {said(value)}')
        for part in value.split(","):
            first, _dash, last = part.partition("-")
            if last and int(last) < int(first):
                raise Wrong(f'the range "{part}" runs backwards', f'did you mean "{last}-{first}"?')
        return value

    def single(value: Any, place: Place) -> str:
        return value if value in ("symmetric", "spread") else listed(value, place)

    per_replica = readers.several(
        Reader(listed, {"type": "string", "pattern": f"^({_CPUS})$"}, "CPU list"), least=1
    )
    kind = '`"symmetric"` \\| `"spread"` \\| CPU list \\| list of one per replica'
    return readers.either(kind, lambda v: isinstance(v, list), per_replica, Reader(single, one.schema, kind))


def umask() -> Reader:
    """File mode bits to clear, in octal digits."""

    def read(value: Any, _: Place) -> int:
        if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3}", value):
            quoted = isinstance(value, int) and 0 <= value <= 777
            raise Wrong(f'must be octal digits in quotes, such as "027", not {said(value)}',
                        f'did you mean "{value:03d}"?' if quoted else None)  # fmt: skip
        return int(value, 8)

    return Reader(read, {"type": "string", "pattern": "^0?[0-7]{3}$"}, "octal string")


def account() -> Reader:
    """A user or group, by name or number."""
    return readers.either("name or number", lambda v: isinstance(v, int), readers.integer(0, (1 << 32) - 2),
                          readers.string(ACCOUNT, "a name or a number"))  # fmt: skip


def arguments() -> Reader:
    """Keyword arguments of a function: anything JSON can say."""

    def read(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong(f"must be a table, not {said(value)}")
        for key, item in value.items():
            if not key.isidentifier():
                place.at(key).wrong("cannot be the name of an argument")
            _as_json(item, place.at(key), 0)
        return value

    return Reader(read, {"type": "object"}, "table")


def _as_json(value: Any, place: Place, depth: int) -> None:
    if depth > 32:
        place.wrong("nests more than 32 deep")
    elif isinstance(value, dict):
        for key, item in value.items():
            _as_json(item, place.at(key), depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _as_json(item, place.at(index), depth + 1)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        place.wrong("does not fit into 64 bits")
    elif isinstance(value, float) and value - value != 0:
        place.wrong(f"{said(value)} is nothing JSON can say")
    elif not isinstance(value, str | int | float):
        place.wrong("dates and times cannot be passed on", "write it as a string")


def environment() -> Reader:
    """Variables and their values, strings all."""
    plain = readers.string()

    def read(value: Any, place: Place) -> dict[str, str]:
        if not isinstance(value, dict):
            raise Wrong(f"must be a table, not {said(value)}")
        for key in value:
            if not key or "=" in key or "\0" in key:
                place.at(key).wrong("cannot be the name of a variable")
            elif key.startswith("NINELIVES_"):
                place.at(key).wrong("names that begin with NINELIVES_ are set by ninelives itself")
        return readers.collect({key: (plain, item) for key, item in value.items()}, place)

    return Reader(read, {"type": "object", "additionalProperties": {"type": "string"}}, "table of strings")


def environment_file() -> Reader:
    """A file of KEY=VALUE lines, read at once to its variables; "-path" need not exist."""
    plain = readers.string("-?[^-][\\s\\S]*", "a path", "path")

    def read(value: Any, place: Place) -> dict[str, str]:
        given = plain.read(value, place)
        file = os.path.normpath(os.path.join(place.folder, given.removeprefix("-")))
        return read_environment(file, place, optional=given.startswith("-"))

    return Reader(read, plain.schema, "path")
