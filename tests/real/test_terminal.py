"""A service in the foreground of a terminal."""

from __future__ import annotations

import os
import pty
import select
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = """
[supervisor]
name = "terminal"
[workers.sleeper]
command = ["sleep", "1000"]
"""


def test_closing_the_terminal_stops_the_service(tmp_path: object) -> None:
    """SIGHUP reloads a service; when it comes because the terminal is gone, the service stops instead."""
    config = os.path.join(str(tmp_path), "terminal.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(XDG_RUNTIME_DIR=str(tmp_path), TERM="xterm")
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "supervisor.cli.main", "run", config])
    seen = b""
    while b"1 of 1 ready" not in seen:
        assert select.select([terminal], [], [], 20)[0], seen
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            raise AssertionError(seen) from None
    os.close(terminal)
    ended = os.pidfd_open(pid)
    assert select.select([ended], [], [], 20)[0]
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) == 0
