"""`ninelives systemd unit|install|check`: the units this package ships, fitted to this installation.

What is printed is what is shipped in `systemd/` with one thing changed, the path of the command. Nothing is
installed over a file that differs, and nothing here talks to a running systemd.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import supervisor

if TYPE_CHECKING:
    import argparse

NAME = "ninelives@.service"
SHIPPED_COMMAND = "/usr/bin/ninelives"
WORST_EXPOSURE = 35  # of 100, in the units of `systemd-analyze security --threshold`

DONE, FAILED, REFUSED = 0, 1, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main` reads to a command's parser."""
    parser.add_argument(
        "action", choices=("unit", "install", "check"), help="print, write or examine the unit"
    )
    parser.add_argument("--user", action="store_true", help="the unit for a user's own systemd")
    parser.add_argument("--hardened", action="store_true", help="with the stricter sandbox (not with --user)")
    parser.add_argument("--force", action="store_true", help="install: overwrite a unit that differs")


def main(args: argparse.Namespace) -> int:
    """0 done, 1 the check failed, 3 refused to overwrite."""
    if args.user and args.hardened:
        print("--hardened needs privileges that a user's systemd does not have", file=sys.stderr)
        return REFUSED
    if args.action == "unit":
        print(unit(user=args.user, hardened=args.hardened), end="")
        return DONE
    if args.action == "install":
        return install(folder(user=args.user), user=args.user, hardened=args.hardened, force=args.force)
    return check(user=args.user, hardened=args.hardened)


def shipped(path: str) -> Path:
    """A file or folder of `config/` or `systemd/`: inside the installed package, else in the repository."""
    package = Path(supervisor.__file__).parent
    inside = package / "shipped" / path
    return inside if inside.exists() else package.parent / path


def unit(*, user: bool = False, hardened: bool = False, command: str | None = None) -> str:
    """The text of the unit; `command` (default: this installation) is what ExecStart and ExecReload call."""
    text = shipped(f"systemd/user/{NAME}" if user else f"systemd/{NAME}").read_text()
    if hardened:
        text += "\n" + shipped(f"systemd/{NAME}.d/hardening.conf").read_text()
    return text.replace(SHIPPED_COMMAND, command or quoted(executable()))


def executable() -> tuple[str, ...]:
    """How this very installation is called, with absolute paths."""
    for candidate in (sys.argv[0], shutil.which("ninelives"), str(Path(sys.executable).parent / "ninelives")):
        if candidate and os.path.basename(candidate) == "ninelives" and os.access(candidate, os.X_OK):
            # Not realpath: a virtual environment is found by the name it is called by.
            return (os.path.abspath(candidate),)
    return (os.path.abspath(sys.executable), "-m", "supervisor.cli.main")


def quoted(command: tuple[str, ...]) -> str:
    """A command as systemd.service(5) wants it: % and $ doubled, spaces in quotes."""
    words = [word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$") for word in command]
    return " ".join(f'"{word}"' if re.search(r"\s|['\"]", word) else word for word in words)


def folder(*, user: bool) -> Path:
    """Where systemd looks for units an administrator, or a user, has written."""
    if not user:
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def install(where: Path, *, user: bool = False, hardened: bool = False, force: bool = False) -> int:
    """Write the unit into `where`, say what is left to do; one that differs stays there without `force`."""
    target, text = where / NAME, unit(user=user, hardened=hardened)
    try:
        if target.exists() and target.read_text() != text and not force:
            print(f"{target}: there already, and different; --force replaces it", file=sys.stderr)
            return REFUSED
        where.mkdir(parents=True, exist_ok=True)
        half = where / f".{NAME}.{os.getpid()}"
        half.write_text(text)
        half.replace(target)  # systemd never reads half a unit
    except OSError as error:
        print(f"{target}: {error.strerror}", file=sys.stderr)
        return FAILED
    print(f"{target}: written\n{_next_steps(user=user)}")
    return DONE


def check(*, user: bool = False, hardened: bool = False) -> int:
    """Let systemd-analyze judge the unit, and say what on this machine would keep it from working."""
    if shutil.which("systemd-analyze") is None:
        print("systemd-analyze is not here (Debian package: systemd)", file=sys.stderr)
        return FAILED
    with tempfile.TemporaryDirectory(prefix="ninelives-") as scratch:
        path = Path(scratch) / NAME
        path.write_text(unit(user=user, hardened=hardened))
        mode = ["--user"] if user else ["--system"]
        good, said = _analyze(*mode, "--man=no", "verify", str(path), runtime=scratch)
        # Unknown to this version is not wrong: systemd goes on without the line.
        inert = [line for line in said.splitlines() if "Unknown key" in line]
        wrong = [
            line for line in said.splitlines() if NAME.split("@", maxsplit=1)[0] in line and line not in inert
        ]
        print("verify: " + ("good" if good and not wrong else "\n  ".join(["bad", *wrong])))
        print("\n".join(f"inert here: {line}" for line in inert) or "inert here: nothing")
        if not user:
            calm, said = _analyze(
                "security",
                "--offline=true",
                f"--threshold={WORST_EXPOSURE}",
                "--no-pager",
                str(path),
                runtime=scratch,
            )
            good = good and calm
            print(f"security: {(said.strip().splitlines() or ['no answer'])[-1].lstrip('→ ')}")
    for hindrance in hindrances(executable()[0], user=user):
        good = False
        print(f"bad: {hindrance}")
    return DONE if good and not wrong else FAILED


def hindrances(path: str, *, user: bool) -> list[str]:
    """What the unit's own sandbox or user would make of the command's path."""
    found = []
    if not user:
        if path.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108 - a prefix is compared, nothing is written
            found.append(f"{path}: PrivateTmp hides it from the service; install it elsewhere")
        private = next(
            (part for part in reversed(Path(path).parents) if not part.stat().st_mode & 0o001), None
        )
        if private is not None:
            found.append(f"{path}: user ninelives cannot enter {private}; install it elsewhere or set User=")
        if not _user_exists("ninelives"):
            found.append("there is no user ninelives: useradd --system --shell /usr/sbin/nologin ninelives")
    return found


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _analyze(*arguments: str, runtime: str) -> tuple[bool, str]:
    # Its user mode insists on a runtime folder even to read a file; without a login there is none.
    environment = {"XDG_RUNTIME_DIR": runtime} | os.environ | {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
    try:
        done = subprocess.run(
            ["systemd-analyze", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return False, "systemd-analyze did not end within 60 s"
    return done.returncode == 0, done.stdout + done.stderr


def _next_steps(*, user: bool) -> str:
    if user:
        return "next: systemctl --user daemon-reload && systemctl --user enable --now ninelives@NAME"
    return "next: ninelives systemd check; systemctl daemon-reload && systemctl enable --now ninelives@NAME"
