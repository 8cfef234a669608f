"""Completion scripts and the man page, made from the parser: what it knows is what they say.

Names of workers are completed by asking the service; when none answers there are just no suggestions.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import supervisor
from supervisor.chaos import catalogue
from supervisor.cli import parser

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = "ninelives status --json 2>/dev/null | tr '{' '\\n' | sed -n 's/.*\"worker\": *\"\\([^\"]*\\)\".*/\\1/p'"
_MEANINGS = {"CONFIG": "files", "WORKER": "workers", "FILE": "files", "JOURNAL": "files"}


def completion(args: argparse.Namespace) -> int:
    """Print the completion script of bash, zsh or fish."""
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](), end="")
    return 0


def man(_args: argparse.Namespace) -> int:
    """Print ninelives(1) in roff."""
    print("\n".join(_man()))
    return 0


def _commands() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    return _below(parser.build())


def _below(whole: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Name -> (parser, summary) of what can be typed next; nothing if it has no subcommands."""
    for action in whole._actions:  # noqa: SLF001 - argparse has no public way to its subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            return {name: (sub, helps[name]) for name, sub in action.choices.items()}
    return {}


def _actions(sub: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in sub._actions:  # noqa: SLF001
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield action


def _options(sub: argparse.ArgumentParser) -> list[str]:
    return [flag for action in _actions(sub) for flag in action.option_strings]


def _values(sub: argparse.ArgumentParser) -> str:
    """What stands without a flag: 'files', 'workers', words to choose from, or nothing."""
    for action in _actions(sub):
        if not action.option_strings:
            if action.choices:
                return " ".join(map(str, action.choices))
            if action.metavar == "KIND":
                return " ".join(catalogue.kinds())
            return _MEANINGS.get(str(action.metavar), "")
    return ""


def _bash() -> str:
    cases = []
    for name, (sub, _help) in _commands().items():
        inner = _below(sub)
        if not inner:
            cases.append(f"    {name}) {_bash_reply(sub)};;")
            continue
        first = f'COMPREPLY=($(compgen -W "{" ".join(inner)}" -- "$word"))'
        cases += [f"    {name})", f'      if [ "$COMP_CWORD" -eq 2 ]; then {first}; return; fi']
        cases += ['      case "${COMP_WORDS[2]}" in']
        cases += [f"        {word}) {_bash_reply(one)};;" for word, (one, _) in inner.items()]
        cases += ["      esac;;"]
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


def _bash_reply(sub: argparse.ArgumentParser) -> str:
    values = _values(sub)
    words = {"workers": f"$({_NAMES})", "files": ""}.get(values, values)
    files = "-f " if values == "files" else ""
    return f'COMPREPLY=($(compgen {files}-W "{" ".join(_options(sub))} {words}" -- "$word"))'


def _zsh() -> str:
    # zsh can run bash's: one script less to keep right.
    return "#compdef ninelives\nautoload -U +X bashcompinit && bashcompinit\n" + _bash()


def _fish() -> str:
    out = ["complete -c ninelives -f"]
    for name, (sub, summary) in _commands().items():
        out.append(f"complete -c ninelives -n __fish_use_subcommand -a {name} -d {_quoted(summary)}")
        seen = f"__fish_seen_subcommand_from {name}"
        inner = _below(sub)
        for word, (one, what) in inner.items():
            first = f"'{seen}; and not __fish_seen_subcommand_from {' '.join(inner)}'"
            out.append(f"complete -c ninelives -n {first} -a {word} -d {_quoted(what)}")
            out += _fish_options(one, f"'{seen}; and __fish_seen_subcommand_from {word}'")
        if not inner:
            out += _fish_options(sub, f"'{seen}'")
    return "\n".join(out) + "\n"


def _fish_options(sub: argparse.ArgumentParser, when: str) -> Iterator[str]:
    for action in _actions(sub):
        strings = action.option_strings
        flags = " ".join(f"-l {flag[2:]}" if flag[1] == "-" else f"-s {flag[1:]}" for flag in strings)
        if flags:
            yield f"complete -c ninelives -n {when} {flags} -d {_quoted(action.help or '')}"
    match _values(sub):
        case "files":
            yield f"complete -c ninelives -n {when} -F"
        case "workers":
            yield f"complete -c ninelives -n {when} -a {_quoted(f'({_NAMES})')}"
        case words if words:
            yield f"complete -c ninelives -n {when} -a {_quoted(words)}"


def _man() -> Iterator[str]:
    whole = parser.build()
    yield f'.TH NINELIVES 1 "" "ninelives {supervisor.__version__}" "User Commands"'
    yield from (".SH NAME", "ninelives \\- keep workers running, each in its own address space")
    yield from (".SH SYNOPSIS", ".B ninelives", ".I COMMAND", "[OPTIONS]")
    yield from (".SH DESCRIPTION", _roff(whole.description))
    yield ".SH COMMANDS"
    for name, (sub, summary) in _commands().items():
        yield from _man_of(name, sub, summary)
        for word, (one, what) in _below(sub).items():
            yield from _man_of(f"{name} {word}", one, what)
    yield from (".SH EXIT STATUS", ".nf", *map(_roff, parser.EXIT_CODES.splitlines()[1:]), ".fi")


def _man_of(name: str, sub: argparse.ArgumentParser, summary: str) -> Iterator[str]:
    yield from (f".SS {_roff(name)}", _roff(summary[:1].upper() + summary[1:] + "."), ".PP", ".nf")
    yield from (_roff(" ".join(sub.format_usage().removeprefix("usage: ").split())), ".fi")
    for action in _actions(sub):
        shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if action.help and action.dest != "help":
            yield from (".TP", f".B {_roff(shown)}", _roff(action.help))


def _roff(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
