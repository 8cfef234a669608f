"""Clients in crowds and of every rudeness cost themselves alone: the real service answers the others in time."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
import time
def main(heart):
    heart.ready()
    while not heart.wait(0.02):
        heart.beat()
def stubborn(heart):
    heart.ready()
    while True:
        time.sleep(10)
"""
CONFIG = """
[workers.many]
target = "job:main"
replicas = 20
beat_within = "500ms"
[workers.slow]
target = "job:stubborn"
grace = "2s"
"""
CLIENTS = 500
STATUS = b'{"id": 1, "verb": "status", "worker": "slow"}\n'


def connect(service: Service) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(service.socket)
    return sock


def answer(sock: socket.socket) -> Any:
    with sock.makefile("rb") as file:
        return json.loads(file.readline())


class Probe:
    """Asks for one worker's status again and again over one connection; how long each answer took, in seconds."""

    def __init__(self, service: Service) -> None:
        self.took: list[float] = []
        self._sock = connect(service)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        with self._sock.makefile("rb") as answers:
            while not self._over.wait(0.002):
                began = time.perf_counter()
                self._sock.sendall(STATUS)
                assert json.loads(answers.readline())["ok"]
                self.took.append(time.perf_counter() - began)


def test_a_crowd_beside_a_slow_stop(tmp_path: Path) -> None:
    """500 clients at once, garbage, half a request, one that never reads: supervision and the next client notice nothing."""
    with Service(tmp_path, CONFIG, modules={"job": JOB}) as service:
        service.wait_for("supervisor.ready")
        rude = [connect(service) for _ in range(3)]
        rude[0].sendall(b'{"verb": "sta')
        rude[1].sendall(b"\x00\xff garbage\n" * 100)
        rude[2].sendall(STATUS * 1000)  # and never reads
        service.ask("stop", workers=["slow"], wait=False)
        with Probe(service) as probe:
            crowd = [connect(service) for _ in range(CLIENTS)]
            for sock in crowd:
                sock.sendall(STATUS)
            assert sum(answer(sock)["ok"] for sock in crowd) == CLIENTS
            service.wait_for("worker.ended", worker="slow")
        assert answer(rude[1])["ok"] is False
        for sock in (*rude, *crowd):
            sock.close()
        assert statistics.median(probe.took) < 0.01
        assert not service.seen("worker.hung")
        assert not service.seen("supervisor.lagged")
        assert service.ask("restart", workers=["many-3"], rolling=False, wait=True)["phases"] == {"many-3": "ready"}
        print(f"p50 {statistics.median(probe.took) * 1e3:.2f} ms, max {max(probe.took) * 1e3:.1f} ms of {len(probe.took)}")
