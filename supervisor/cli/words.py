"""Completion scripts and the man page, made from the parser: what it knows is what they say.

Names of workers are completed by asking the service; when none answers there are just no suggestions.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import supervisor
from supervisor.cli import parser

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = (
    "ninelives status --json 2>/dev/null | tr '{' '\\n' | sed -n 's/.*\"worker\": *\"\\([^\"]*\\)\".*/\\1/p'"
)


def completion(args: argparse.Namespace) -> int:
    """Print the completion script of bash, zsh or fish."""
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](), end="")
    return 0


def man(_args: argparse.Namespace) -> int:
    """Print ninelives(1) in roff."""
    print("\n".join(_man()))
    return 0


def _commands() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    for action in parser.build()._actions:  # noqa: SLF001 - argparse has no public way to its subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            return {name: (sub, helps[name]) for name, sub in action.choices.items()}
    raise AssertionError("the parser has no commands")


def _actions(sub: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    yield from (action for action in sub._actions if action.help != argparse.SUPPRESS)  # noqa: SLF001


def _options(sub: argparse.ArgumentParser) -> list[str]:
    return [flag for action in _actions(sub) for flag in action.option_strings]


def _values(sub: argparse.ArgumentParser) -> str:
    """What stands without a flag: 'files', 'workers', words to choose from, or nothing."""
    for action in _actions(sub):
        if not action.option_strings:
            if action.choices:
                return " ".join(map(str, action.choices))
            return {"CONFIG": "files", "WORKER": "workers"}.get(str(action.metavar), "")
    return ""


def _bash() -> str:
    cases = []
    for name, (sub, _help) in _commands().items():
        values = _values(sub)
        words = {"workers": f"$({_NAMES})", "files": ""}.get(values, values)
        files = "-f " if values == "files" else ""
        choices = f'{files}-W "{" ".join(_options(sub))} {words}"'
        cases.append(f'    {name}) COMPREPLY=($(compgen {choices} -- "$word"));;')
    return "\n".join(
        [
            "_ninelives() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}"',
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f'    COMPREPLY=($(compgen -W "{" ".join(_commands())}" -- "$word")); return',
            "  fi",
            '  case "${COMP_WORDS[1]}" in',
            *cases,
            "  esac",
            "}",
            "complete -F _ninelives ninelives",
            "",
        ]
    )


def _zsh() -> str:
    # zsh can run bash's: one script less to keep right.
    return "#compdef ninelives\nautoload -U +X bashcompinit && bashcompinit\n" + _bash()


def _fish() -> str:
    out = ["complete -c ninelives -f"]
    for name, (sub, summary) in _commands().items():
        first = "__fish_use_subcommand"
        out.append(f"complete -c ninelives -n {first} -a {name} -d {_quoted(summary)}")
        when = f"'__fish_seen_subcommand_from {name}'"
        for action in _actions(sub):
            strings = action.option_strings
            flags = " ".join(f"-l {flag[2:]}" if flag[1] == "-" else f"-s {flag[1:]}" for flag in strings)
            if flags:
                out.append(f"complete -c ninelives -n {when} {flags} -d {_quoted(action.help or '')}")
        match _values(sub):
            case "files":
                out.append(f"complete -c ninelives -n {when} -F")
            case "workers":
                out.append(f"complete -c ninelives -n {when} -a {_quoted(f'({_NAMES})')}")
            case words if words:
                out.append(f"complete -c ninelives -n {when} -a {_quoted(words)}")
    return "\n".join(out) + "\n"


def _man() -> Iterator[str]:
    whole = parser.build()
    yield f'.TH NINELIVES 1 "" "ninelives {supervisor.__version__}" "User Commands"'
    yield from (".SH NAME", "ninelives \\- keep workers running, each in its own address space")
    yield from (".SH SYNOPSIS", ".B ninelives", ".I COMMAND", "[OPTIONS]")
    yield from (".SH DESCRIPTION", _roff(whole.description))
    yield ".SH COMMANDS"
    for name, (sub, summary) in _commands().items():
        yield from (f".SS {_roff(name)}", _roff(summary[:1].upper() + summary[1:] + "."), ".PP", ".nf")
        yield from (_roff(" ".join(sub.format_usage().removeprefix("usage: ").split())), ".fi")
        for action in _actions(sub):
            shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            if action.help and action.dest != "help":
                yield from (".TP", f".B {_roff(shown)}", _roff(action.help))
    yield from (".SH EXIT STATUS", ".nf", *map(_roff, parser.EXIT_CODES.splitlines()[1:]), ".fi")


def _roff(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
