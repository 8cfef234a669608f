"""The words of `ninelives chaos`, their options and their help.

Imported only when `chaos` was typed, or for completion and the man page, which show all of it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from supervisor.cli import parser

if TYPE_CHECKING:
    from collections.abc import Callable

    Add = Callable[[str, str], argparse.ArgumentParser]

EXIT_CODES = """\
exit codes:
  0    held: everything recovered, nothing but the targets was hurt
  1    deviated
  2    usage; a bad experiment
  3    refused: not enabled, not opted in, more than the config allows, impossible here
  4    aborted: too few workers were ready, or somebody halted it; no service answers
  130  interrupted; what was injected is undone"""

FORMATS = ("text", "json", "md", "junit", "html")
HYPOTHESIS = ("default", "before-method-only", "after-method-only", "during-method-only", "continuously")
ROLLBACKS = ("default", "always", "never", "deviated")
DRY = ("probes", "actions", "activities", "pause")
JOURNAL = "journal.json"


def add_arguments(chaos: argparse.ArgumentParser) -> None:
    """Add the subcommands of `chaos`."""
    chaos.epilog = EXIT_CODES
    actions = chaos.add_subparsers(dest="action", metavar="ACTION", required=True, prog="ninelives chaos")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=EXIT_CODES,
            formatter_class=parser.Formatter,
        )  # fmt: skip

    _list(add)
    _inject(add)
    _run(add)
    _monkey(add)
    _soak(add)
    _report(add)
    _add_service(add("halt", "undo every fault that goes on, now; whoever injects is stopped"))


def _list(add: Add) -> None:
    sub = add("list", "show the kinds of fault, what they take, and what is possible here")
    sub.add_argument(
        "kinds", metavar="KIND", nargs="*", help="all that is known of these; a line of each if there is none"
    )
    sub.add_argument("--json", action="store_true", help="print the answer as JSON")
    _add_service(sub)


def _inject(add: Add) -> None:
    sub = add("inject", "inject one kind of fault, wait until it is over, and tell what came of it")
    sub.add_argument("kind", metavar="KIND", help="see `ninelives chaos list`")
    _add_targets(sub)
    sub.add_argument(
        "--for",
        dest="seconds",
        type=parser.seconds,
        metavar="DURATION",
        help="how long a lasting fault lasts (default: 10s)",
    )
    sub.add_argument(
        "-p", "--parameter", dest="parameters", type=_pair, metavar="KEY=VALUE", action="append", default=[],
        help="a parameter of the kind; may be repeated",
    )  # fmt: skip
    sub.add_argument(
        "--within", type=parser.seconds, metavar="DURATION", default=30.0,
        help="how long recovery may take before it counts as failed (default: 30s)",
    )  # fmt: skip
    sub.add_argument(
        "--dry-run", action="store_true", help="only tell whom it would hit, and whether it would be refused"
    )
    _add_seed(sub)
    _add_yes(sub)
    sub.add_argument("--json", action="store_true", help="print the outcome as JSON")
    _add_service(sub)


def _run(add: Add) -> None:
    sub = add("run", "run an experiment (the Chaos Toolkit's JSON, or the same tree as TOML) and judge it")
    sub.add_argument("file", metavar="FILE", help="the experiment")
    _add_seed(sub)
    sub.add_argument(
        "--repeat", type=_number, metavar="N", default=1, help="run it N times, each with a seed of its own"
    )
    sub.add_argument("--hypothesis-strategy", choices=HYPOTHESIS, help="when the steady state is looked at")
    sub.add_argument(
        "--hypothesis-frequency",
        type=parser.seconds,
        metavar="DURATION",
        help="between two looks during the method (1s)",
    )
    sub.add_argument(
        "--fail-fast",
        action="store_true",
        default=None,
        help="stop at the first look during the method that finds it unmet",
    )
    sub.add_argument("--rollback-strategy", choices=ROLLBACKS, help="when the rollbacks are carried out")
    sub.add_argument("--var", dest="variables", type=_pair, metavar="KEY=VALUE", action="append", default=[],
                     help="a value for the experiment's configuration, of the type it has there, or as KEY:TYPE=VALUE says; "
                     "may be repeated")  # fmt: skip
    sub.add_argument("--allow-process", action="store_true", help="let it run programs of its choice")
    sub.add_argument("--dry", choices=DRY, help="do everything but these")
    _add_report(sub)
    _add_service(sub)


def _monkey(add: Add) -> None:
    sub = add("monkey", "inject faults at random moments for a while, and judge what came of it")
    for flag, summary, default in (
        ("--mean", "between two faults on average", 30.0),
        ("--min", "between two faults at least", 5.0),
        ("--for", "how long it goes on", 600.0),
    ):
        sub.add_argument(
            flag, dest={"--mean": "mean", "--min": "least", "--for": "lasting"}[flag], type=parser.seconds,
            metavar="DURATION", default=default, help=f"{summary} (default: {default:g}s)",
        )  # fmt: skip
    sub.add_argument("--kinds", type=_words, metavar="KIND,…", default=("kill",), help="of these kinds (default: kill)")
    sub.add_argument("--worker", metavar="GLOB", default="*", help="these workers (default: all that may be hit)")
    sub.add_argument(
        "--fault-for", dest="seconds", type=parser.seconds, metavar="DURATION", default=3.0,
        help="how long a lasting fault lasts (default: 3s)",
    )  # fmt: skip
    _add_seed(sub)
    _add_yes(sub)
    _add_report(sub)
    _add_service(sub)


def _soak(add: Add) -> None:
    sub = add("soak", "hurt a service of its own with every kind of fault there is, and hold it to every promise")
    sub.add_argument(
        "--workers", type=_number, metavar="N", default=200, help="so many workers, 12 or more (default: 200)"
    )
    for flag, summary, default in (
        ("--for", "how long it goes on", 240.0),
        ("--mean", "between two faults on average", 0.15),
        ("--round", "after so long everything is judged, and begun anew", 300.0),
    ):
        sub.add_argument(
            flag, dest={"--for": "lasting", "--round": "round_s", "--mean": "mean"}[flag], type=parser.seconds,
            metavar="DURATION", default=default, help=f"{summary} (default: {default:g}s)",
        )  # fmt: skip
    sub.add_argument("--without", type=_words, metavar="KIND,…", default=(), help="leave out these kinds")
    _add_seed(sub)
    sub.add_argument("--journals", metavar="FOLDER", help="where a journal of each round is written (default: nowhere)")
    _add_format(sub)


def _report(add: Add) -> None:
    sub = add("report", "tell what a journal tells")
    sub.add_argument("journal", metavar="JOURNAL", help="written by `run` or `monkey`")
    _add_format(sub)


def _add_service(sub: argparse.ArgumentParser) -> None:
    which = sub.add_mutually_exclusive_group()
    which.add_argument("-n", "--name", help="the service to hurt (default: the only one there is)")
    which.add_argument("--socket", metavar="PATH", help="its control socket")


def _add_targets(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--worker", metavar="GLOB", default="*", help="these workers (default: all that may be hit)")
    many = sub.add_mutually_exclusive_group()
    many.add_argument("--one", action="store_const", dest="count", const=1, help="one of them (the default)")
    many.add_argument("--count", type=_number, metavar="N", help="so many of them")
    many.add_argument("--percent", type=_percent, metavar="P", help="this share of them, rounded down, one at least")
    many.add_argument("--all", dest="everyone", action="store_true", help="all of them that are ready")


def _add_seed(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--seed", type=parser.count, metavar="N", help="repeat what a run with this seed did; it is always told"
    )


def _add_yes(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--yes", action="store_true", help="needed where stdin is no terminal: a script must mean it")


def _add_report(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--journal", metavar="FILE", default=JOURNAL, help=f"where the journal is written (default: {JOURNAL})"
    )
    _add_format(sub)


def _add_format(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--format", choices=FORMATS, default="text", help="of the report (default: text)")
    sub.add_argument("-o", "--output", metavar="FILE", help="where the report is written (default: stdout)")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _words(text: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise argparse.ArgumentTypeError("name at least one kind")
    return found


def _number(text: str) -> int:
    number = parser.count(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return number


def _percent(text: str) -> float:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = 0.0
    if not 0 < number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 100")
    return number
