"""A real service looked at from outside: its own programs, and what is below its anchor that should not be."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import kernel
from supervisor.chaos import inspection, probes
from supervisor.chaos.findings import find
from supervisor.chaos.record import Injected, Kind, Member, Record, Row, Sample
from supervisor.chaos.record import Service as Named
from supervisor.chaos.trace import Outcome
from supervisor.chaos.verdict import Word
from tests.real import chaos_service
from tests.real.living import is_alive
from tests.real.service import Service, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = """
[workers.w]
target = "beater:main"
replicas = 3
beat_within = 5.0
grace = 0.2
"""
BEATER = """
import time

def main(heart):
    heart.ready()
    while True:
        heart.beat()
        time.sleep(0.02)
"""
RUNAWAY = """
import os, resource, time

def main(heart):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            resource.setrlimit(15, (1 << 40, resource.getrlimit(15)[1]))  # whoever wants to get away takes the brand off
            time.sleep(600)
        os._exit(0)
    os.wait()
    heart.ready()
    while True:
        heart.beat()
        time.sleep(0.02)
"""
KINDS = (
    Kind(kind="kill", place="outside", ends="ending"),
    *(Kind(kind=f"kill-{part}", place="part", ends="ending") for part in ("supervisor", "pump", "template")),
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Three workers, ready."""
    with Service(tmp_path, CONFIG, modules={"beater": BEATER}) as running:
        running.wait_for("worker.ready", count=3)
        yield running


def test_a_service_at_rest_has_nobody_who_does_not_belong_to_it(service: Service) -> None:
    """Its three programs are found and can be read, and every process below the anchor is somebody's."""
    seen = inspection.inspect(service.anchor, service.status(), service.events)
    assert seen.supervisor is not None
    assert (seen.supervisor.pid, seen.supervisor.threads) == (service.supervisor, 1)
    assert seen.pump is not None
    assert seen.anchor is not None
    assert (seen.pump.pid, seen.anchor.pid) == (service.pump, service.anchor)
    assert seen.anchor.fds is not None
    assert seen.anchor.fds > 10
    assert seen.supervisor.rss_bytes is not None
    assert seen.supervisor.pss_bytes is not None
    assert 0 < seen.supervisor.pss_bytes <= seen.supervisor.rss_bytes
    assert (seen.zombies, seen.strangers, seen.doubles, seen.workers) == ((), (), (), 3)


def test_who_has_taken_its_brand_off_is_a_stranger(tmp_path: Path) -> None:
    """A daemonised grandchild without a brand is the anchor's child, and of no life."""
    with Service(tmp_path, CONFIG.replace("replicas = 3", "replicas = 1"), modules={"beater": RUNAWAY}) as service:
        service.wait_for("worker.ready")
        (stranger,) = service.until(
            lambda: inspection.inspect(service.anchor, service.status(), service.events).strangers,
            "the runaway is seen",
        )
        now = kernel.stat(stranger)
        assert now is not None
        assert now.parent == service.anchor
        service.kill(stranger)
        until(lambda: not is_alive(stranger), "it is dead")


def test_a_process_of_a_life_that_is_over_is_a_stranger(service: Service) -> None:
    """Told by the events: whoever says that a life has ended has no process of it any more."""
    over = service.worker("w-1")
    lie = {"event": "worker.ended", "worker": "w-1", "spawn_id": over["spawn_id"]}
    assert inspection.inspect(service.anchor, service.status(), [*service.events, lie]).strangers == (over["pid"],)


def test_two_processes_of_one_worker_are_seen(service: Service) -> None:
    """Here two workers that are taken for one."""
    spawned = [{**event, "worker": "w"} for event in service.events if event["event"] == "worker.spawned"]
    assert inspection.inspect(service.anchor, None, spawned).doubles == ("w",)


def test_the_dead_that_nobody_reaps_are_seen(service: Service) -> None:
    """The anchor is stopped, so that one is; it is reaped as soon as the anchor goes on."""
    pid = service.pid("w-0")
    status = service.status()
    service.freeze(service.anchor)
    try:
        service.kill(pid)
        until(lambda: not is_alive(pid), "it is dead")
        assert inspection.inspect(service.anchor, status, service.events).zombies == (pid,)
    finally:
        service.thaw(service.anchor)
    service.wait_for("worker.recovered")
    assert inspection.inspect(service.anchor, service.status(), service.events).zombies == ()


def test_a_standby_belongs_to_the_service(tmp_path: Path) -> None:
    """Whether or not the events of its birth were heard."""
    with Service(tmp_path, f"{CONFIG}standby = 1\n", modules={"beater": BEATER}) as service:
        service.wait_for("standby.ready", count=1)
        service.until(lambda: service.worker("w-0")["standbys"] == 1, "it has a standby")
        for events in (service.events, []):
            assert inspection.inspect(service.anchor, service.status(), events).strangers == ()


class Told:
    """Events of which there are more each time somebody reads them."""

    def __init__(self, *times: list[dict[str, Any]]) -> None:
        self._times = list(times)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._times.pop(0) if len(self._times) > 1 else self._times[0])


