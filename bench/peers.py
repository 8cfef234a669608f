"""The other supervisors: how each is configured for the same programs, and where to get it.

Each with its defaults, but for what its own documentation says to set when programs may fail often.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "out")
_VENV = os.path.join(OUT, "peers")
_NODE = os.path.join(OUT, "pm2")
_PIP = ("supervisor", "circus")


class Program(NamedTuple):
    """What a peer is to run: `copies` of argv, their stdout to the file `output` (None: wherever the peer likes)."""

    name: str
    argv: list[str]
    copies: int = 1
    output: str | None = None


class Peer(NamedTuple):
    """command(folder, programs): writes the configuration, and says what to run in the foreground."""

    name: str
    command: Callable[[str, Sequence[Program]], list[str]]
    program: str  # the file that has to be there
    env: Callable[[str], dict[str, str]] = lambda _folder: {}

    def is_there(self) -> bool:
        """Whether this machine has it."""
        return shutil.which(self.program) is not None


def _write(path: str, text: str, mode: int = 0o644) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def _supervisord(folder: str, programs: Sequence[Program]) -> list[str]:
    text = f"[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n"
    text += "identifier=bench\nminfds=4096\n"
    for program in programs:
        text += f"[program:{program.name}]\ncommand={' '.join(program.argv)}\nautorestart=true\nstartretries=1000\n"
        text += f"numprocs={program.copies}\nprocess_name=%(program_name)s-%(process_num)d\n"
        if program.output:
            text += f"stdout_logfile={program.output}\nstdout_logfile_maxbytes=0\n"
    return [f"{_VENV}/bin/supervisord", "-c", _write(f"{folder}/supervisord.conf", text)]


def _circus(folder: str, programs: Sequence[Program]) -> list[str]:
    text = f"[circus]\nendpoint=ipc://{folder}/end\npubsub_endpoint=ipc://{folder}/pub\nstatsd=false\n"
    text += "check_delay=1\n"  # its default of 5 s is how late it finds out that a worker has died
    for program in programs:
        text += f"[watcher:{program.name}]\ncmd={program.argv[0]}\nargs={' '.join(program.argv[1:])}\n"
        text += f"numprocesses={program.copies}\nmax_retry=-1\ncopy_env=true\n"
        if program.output:
            text += f"stdout_stream.class=FileStream\nstdout_stream.filename={program.output}\n"
    return [f"{_VENV}/bin/circusd", _write(f"{folder}/circus.ini", text)]


def _directories(folder: str, programs: Sequence[Program]) -> str:
    """A service directory for each copy, as runit and s6 want them."""
    for program in programs:
        for copy in range(program.copies):
            run = f"#!/bin/sh\nexec {' '.join(program.argv)}\n"
            _write(f"{folder}/services/{program.name}-{copy}/run", run, 0o755)
    return f"{folder}/services"


def _runit(folder: str, programs: Sequence[Program]) -> list[str]:
    return ["runsvdir", "-P", _directories(folder, programs)]


def _s6(folder: str, programs: Sequence[Program]) -> list[str]:
    return ["s6-svscan", "-c", "1000", _directories(folder, programs)]


def _pm2(folder: str, programs: Sequence[Program]) -> list[str]:
    apps = [
        {
            "name": program.name,
            "script": program.argv[1],
            "interpreter": program.argv[0],
            "args": program.argv[2:],
            "instances": program.copies,
            "exec_mode": "fork",
            "out_file": program.output or f"{folder}/out",
            "error_file": f"{folder}/err",
            "merge_logs": True,
        }
        for program in programs
    ]
    return [f"{_NODE}/node_modules/.bin/pm2", "start", _write(f"{folder}/pm2.json", json.dumps({"apps": apps}))]


PEERS = (
    Peer("supervisord", _supervisord, f"{_VENV}/bin/supervisord"),
    Peer("circus", _circus, f"{_VENV}/bin/circusd"),
    Peer("runit", _runit, "runsvdir"),
    Peer("s6", _s6, "s6-svscan"),
    Peer("pm2", _pm2, f"{_NODE}/node_modules/.bin/pm2", lambda folder: {"PM2_HOME": f"{folder}/pm2"}),
)


def install() -> dict[str, str]:
    """Get what can be had, never into our own environment; peer -> why it is not there."""
    os.makedirs(OUT, exist_ok=True)
    if not os.path.exists(f"{_VENV}/bin/circusd"):
        _run(sys.executable, "-m", "venv", _VENV)
        _run(f"{_VENV}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PIP)
    if shutil.which("npm") and not PEERS[-1].is_there():
        _run("npm", "install", "--prefix", _NODE, "--no-audit", "--no-fund", "--silent", "pm2")
    missing = [peer.name for peer in PEERS if peer.name in ("runit", "s6") and not peer.is_there()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing)
    return {peer.name: "not on this machine" for peer in PEERS if not peer.is_there()}


def versions() -> dict[str, str]:
    """Of those that are there."""
    asked = {
        "supervisord": [f"{_VENV}/bin/supervisord", "--version"],
        "circus": [f"{_VENV}/bin/circusd", "--version"],
        "runit": ["dpkg-query", "-Wf${Version}", "runit"],
        "s6": ["dpkg-query", "-Wf${Version}", "s6"],
        "pm2": ["node", "-p", f"require('{_NODE}/node_modules/pm2/package.json').version"],
    }
    return {peer.name: _run(*asked[peer.name]) or "?" for peer in PEERS if peer.is_there()}


def _run(*argv: str) -> str:
    """What it printed; a failure is said and goes on: a peer that cannot be had is not on this machine."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return ""
    return done.stdout.strip()
