"""The README's picture: the demo in a terminal, workers killed, everybody back. Needs tmux; writes docs/demo.svg.

python bench/screenshot.py
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from rich.console import Console
from rich.text import Text

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NINELIVES = os.path.join(os.path.dirname(sys.executable), "ninelives")
SIZE = (118, 34)


def tmux(*words: str) -> str:
    """Run one tmux command on our own server."""
    return subprocess.run(["tmux", "-L", "ninelives-shot", *words], check=True, capture_output=True, text=True).stdout


def status(env: dict[str, str]) -> dict[str, Any]:
    """What the service says of itself."""
    said = subprocess.run([NINELIVES, "status", "--json"], env=env, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(said)
    return found


def kill(env: dict[str, str], name: str) -> None:
    """SIGKILL to one worker of the service we started."""
    pid = next(row["pid"] for row in status(env)["workers"] if row["worker"] == name)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.7)  # so that each stands by itself in the picture


def main() -> int:
    """Start, hurt, capture, stop."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "XDG_RUNTIME_DIR": folder}
        command = f"XDG_RUNTIME_DIR={folder} TERM=xterm-256color {NINELIVES} run config/demo.toml"
        tmux("new-session", "-d", "-s", "shot", "-x", str(SIZE[0]), "-y", str(SIZE[1]), "-c", ROOT, command)
        try:
            time.sleep(4)
            for name in ("server", "cruncher-0", "parser"):
                kill(env, name)
            os.kill(status(env)["supervisor"]["pid"], signal.SIGKILL)
            time.sleep(1.5)
            kill(env, "ticker")
            # The default colour is lost in SVG, and the spaces before its text with it: white instead.
            picture = Text.from_ansi(tmux("capture-pane", "-e", "-p", "-t", "shot").replace("\x1b[39m", "\x1b[37m"))
        finally:
            tmux("send-keys", "-t", "shot", "C-c")
            time.sleep(1.5)
            subprocess.run(["tmux", "-L", "ninelives-shot", "kill-server"], check=False, capture_output=True)
    console = Console(record=True, width=SIZE[0], file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115
    console.print(picture)
    console.save_svg(
        os.path.join(ROOT, "docs", "demo.svg"),
        title="ninelives run config/demo.toml  (kill -9 server, cruncher-0, parser, the supervisor, ticker)",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
