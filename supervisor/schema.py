"""The JSON Schema (2020-12) of a config file, and the reference of its keys, from the table that reads them.

config/ninelives.schema.json and docs/config.md are what this makes; a test holds them to it.
`python -m supervisor.schema` writes them anew.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from supervisor import forms, keys, parts, readers, units
from supervisor.effective import chaos_tree, group_tree, service_tree, template_tree, toml, worker_tree
from supervisor.spec import ChaosRules, ChildSpec, Config, GroupSpec, Output, Probe, TemplateSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLES: dict[str, tuple[Mapping[str, readers.Key], dict[str, Any]]] = {
    "supervisor": (keys.SUPERVISOR, service_tree(Config(source="")) | {"path": None}),
    "chaos": (keys.CHAOS, chaos_tree(ChaosRules())),
    "templates": (keys.TEMPLATE, template_tree(TemplateSpec(name=""))),
    "workers": (keys.WORKER, worker_tree(ChildSpec(name=""))),
    "groups": (keys.GROUP, group_tree(GroupSpec(name="", members=())) | {"members": None}),
}
"""The known keys of each table, and their defaults as they stand in TOML."""

_PARTS: dict[str, tuple[str, Mapping[str, readers.Key], dict[str, Any]]] = {
    "backoff": (
        "Waits are `first`, then `initial * multiplier**n` up to `max`, plus up to `jitter`.",
        parts.BACKOFF,
        worker_tree(ChildSpec(name=""))["backoff"],
    ),
    "ready": (
        "A probe has exactly one of `http`, `tcp`, `exec`.",
        parts.PROBE,
        worker_tree(ChildSpec(name="", ready=Probe()))["ready"],
    ),
    "on_quarantine": ("The third way, beside the words.", parts.PROBATION, {}),
    "output": (
        'Without `file` the lines become events, as with `"capture"`.',
        parts.OUTPUT,
        worker_tree(ChildSpec(name="", output=Output(to="file", file=" ")))["output"] | {"file": None},
    ),
    "control": ("For `[supervisor]`.", parts.CONTROL, service_tree(Config(source=""))["control"]),
}


def schema() -> dict[str, Any]:
    """JSON Schema of a config file, for editors that complete keys and mark mistakes."""
    named = {"type": "object", "propertyNames": {"pattern": f"^{forms.NAME}$"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ninelives config",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "supervisor": {"$ref": "#/$defs/supervisor"},
            "chaos": {"$ref": "#/$defs/chaos"},
            "templates": named | {"additionalProperties": {"$ref": "#/$defs/templates"}},
            "workers": named | {"additionalProperties": {"$ref": "#/$defs/workers"}},
            "groups": named | {"additionalProperties": {"$ref": "#/$defs/groups"}},
        },
        "$defs": {
            "duration": _number_or(
                units.DURATION, {"type": "number", "minimum": 0, "maximum": units.LONGEST}
            ),
            "size": _number_or(units.SIZE, {"type": "integer", "minimum": 0, "maximum": units.LARGEST}),
            "supervisor": _with_defaults("supervisor"),
            "chaos": _with_defaults("chaos"),
            "templates": _with_defaults("templates"),
            "workers": _with_defaults("workers")
            | {"oneOf": [{"required": ["target"]}, {"required": ["command"]}]},
            "groups": _with_defaults("groups") | {"required": ["members"]},
        },
    }


def schema_text() -> str:
    """The schema as it stands in config/ninelives.schema.json and as `ninelives schema` prints it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """docs/config.md: every key with type, default and one line."""
    parts = [_HEAD]
    for name, (known, defaults) in _TABLES.items():
        title = f"[{name}]" if name in {"supervisor", "chaos"} else f"[{name}.NAME]"
        parts.append(f"## `{title}`\n\n{_rows(known, defaults)}")
    for name, (note, known, defaults) in _PARTS.items():
        parts.append(f"## `{name} = {{ … }}`\n\n{note}\n\n{_rows(known, defaults)}")
    return "\n".join(parts)


_HEAD = """# The config file

Made from the table in `supervisor/keys.py` by `python -m supervisor.schema`; do not edit.

A TOML file with the tables below. Durations are numbers of seconds or strings such as `"500ms"`, `"5s"`,
`"1h30m"`; sizes are numbers of bytes or strings such as `"64K"`, `"100M"`, `"1G"` (1024 to the step).
Relative paths begin at the config file's folder. Names are up to 64 letters, digits, dots, dashes and
underscores. An unknown key is an error.
`ninelives check --show CONFIG` prints the whole effective config.
"""


def _number_or(pattern: str, number: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [number, {"type": "string", "pattern": f"^{pattern}$"}]}


def _with_defaults(name: str) -> dict[str, Any]:
    known, defaults = _TABLES[name]
    made = readers.object_schema(known)
    for key, default in defaults.items():
        if default is not None:
            made["properties"][key]["default"] = default
    return made


def _rows(known: Mapping[str, readers.Key], defaults: Mapping[str, Any]) -> str:
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for name, key in known.items():
        default = defaults.get(name)
        shown = "" if default is None else f"`{toml(default)}`"
        rows.append(f"| `{name}` | {key.reader.kind} | {shown} | {key.explain} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    with open("config/ninelives.schema.json", "w") as _file:
        _file.write(schema_text())
    with open("docs/config.md", "w") as _file:
        _file.write(reference())
