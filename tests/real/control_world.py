"""Host and Client: what tests of the control socket and of the commands stand on."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

FAKE = Path(__file__).with_name("fake_service.py")
ROOT = FAKE.parents[2]


class Host:
    """What the anchor is to a supervisor: owner of the listener, and of the process that answers on it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.mark = str(path.with_name("mark"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1024)
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self, *, env: dict[str, str] | None = None, limit: int | None = None, **bounds: Any) -> None:
        def limit_descriptors() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        self.process = subprocess.Popen(
            [sys.executable, FAKE, str(self.listener.fileno()), json.dumps(bounds)],
            pass_fds=[self.listener.fileno()],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FAKE_MARK": self.mark, **(env or {})},
            preexec_fn=limit_descriptors,  # noqa: PLW1509 - tests of this file have one thread
        )

    def client(self) -> Client:
        return Client(self.path)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.listener.close()
        os.unlink(self.path)


class Client:
    """A connection that a test drives by hand."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def send(self, request: dict[str, Any] | bytes) -> None:
        self.sock.sendall(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")

    def read(self) -> Any:
        line = self.file.readline()
        return json.loads(line) if line else None

    def ask(self, request: dict[str, Any] | bytes) -> Any:
        self.send(request)
        return self.read()

    def close(self) -> None:
        self.file.close()
        self.sock.close()
