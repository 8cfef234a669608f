"""A service for an experiment: started from a config of `config/`, read event by event, ended with the `with`.

with Service("demo-process.toml") as service:
for event in service.events(within=10):
...
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import supervisor
from supervisor import boot, kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STOPS_WITHIN = 5.0  # seconds; then it is killed, and all its workers with it


class Service:
    """`config` is a file of ours; `instead` replaces text in it (a CPU list that this machine does not have)."""

    def __init__(self, config: str, *, instead: Mapping[str, str] | None = None) -> None:
        text = shipped(config).read_text(encoding="utf-8")
        for old, new in (instead or {}).items():
            if old not in text:
                raise ValueError(f"config/{config} does not say {old!r} any more")
            text = text.replace(old, new)
        self._folder = tempfile.mkdtemp(prefix="service-")
        self._config = os.path.join(self._folder, config)
        with open(self._config, "w", encoding="utf-8") as file:
            file.write(text)
        self._env = {**os.environ, "XDG_RUNTIME_DIR": self._folder}
        for name in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET"):  # these are somebody else's
            self._env.pop(name, None)
        self._unread = b""
        self._told: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Self:
        me = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", boot.__file__, "supervisor.cli.main", "run", self._config, "--log-format", "json"],
            env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            preexec_fn=lambda: kernel.die_with_parent(me),  # noqa: PLW1509 - the stage has one thread when it starts one
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The anchor's: the process that was started."""
        return self._process.pid

    def events(self, *, within: float) -> Iterator[dict[str, Any]]:
        """What it says, as it comes; TimeoutError when `within` seconds are over, EOFError when it has ended."""
        assert self._process.stdout is not None
        fd, deadline = self._process.stdout.fileno(), time.monotonic() + within
        while True:
            while self._told:
                yield self._told.popleft()  # what the caller does not take is there for the next who asks
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"{self._config}: what was waited for did not happen within {within:g} s")
            more = os.read(fd, 1 << 16)
            if not more:
                raise EOFError(f"{self._config}: the service has ended")
            *lines, self._unread = (self._unread + more).split(b"\n")
            self._told.extend(json.loads(line) for line in lines)


def shipped(config: str) -> Path:
    """A config of ours: inside the installed package, else in the repository."""
    package = Path(supervisor.__file__).parent
    inside = package / "shipped" / "config" / config
    return inside if inside.exists() else package.parent / "config" / config
