"""The commands, their options and their help: the one place from which completion and the man page come too.

argparse and nothing else is imported: `ninelives status` is typed by people and by scripts in loops.
"""

from __future__ import annotations

import argparse
import importlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODES = """\
exit codes:
  0   done
  1   failed, or the state asked about does not hold; deviated (chaos)
  2   usage; a bad config (from check)
  3   refused
  4   no service answers; aborted (chaos)
  10  a significant worker was given up (from run)
  78  a bad config (from run)
  130 interrupted with Ctrl-C"""


LEVELS = ("debug", "info", "warning", "error", "critical")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows its width: to find it argparse imports shutil, which takes as long as all the rest of a command."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=96)


def build(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser. `command`: the one that was typed, for which alone more is imported; None: all."""
    parser = argparse.ArgumentParser(
        prog="ninelives",
        description="Keep workers running, each in its own address space: a failure stays where it happened.",
        epilog=EXIT_CODES,
        formatter_class=Formatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="ninelives")

    def add(name: str, summary: str, *, service: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", formatter_class=Formatter
        )
        if service:
            which = sub.add_mutually_exclusive_group()
            which.add_argument("-n", "--name", help="the service to talk to (default: the only one there is)")
            which.add_argument("--socket", metavar="PATH", help="its control socket")
        return sub

    _local(add)
    _asking(add)
    _changing(add)
    _logs(add)
    _chaos(add, command)
    _machine(add, command)
    return parser


def seconds(text: str) -> float:
    """Read a duration such as 10, 10s, 5m, 2h or 1d; ArgumentTypeError otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30s, 10m or 2h")
    return float(found[1]) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def expression(text: str) -> str:
    """Check a regular expression; ArgumentTypeError says where it is wrong."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error
    return text


def count(text: str) -> int:
    """Read a number of things, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _local(add: Callable[..., argparse.ArgumentParser]) -> None:
    run = add("run", "start a service in the foreground", service=False)
    run.add_argument("config", metavar="CONFIG", help="the TOML file")
    run.add_argument(
        "--log-format",
        choices=("auto", "json", "console"),
        default="auto",
        help="auto: for people on a terminal, JSON otherwise",
    )
    run.add_argument("-n", "--name", help="instead of the name in the config")
    check = add("check", "check a config and report everything that is wrong with it", service=False)
    check.add_argument("config", metavar="CONFIG", help="the TOML file")
    check.add_argument("--show", action="store_true", help="print the whole effective config, defaults filled in")
    add("schema", "print the JSON Schema of the config, for editors", service=False)
    add("version", "print the version", service=False)


def _asking(add: Callable[..., argparse.ArgumentParser]) -> None:
    status = add("status", "show what the service and its workers are doing")
    status.add_argument("workers", metavar="WORKER", nargs="*", help="names or globs; all if there is none")
    how = status.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print the answer as JSON")
    how.add_argument("--watch", action="store_true", help="redraw every second until Ctrl-C")


def _changing(add: Callable[..., argparse.ArgumentParser]) -> None:
    for name, summary in (
        ("start", "want workers up"),
        ("stop", "want workers down"),
        ("restart", "give workers a new life"),
        ("release", "let workers out of quarantine"),
    ):
        sub = add(name, summary)
        sub.add_argument("workers", metavar="WORKER", nargs="+", help="names or globs of workers and groups")
        if name == "restart":
            sub.add_argument("--rolling", action="store_true", help="one after another, each when the last is ready")
        if name != "release":
            sub.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait until it is so")
    scale = add("scale", "change the number of a worker's replicas; the others are not touched")
    scale.add_argument("worker", metavar="WORKER", help="its name in the config")
    scale.add_argument("replicas", metavar="N", type=count, help="how many there shall be")
    reload = add("reload", "read the config again and touch only what changed")
    reload.add_argument("--diff", action="store_true", help="only tell what would be done")
    add("upgrade", "let newly installed code take over; no worker notices")
    shutdown = add("shutdown", "stop all workers and the service")
    shutdown.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait until it has gone")


def _logs(add: Callable[..., argparse.ArgumentParser]) -> None:
    events = add("events", "show what happened: the service's own events")
    logs = add("logs", "show what the workers wrote")
    for sub in (events, logs):
        sub.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C, through any restart")
        sub.add_argument("-w", "--worker", metavar="GLOB", help="only of these workers")
        sub.add_argument("--since", type=seconds, metavar="DURATION", help="not older than, for instance, 10m")
        sub.add_argument("--grep", type=expression, metavar="RE", help="only lines that match")
        sub.add_argument("--last", type=count, metavar="N", help="at most N of the lines that are already there")
        sub.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")
    events.add_argument("--event", metavar="GLOB", help="for instance 'worker.*'")
    events.add_argument("--level", choices=LEVELS, help="this level and above")
    logs.add_argument("--stream", choices=("stdout", "stderr"), help="only one of the two")


def _chaos(add: Callable[..., argparse.ArgumentParser], command: str | None) -> None:
    chaos = add("chaos", "break workers on purpose, and see that nothing else breaks", service=False)
    if command in {None, "chaos"}:
        _fill(chaos, "supervisor.cli.chaos_parser")


def _machine(add: Callable[..., argparse.ArgumentParser], command: str | None) -> None:
    # These three are written by other modules; they are imported only when they are what was typed.
    systemd = add("systemd", "print, install or check the systemd unit", service=False)
    if command in {None, "systemd"}:
        _fill(systemd, "supervisor.cli.systemd")
    doctor = add("doctor", "tell what this machine offers and what follows from it", service=False)
    if command in {None, "doctor"}:
        _fill(doctor, "supervisor.cli.doctor")
    demo = add("demo", "try what notes on multiprocessing claim, on this machine, in about a minute", service=False)
    if command in {None, "demo"}:
        _fill(demo, "supervisor.cli.demo")
    completion = add("completion", "print the completion script of a shell", service=False)
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    add("man", "print the man page (roff)", service=False)


def _fill(parser: argparse.ArgumentParser, module: str) -> None:
    fill: Any = getattr(importlib.import_module(module), "add_arguments", None)
    if fill is not None:
        fill(parser)
