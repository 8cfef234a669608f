"""Files of KEY=VALUE lines, as systemd and Docker read them: comments, quotes, no expansion, no shell."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from supervisor.problems import Wrong

if TYPE_CHECKING:
    from supervisor.problems import Place

LARGEST_FILE = 8 * 1024 * 1024


def read_file(path: str) -> str:
    """The text of a regular file; raises Wrong with a sentence for whatever is the matter with it."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Wrong("is not a regular file")
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Wrong(f"cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise Wrong("cannot be read: its path contains a NUL character") from None
    if len(data) > LARGEST_FILE:
        raise Wrong("is larger than 8 MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Wrong(f"is not UTF-8 (line {line})") from None


def read_environment(path: str, place: Place, *, optional: bool) -> dict[str, str]:
    """The variables in a file; its problems are kept at `place`, each with file and line."""
    if optional and not os.path.exists(path):
        return {}
    try:
        lines = read_file(path).splitlines()
    except Wrong as wrong:
        raise Wrong(
            f"{path} {wrong.what}", None if optional else 'a file that may be missing is written "-path"'
        ) from None
    found = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()  # noqa: PLW2901 - the line as it was is of no use
        if not line or line[0] in "#;":
            continue
        try:
            key, value = _assignment(line)
            found[key] = value
        except Wrong as wrong:
            place.wrong(f"{path}, line {number}: {wrong.what}", wrong.suggestion)
    return found


def _open_at_once(path: str, flags: int) -> int:
    # A plain open of a FIFO would wait for a writer who may never come.
    return os.open(path, flags | os.O_NONBLOCK)


def _assignment(line: str) -> tuple[str, str]:
    key, equals, value = line.partition("=")
    key, value = key.strip(), value.strip()
    if not equals:
        raise Wrong("is not KEY=VALUE")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key):
        exported = key.startswith("export ")
        raise Wrong(
            f"{key[:60]!r} cannot be the name of a variable", "leave out export" if exported else None
        )
    if key.startswith("NINELIVES_"):
        raise Wrong("names that begin with NINELIVES_ are set by ninelives itself")
    if "\0" in value:
        raise Wrong("the value contains a NUL character")
    return key, _unquoted(value)


def _unquoted(value: str) -> str:
    if value[:1] not in ("'", '"'):
        return value
    if len(value) < 2 or value[-1] != value[0]:
        raise Wrong(f"the quote {value[0]} is not closed")
    inside = value[1:-1]
    return inside if value[0] == "'" else re.sub(r'\\(["\\$`])', r"\1", inside)
