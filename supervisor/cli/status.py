"""`ninelives status`: the state as JSON, as a table that fits the terminal, or as one that is redrawn.

What is shown is what the service said; only the layout is decided here.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor.cli import client
from supervisor.cli.paint import Column, cut, duration, harmless, paint, size, table

if TYPE_CHECKING:
    import argparse

_COLOURS = {
    "ready": "green",
    "starting": "cyan",
    "stopping": "yellow",
    "backing_off": "yellow",
    "waiting": "cyan",
    "quarantined": "red",
    "down": "dim",
}
_COLUMNS = [
    Column("WORKER"),
    Column("PHASE"),
    Column("PID", right=True),
    Column("UP", right=True),
    Column("RESTARTS", right=True),
    Column("STREAK", right=True, drop=3),
    Column("STANDBY", right=True, drop=2),
    Column("BEAT", right=True, drop=4),
    Column("MEMORY", right=True, drop=6),
    Column("CPU", right=True, drop=5),
    Column("LAST ENDING", drop=7),
]
_GROUP_COLUMNS = [
    Column("GROUP"),
    Column("PHASE"),
    Column("STREAK", right=True),
    Column("STRATEGY", drop=2),
    Column("MEMBERS", drop=1),
]
_EVERY_S = 1.0
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # alternate screen, cursor hidden; and back


def main(args: argparse.Namespace) -> int:
    """Show it once, or again and again; 3 if a named worker is not there."""
    path = client.find(args.name, args.socket)
    if args.watch:
        return _watch(path, args.workers)
    state = _fetch(path, args.workers)
    if args.json:
        print(json.dumps(state, indent=2 if sys.stdout.isatty() else None))
    else:
        colour, columns = _terminal()
        print("\n".join(draw(state, colour=colour, columns=columns)))
    return 0


def draw(state: dict[str, Any], *, colour: bool, columns: int) -> list[str]:
    """Lay a status answer out: the sentence, the workers, and groups that are worth a line."""
    service = state.get("supervisor", {})
    workers = state.get("workers", [])
    head = f"{service.get('name')}: {state.get('status') or sentence(workers)}"
    facts = f"supervisor {service.get('pid')}, up {duration(service.get('uptime_s'))}"
    if service.get("resumes"):
        facts += f", resumed {service['resumes']} times"
    rows = [_row(worker, colour=colour) for worker in workers]
    lines = [
        paint(cut(harmless(head), columns), "bold", on=colour),
        paint(cut(facts, columns), "dim", on=colour),
        "",
    ]
    lines += table(_COLUMNS, rows, fits=columns) if rows else ["no workers"]
    if groups := state.get("groups"):
        lines += [
            "",
            *table(_GROUP_COLUMNS, [_group(group, colour=colour) for group in groups], fits=columns),
        ]
    return lines


def sentence(workers: list[dict[str, Any]]) -> str:
    """Say the whole in one line: 41 of 42 ready, 1 quarantined: mailer."""
    wanted = [worker for worker in workers if worker.get("want") == "up"]
    ready = sum(worker.get("phase") == "ready" for worker in wanted)
    given_up = [str(worker["worker"]) for worker in workers if worker.get("phase") == "quarantined"]
    said = f"{ready} of {len(wanted)} ready"
    return said + (f", {len(given_up)} quarantined: {', '.join(given_up)}" if given_up else "")


def _row(worker: dict[str, Any], *, colour: bool) -> list[str]:
    phase = str(worker.get("phase"))
    shown = _completed(worker) if phase == "down" and worker.get("want") == "up" else phase
    streak = worker.get("streak") or 0
    return [
        harmless(str(worker.get("worker"))),
        paint(shown, _COLOURS.get(phase), on=colour),
        _number(worker.get("pid")),
        duration(worker.get("uptime_s")),
        _number(worker.get("restarts")),
        paint(str(streak), "yellow" if streak else None, on=colour),
        _number(worker.get("standbys")),
        duration(worker.get("beat_age_s")),
        size(worker.get("rss_bytes")),
        duration(worker.get("cpu_s")),
        harmless(_ending(worker.get("last_ending"))),
    ]


def _completed(worker: dict[str, Any]) -> str:
    """Down though it is wanted: it has done what it was for, or it failed and is not restarted."""
    ending = worker.get("last_ending")
    if not isinstance(ending, dict):
        return "down"
    return "completed" if ending.get("result") == "success" else "failed"


def _ending(ending: Any) -> str:
    if not isinstance(ending, dict):
        return str(ending or "-")
    result = str(ending.get("result", "?"))
    detail = ending.get("signal") or ending.get("exit_code")
    how = result if detail is None or result == "success" else f"{result} {detail}"
    if ending.get("uptime_s") is not None:
        how += f" after {duration(ending['uptime_s'])}"
    return how + (f": {ending['why']}" if ending.get("why") else "")


def _group(group: dict[str, Any], *, colour: bool) -> list[str]:
    phase = str(group.get("phase"))
    members = " ".join(map(str, group.get("members") or []))
    return [
        harmless(str(group.get("group"))),
        paint(phase, _COLOURS.get(phase), on=colour),
        _number(group.get("streak")),
        str(group.get("strategy")),
        harmless(members),
    ]


def _number(value: Any) -> str:
    return "-" if value is None else str(value)


def _fetch(path: str, patterns: list[str]) -> dict[str, Any]:
    one = patterns[0] if len(patterns) == 1 and not set(patterns[0]) & set("*?[") else None
    state: dict[str, Any] = client.ask(path, {"verb": "status", "worker": one})
    if not patterns or one is not None:
        return state
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(worker["worker"], pattern) for worker in state["workers"]):
            raise client.Denied(f"no worker matches {pattern!r}", 3)
    for kind, key in (("workers", "worker"), ("groups", "group")):
        state[kind] = [
            one
            for one in state.get(kind, [])
            if any(fnmatch.fnmatchcase(one[key], pattern) for pattern in patterns)
        ]
    return state


def _terminal() -> tuple[bool, int]:
    """Whether to colour, and how many columns there are; without a terminal nothing is cut."""
    if not sys.stdout.isatty():
        return False, 10_000
    return not os.environ.get("NO_COLOR"), _size()[0]


def _size() -> tuple[int, int]:
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return columns or 80, rows or 24  # a terminal nobody has told its size says 0


def _watch(path: str, patterns: list[str]) -> int:
    """Redraw in place until Ctrl-C; a service that is away is said so and waited for."""
    if not sys.stdout.isatty():
        raise client.Denied("--watch draws on a terminal; use --json in scripts", 2)
    sys.stdout.write(_ENTER)
    try:
        while True:
            began = time.monotonic()
            colour, columns = _terminal()
            try:
                lines = draw(_fetch(path, patterns), colour=colour, columns=columns)
            except (client.NoAnswer, client.Dropped) as error:
                lines = [paint(cut(str(error), columns), "red", on=colour)]
            rows = _size()[1]
            # Home, overwrite, clear what is left of each line: a cleared screen would flicker.
            sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in lines[: rows - 1]) + "\x1b[J")
            sys.stdout.flush()
            time.sleep(max(0.0, began + _EVERY_S - time.monotonic()))
    except KeyboardInterrupt:
        return 0
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
