"""`ninelives events` and `logs`: the lines the service keeps and writes, for people or as JSON.

A line carries the number the pump gave it. When the connection ends because the pump was restarted, we go on
after the last number seen: no line twice, none left out that the pump still has.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor.cli import client

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

_AGAIN_S = 0.1
_TAIL = 10  # lines shown before following, unless --last or --since says otherwise


def main(args: argparse.Namespace) -> int:
    """Print the lines that are there and, with -f, those to come until Ctrl-C."""
    path = client.find(args.name, args.socket)
    show = _shower(as_json=args.json)
    try:
        for line in _lines(path, wanted(args, time.time()), follow=args.follow):
            show(line)
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


def _lines(path: str, chosen: dict[str, Any], *, follow: bool) -> Iterator[bytes]:
    seen: tuple[Any, int] | None = None
    while True:
        request = {"verb": "follow", "follow": follow, "filter": chosen}
        if seen is not None:
            resumed = {key: value for key, value in chosen.items() if key not in {"last", "since"}}
            request["filter"] = {**resumed, "instance": seen[0], "after": seen[1]}
        for line in _connection(path, request):
            record = _record(line)
            if "seq" in record:  # what the pump says to us alone has no number
                seen = record.get("instance_id"), record["seq"]
            yield line
        if not follow:
            return
        time.sleep(_AGAIN_S)


def _connection(path: str, request: dict[str, Any]) -> Iterator[bytes]:
    with client.connect(path, None) as sock:
        try:
            client.send(sock, {"id": 1, **request})
        except client.Dropped:
            return
        # One reader for the answer and the lines after it, for they come in one piece.
        lines = client.lines(sock, None)
        first = next(lines, None)
        if first is not None:
            client.result(first)
            yield from lines


def _record(line: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line)
    if record.get("ok") is False and "event" not in record:
        client.result(line)  # the service had to give up after it had said yes
    return record


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
