"""The commands that change something: start, stop, restart, release, scale, reload, upgrade, shutdown.

Each is one request. What may be asked twice is asked again when the supervisor dies in the middle; for the
rest, the sentence says what is known.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from supervisor.cli import client

if TYPE_CHECKING:
    import argparse

_GONE_S = 0.05


def main(args: argparse.Namespace) -> int:
    """Ask for the change and say what came of it."""
    path = client.find(args.name, args.socket)
    match args.command:
        case "upgrade":
            return _upgrade(path)
        case "shutdown":
            return _shutdown(path, wait=args.wait)
        case "restart":
            return _restart(path, args)
    request = _request(args)
    _tell(client.ask(path, request, patience=None))
    return 0


def _request(args: argparse.Namespace) -> dict[str, Any]:
    match args.command:
        case "scale":
            return {"verb": "scale", "worker": args.worker, "replicas": args.replicas}
        case "reload":
            return {"verb": "reload", "diff": args.diff}
        case "release":
            return {"verb": "release", "workers": args.workers}
    return {"verb": args.command, "workers": args.workers, "wait": args.wait}


def _restart(path: str, args: argparse.Namespace) -> int:
    request = {"verb": "restart", "workers": args.workers, "rolling": args.rolling, "wait": args.wait}
    try:
        _tell(client.ask(path, request, patience=None, again=False))
    except client.Dropped as error:
        # Asked again, it could restart twice what was restarted already.
        sentence = f"{error}; whether {' '.join(args.workers)} were restarted, `ninelives status` says"
        raise client.Dropped(sentence) from error
    return 0


def _upgrade(path: str) -> int:
    """Upgraded is when another process answers as the supervisor."""
    before = client.ask(path, {"verb": "status"})["supervisor"]
    try:
        _tell(client.ask(path, {"verb": "upgrade"}, patience=None, again=False))
    except client.Dropped:
        after = client.ask(path, {"verb": "status"})["supervisor"]
        if after.get("pid") == before.get("pid"):
            raise client.Dropped("the same supervisor is still there: not upgraded") from None
        print(f"upgraded: supervisor {before.get('pid')} made way for {after.get('pid')}")
    return 0


def _shutdown(path: str, *, wait: bool) -> int:
    """Stopped is when the socket answers no more: the anchor, which holds it, has gone."""
    try:
        client.ask(path, {"verb": "shutdown"}, patience=None)
    except client.NoAnswer as error:
        if isinstance(error.__context__, client.Dropped):
            return 0
        raise
    while wait:
        try:
            client.connect(path, time.monotonic()).close()
        except client.NoAnswer:
            return 0
        time.sleep(_GONE_S)
    return 0


def _tell(result: Any) -> None:
    """Print what a person wants to know of an answer: text as it is, the rest as `name: value`."""
    if not isinstance(result, dict):
        result = {} if result is None else {"result": result}
    for name, value in result.items():
        if name == "changes":
            print(value or "nothing changes")
        elif isinstance(value, list):
            print(f"{name}: {', '.join(map(str, value)) or 'none'}")
        else:
            print(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
