"""The commands that need no running service: run, check, schema, version.

They import the config's machinery, which the client's commands do not pay for.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import supervisor

if TYPE_CHECKING:
    import argparse

BAD_CONFIG_RUN = 78  # EX_CONFIG: systemd's RestartPreventExitStatus= can name it


def run(args: argparse.Namespace) -> int:  # noqa: RET503 - execve does not return
    """Check the config, then become the anchor of its service; returns only when that is impossible."""
    from supervisor import anchor, config, problems  # noqa: PLC0415

    path = os.path.abspath(args.config)
    try:
        loaded = config.load(path)
    except problems.BadConfig as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG_RUN
    argv, environment = anchor.command(path, args.log_format, args.name or loaded.name)
    sys.stdout.flush()
    os.execve(argv[0], argv, environment)  # noqa: S606 - no shell is wanted


def check(args: argparse.Namespace) -> int:
    """Tell everything that is wrong with a config (2), or that nothing is."""
    from supervisor import config  # noqa: PLC0415

    loaded, wrong = config.check(os.path.abspath(args.config))
    for problem in wrong:
        print(problem, file=sys.stderr)
    if wrong or loaded is None:
        print(f"{args.config}: {len(wrong)} {'mistake' if len(wrong) == 1 else 'mistakes'}", file=sys.stderr)
        return 2
    if args.show:
        print(config.show(loaded))
    else:
        print(f"{args.config}: good: {len(loaded.workers)} workers, {len(loaded.groups)} groups")
    return 0


def schema(_args: argparse.Namespace) -> int:
    """Print the JSON Schema that editors use."""
    from supervisor.schema import schema_text  # noqa: PLC0415

    print(schema_text().rstrip())
    return 0


def version(_args: argparse.Namespace) -> int:
    """Print it."""
    print(f"ninelives {supervisor.__version__}")
    return 0
