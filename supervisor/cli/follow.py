"""`ninelives events` and `logs`: the lines the service keeps and writes, for people or as JSON."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor.cli import client
from supervisor.cli.stream import Stream

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_TAIL = 10  # lines shown before following, unless --last or --since says otherwise


def main(args: argparse.Namespace) -> int:
    """Print the lines that are there and, with -f, those to come until Ctrl-C."""
    path = client.find(args.name, args.socket)
    show = _shower(as_json=args.json)
    try:
        stream = Stream(path, wanted(args, time.time()))
        for line in stream.followed() if args.follow else stream.kept():
            show(line.raw)
    except KeyboardInterrupt:
        return 0
    return 0


def wanted(args: argparse.Namespace, now: float) -> dict[str, Any]:
    """Turn options into the filter of a follow request; `now` in seconds since 1970."""
    last = args.last
    if args.follow and last is None and args.since is None:
        last = _TAIL
    everything = {
        "events": "worker.output" if args.command == "logs" else args.event,
        "output": None if args.command == "logs" else False,
        "level": getattr(args, "level", None),
        "stream": getattr(args, "stream", None),
        "worker": args.worker,
        "grep": args.grep,
        "since": None if args.since is None else now - args.since,
        "last": last,
    }
    return {key: value for key, value in everything.items() if value is not None}


def _shower(*, as_json: bool) -> Callable[[bytes], None]:
    if as_json or not sys.stdout.isatty():

        def show_json(line: bytes) -> None:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()

        return show_json
    from supervisor.pump.render import choose  # noqa: PLC0415 - only a terminal needs it

    render = choose("console", sys.stdout.fileno())

    def show(line: bytes) -> None:
        sys.stdout.buffer.write(render(line + b"\n"))
        sys.stdout.buffer.flush()

    return show