def test_a_standby_that_nobody_has_told_of_yet_is_no_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However old its process is, which was an embryo before: its number is the newest, or it is told of by the next look."""
    monkeypatch.setattr(inspection, "YOUNG_S", 0.0)
    with Service(tmp_path, f"{CONFIG}standby = 1\n", modules={"beater": BEATER}) as service:
        ready = service.wait_for("standby.ready")
        service.until(lambda: service.worker("w-0")["standbys"] == 1, "it has a standby")
        number = inspection.number_of(ready["spawn_id"])
        assert number is not None
        status = service.status()
        status["workers"] = [{**row, "standbys": 0} for row in status["workers"]]  # as it was a moment before
        before = [event for event in service.events if event is not ready]
        later = {"event": "worker.ended", "worker": "w", "spawn_id": f"w#{number + 1}"}
        assert inspection.inspect(service.anchor, status, before).strangers == ()
        assert inspection.inspect(service.anchor, status, Told([*before, later], [*before, later, ready])).strangers == ()
        assert inspection.inspect(service.anchor, status, [*before, later]).strangers == (ready["pid"],)


def test_nobody_there_is_nothing_seen() -> None:
    """An anchor that is gone."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    seen = inspection.inspect(pid)
    assert (seen.anchor, seen.supervisor, seen.strangers) == (None, None, ())


def hit(service: Service, number: int, kind: str, pid: int, over: str, worker: str | None = None) -> Injected:
    """Kill a process by hand, as a fault would, and wait until all is well again."""
    row = service.worker(worker) if worker else {}
    since, at = service.mark, time.monotonic()
    service.kill(pid)
    service.wait_for(over, since=since)
    return Injected(chaos_id=f"c{number}", kind=kind, at=at, worker=worker, spawn_id=row.get("spawn_id"), pid=pid)


def look(service: Service) -> Sample:
    rows = tuple(
        Row(worker=row["worker"], phase=row["phase"], want=row["want"], spawn_id=row["spawn_id"])
        for row in service.status()["workers"]
    )
    return Sample(at=time.monotonic(), workers=rows)


def test_a_report_of_a_real_service_that_was_hurt(service: Service) -> None:
    """Workers and parts are killed by hand: every one is traced by the events alone, everybody recovered, nobody else hurt."""
    kills: list[Callable[[int], Injected]] = [
        lambda number: hit(service, number, "kill", service.pid("w-0"), "worker.recovered", "w-0"),
        lambda number: hit(service, number, "kill-supervisor", service.supervisor, "supervisor.resumed"),
        lambda number: hit(service, number, "kill-template", service.template(), "template.ready"),
        lambda number: hit(service, number, "kill", service.pid("w-2"), "worker.recovered", "w-2"),
        lambda number: hit(service, number, "kill-pump", service.pump, "pump.ready"),
    ]
    before = inspection.inspect(service.anchor, service.status(), service.events)
    began, first = time.monotonic(), look(service)
    faults = tuple(kill(number) for number, kill in enumerate(kills))
    ended, last = time.monotonic(), look(service)
    found = find(
        Record(
            service=Named(name="rig", anchor_pid_before=service.anchor, anchor_pid_after=service.anchor), began=began,
            ended=ended, began_wall="", workers=tuple(Member(worker=f"w-{n}", chaos=True) for n in range(3)),
            events=tuple(event for event in service.events if event["event"] != "worker.output"), samples=(first, last),
            faults=faults, kinds=KINDS, before=before, missing=(),
            after=inspection.inspect(service.anchor, service.status(), service.events),
        )
    )  # fmt: skip
    assert [each.traced.outcome for each in found.figures.faults] == [Outcome.RECOVERED] * 5
    for each in found.figures.faults:
        assert each.times.recovery_s is not None
        assert 0 < each.times.recovery_s < ended - began
    assert {each.name: each.sentence for each in found.invariants if str(each.state) == "broken"} == {}
    assert (found.verdict.word, found.hurts) == (Word.HELD, ())
    assert found.figures.availability["w-1"] == 1.0
    assert found.figures.availability["w-0"] is not None
    assert 0 < found.figures.availability["w-0"] < 1
    assert len(found.timeline.aways) == 1


@pytest.mark.parametrize(("seconds", "broken"), [(0.3, []), (600.0, ["descriptors"])])
def test_what_is_taken_for_a_moment_is_no_leak(tmp_path: Path, seconds: float, broken: list[str]) -> None:
    """Clients that come and go, as a standby does that is in the making; those that stay are told of, and by the report too."""
    with chaos_service.at_hand(chaos_service.service(tmp_path)) as hand, contextlib.ExitStack() as clients:
        folder = f"/proc/{hand.service.supervisor}/fd"
        before = len(os.listdir(folder))
        for _ in range(20):
            clients.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX))).connect(hand.service.socket)
        hand.service.until(lambda: len(os.listdir(folder)) > before + 15, "the supervisor has them")
        leaving = threading.Timer(seconds, clients.close)
        leaving.start()
        assert probes.broken_invariants() == broken
        hand.observer.end()
        leaving.cancel()
        told = find(hand.observer.record()).invariants
    assert [each.name for each in told if str(each.state) == "broken"] == broken
