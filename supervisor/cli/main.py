"""`ninelives`: from the words typed to an exit code.

The rule of this file: errors are sentences on stderr, and the exit code says of which kind; a traceback means
a mistake of ours. Each command's module is imported only when it is what was typed.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from supervisor.cli import parser

_CLIENTS = dict.fromkeys(
    ("start", "stop", "restart", "release", "scale", "reload", "upgrade", "shutdown"), "change:main"
) | {"status": "status:main", "events": "follow:main", "logs": "follow:main", "chaos": "chaos:main"}
_LOCAL = {
    "run": "local:run",
    "check": "local:check",
    "schema": "local:schema",
    "version": "local:version",
    "doctor": "doctor:main",
    "demo": "demo:main",
    "systemd": "systemd:main",
    "completion": "words:completion",
    "man": "words:man",
}
COMMANDS = _CLIENTS | _LOCAL
INTERRUPTED = 130  # as a shell reports a program that SIGINT ended


def main(argv: list[str]) -> int:
    """Run one command; argv without the program's name. SystemExit(2) on wrong usage, as argparse does."""
    typed = next((word for word in argv if not word.startswith("-")), "")
    args = parser.build(typed).parse_args(argv)
    module, function = COMMANDS[args.command].split(":")
    command: Any = getattr(importlib.import_module(f"supervisor.cli.{module}"), function)
    if args.command not in _CLIENTS:
        return int(command(args))
    from supervisor import place  # noqa: PLC0415 - not for `version`
    from supervisor.cli import client  # noqa: PLC0415

    try:
        return int(command(args))
    except (client.NoAnswer, client.Dropped, client.Denied) as error:
        print(f"ninelives {args.command}: {error}", file=sys.stderr)
        return error.code
    except place.PlaceError as error:
        print(f"ninelives {args.command}: {error}", file=sys.stderr)
        return 2


def entry() -> None:
    """Be the console script."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough (`| head`). Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    entry()
