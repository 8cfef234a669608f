"""`ninelives chaos`: which of its words was typed; and those that inject nothing: list, halt, report.

What is injected is `chaos_inject`'s and `chaos_run`'s.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from supervisor.cli import client
from supervisor.cli.paint import Column, harmless, paint, table

if TYPE_CHECKING:
    import argparse

_ACTIONS = {
    "list": "chaos:show",
    "halt": "chaos:halt",
    "report": "chaos:report",
    "inject": "chaos_inject:main",
    "run": "chaos_run:run",
    "monkey": "chaos_run:monkey_run",
    "soak": "chaos_soak:main",
}
_COLUMNS = [Column("KIND"), Column("WHERE"), Column("LASTS", drop=2), Column("ENDS A LIFE", drop=1), Column("WHAT")]
LISTED = 12  # workers by name
_LIFE = {"ending": "always", "maybe": "perhaps", "never": "never"}


def main(args: argparse.Namespace) -> int:
    """Do what was typed; the exit code."""
    args.command = f"chaos {args.action}"  # so that errors are told of it
    module, function = _ACTIONS[args.action].split(":")
    action: Any = getattr(importlib.import_module(f"supervisor.cli.{module}"), function)
    return int(action(args))


# -- list


def show(args: argparse.Namespace) -> int:
    """Tell the kinds as the service has them; without a service, as this machine would."""
    try:
        chaos = client.ask(client.find(args.name, args.socket), {"verb": "chaos"})
    except client.NoAnswer as error:
        if args.name is not None or args.socket is not None:
            raise
        print(f"{error}; this is what this machine could do", file=sys.stderr)
        chaos = _without_a_service()
    if args.kinds:
        chaos["kinds"] = _chosen(chaos["kinds"], args.kinds)
    if args.json:
        print(json.dumps(chaos, indent=2 if sys.stdout.isatty() else None))
        return 0
    colour, columns = _terminal()
    lines = _all_of(chaos["kinds"]) if args.kinds else [*_head(chaos), *_table(chaos["kinds"], colour, columns)]
    print("\n".join(lines))
    return 0


def _without_a_service() -> dict[str, Any]:
    from supervisor.chaos import catalogue  # noqa: PLC0415 - only when nobody answers

    return {"kinds": [catalogue.describe(kind) for kind in catalogue.kinds()]}


def _chosen(kinds: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    there = {each["kind"]: each for each in kinds}
    for name in names:
        if name not in there:
            raise client.Denied(f"no kind of fault is called {name!r}; there are {', '.join(there)}", 2)
    return [there[name] for name in names]


def _head(chaos: dict[str, Any]) -> list[str]:
    if "enabled" not in chaos:
        return []
    if not chaos["enabled"]:
        return ["chaos is off: set enabled = true under [chaos], and chaos = true for each worker that may be hit", ""]
    settings, ready = chaos["settings"], set(chaos["ready"])
    shown = [harmless(name if name in ready else f"{name} (not now)") for name in chaos["may_hit"]]
    more = f" and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
    nobody = "nobody; set chaos = true for each worker that may"
    floor = f"undone when less than {settings['abort_below']:.0%} are ready"
    parts = "may be hit too" if settings["parts"] else "not (parts = false)"
    return [
        f"may be hit: {', '.join(shown[:LISTED]) or nobody}{more}",
        f"at a time: {settings['max_count']}, and no more than {settings['max_percent']:g} % of them; {floor}",
        f"the service's own processes: {parts}",
        *(_going_on(each) for each in chaos["active"]),
        "",
    ]


def _going_on(active: dict[str, Any]) -> str:
    return f"going on: {active['kind']} of {harmless(active['worker'] or 'the service')} ({active['chaos_id']})"


def _table(kinds: list[dict[str, Any]], colour: bool, columns: int) -> list[str]:
    rows = []
    for each in kinds:
        what = each["summary"] if each["possible"] else paint(f"impossible here: {each['why']}", "yellow", on=colour)
        rows.append([each["kind"], each["place"], "yes" if each["lasting"] else "no", _LIFE[each["ends"]], what])
    return table(_COLUMNS, rows, fits=columns)


def _all_of(kinds: list[dict[str, Any]]) -> list[str]:
    lines = []
    for each in kinds:
        lines += [
            f"{each['kind']}: {each['summary']}",
            f"  where       {each['place']}",
            f"  ends a life {_LIFE[each['ends']]}",
            f"  noticed     {each['detected']}",
            f"  undone      {each['undone'] or 'there is nothing to undo'}",
            f"  here        {'possible' if each['possible'] else 'impossible: ' + each['why']}",
        ]
        for one in each["parameters"]:
            words = f" ({'|'.join(one['words'])})" if one.get("words") else ""
            lines.append(f"  -p {one['name']}={one['default']}{words}  {one['summary']}")
        lines.append("")
    return lines[:-1]


def _terminal() -> tuple[bool, int]:
    if not sys.stdout.isatty():
        return False, 10_000
    return not os.environ.get("NO_COLOR"), os.get_terminal_size(sys.stdout.fileno()).columns or 80


# -- halt


def halt(args: argparse.Namespace) -> int:
    """Undo everything; it is no error when there is nothing."""
    request = {"verb": "halt", "lease": None, "chaos_ids": None}
    undone = client.ask(client.find(args.name, args.socket), request, patience=30.0)["undone"]
    print(f"undone: {', '.join(undone)}" if undone else "nothing was going on")
    return 0


# -- report


def report(args: argparse.Namespace) -> int:
    """Tell what a journal tells, and end as the run ended."""
    from supervisor.chaos import journal, record  # noqa: PLC0415 - not for the others
    from supervisor.cli.chaos_report import tell  # noqa: PLC0415

    try:
        return tell(journal.loaded(args.journal), args)
    except (journal.NotAJournal, record.NoRecord) as error:
        raise client.Denied(str(error), 2) from error
    except OSError as error:
        raise client.Denied(f"{args.journal}: {error.strerror or error}", 2) from error
