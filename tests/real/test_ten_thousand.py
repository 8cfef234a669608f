"""Thousands of restarts in a row leave nothing behind: no descriptor, thread, zombie, memfd or note, and no memory.

NINELIVES_RESTARTS says how many (1,000 unless it is set; CI sets 10,000).

The baseline is the service at rest after the first WARM_UP restarts. By then the pump's ring of recent lines, of the least
size there is, has been written full (the test sees to it that this is so): the one thing that may grow, to a size that the
config states. Whatever is held longer from there on is counted, in the anchor, the supervisor, the pump and the template.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from supervisor import kernel
from tests.real.living import is_alive
from tests.real.service import PATIENCE, Service, until

if TYPE_CHECKING:
    from pathlib import Path

RESTARTS = int(os.environ.get("NINELIVES_RESTARTS", "1000"))
WARM_UP = 1000
RING_BYTES = 1 << 20  # `recent`
GROWTH_BYTES = 2 << 20  # of resident memory: less than this
CONFIG = """
[supervisor]
recent = "1M"

[workers.mayfly]
target = "mayfly:main"
replicas = 8  # so that both a worker and the service always have something to do: what limits us is the CPU
max_failures = 1000000
backoff = { first = "0s", initial = "0s", max = "0s", jitter = "0s" }
"""
MAYFLY = """
def main(heart):
    heart.ready()
"""


class Footprint(NamedTuple):
    """What a process holds."""

    fds: int
    memfds: int
    threads: int
    rss_bytes: int


def footprint(pid: int) -> Footprint:
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed; who asks looks again
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    now = kernel.stat(pid)
    assert now is not None
    return Footprint(
        len(links), sum("memfd" in link for link in links), len(os.listdir(f"/proc/{pid}/task")), now.rss_bytes
    )


def footprints(service: Service) -> dict[str, Footprint]:
    """Of everything that is not a worker, at a moment at which there is no worker."""
    pids = {
        "anchor": service.anchor,
        "supervisor": service.supervisor,
        "pump": service.pump,
        "template": service.template(),
    }
    return {role: footprint(pid) for role, pid in pids.items()}


def at_rest(service: Service) -> dict[str, Footprint]:
    """Stop the workers, and look when nothing changes any more: pipes are drained, connections closed, notes dropped."""
    service.ask("stop", workers=["mayfly"])
    until(lambda: len(service.children()) == 4, "only supervisor, pump, template and its embryo are left")
    before, now = None, footprints(service)
    deadline = time.monotonic() + PATIENCE
    while [each[:3] for each in now.values()] != before:
        assert time.monotonic() < deadline, f"still changing: {now}"
        before = [each[:3] for each in now.values()]
        time.sleep(0.2)  # it is a silence that is waited for
        now = footprints(service)
    return now


@pytest.mark.alone  # it keeps every CPU busy
@pytest.mark.timeout(300)
def test_nothing_grows_with_the_number_of_restarts(tmp_path: Path) -> None:
    """The same processes hold as much after all of them as after the first few."""
    with Service(tmp_path, CONFIG, modules={"mayfly": MAYFLY}) as service:
        service.wait_for("worker.ended", count=WARM_UP, timeout=60)
        before = at_rest(service)
        said = sum(len(json.dumps(event, separators=(",", ":"))) for event in service.events)
        assert said > RING_BYTES, f"{said} bytes of log after {WARM_UP} restarts: the ring is not full yet"
        service.ask("start", workers=["mayfly"], wait=False)
        since, began = service.mark, time.monotonic()
        service.wait_for("worker.ended", since=since, count=RESTARTS, timeout=250)
        print(f"{RESTARTS} restarts at {RESTARTS / (time.monotonic() - began):.0f}/s")
        after = at_rest(service)
        for role, was in before.items():
            print(f"{role}: {was} -> {after[role]}")
            assert after[role][:3] <= was[:3], f"{role}: descriptors, memfds, threads {was[:3]} -> {after[role][:3]}"
            grown = after[role].rss_bytes - was.rss_bytes
            assert grown < GROWTH_BYTES, f"{role}: {grown >> 10} KiB more after {RESTARTS} restarts"
        assert not [pid for pid in kernel.children(service.anchor) if not is_alive(pid)], "no zombies"
