"""Faults done to the service's own parts: it goes on, says what became of them, and its workers do not notice."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.chaos import catalogue
from supervisor.chaos.fault import INSIDE
from supervisor.cli.client import Denied
from tests.real.chaos_rig import CHAOS, rig, state
from tests.real.service import until
from tests.real.test_chaos_faults_outside import LASTING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.chaos_rig import Rig

SECONDS = 30.0  # longer than any test: what is undone here is undone by what it is about
FLOOD = """
    [supervisor]
    recent = "1MiB"
    [workers.waits]
    target = "acts:talker"
    args = { every = 0.0005 }
    beat_within = "10s"
    [workers.drops]
    target = "acts:talker"
    args = { every = 0.0005 }
    beat_within = "10s"
    output = { when_full = "drop" }
"""


def no_gap(service: Rig) -> None:
    """Every line has the number after the one before it."""
    numbers = [event["seq"] for event in service.events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_templates_are_killed_and_made_anew(tmp_path: Path) -> None:
    """All of them, or the one that is named; their workers live on."""
    with rig(
        tmp_path, '[templates.warm]\npreload = ["json"]\n[workers.target]\ntarget = "acts:steady"\ntemplate = "warm"\n'
    ) as service:
        service.wait_for("template.ready", template="warm")
        pid, since = service.pid("target"), service.mark
        service.inject("kill-template", template="warm")
        service.wait_for("template.ended", template="warm", signal="SIGKILL", since=since)
        service.wait_for("template.ready", template="warm", since=since)
        assert not service.seen("template.ended", template="bare")
        since = service.mark
        service.inject("kill-template")
        for name in ("bare", "warm"):
            service.wait_for("template.ended", template=name, since=since)
            service.wait_for("template.ready", template=name, since=since)
        assert service.pid("target") == pid
        with pytest.raises(Denied, match="did you mean 'warm'"):
            service.inject("kill-template", template="worm")


def test_the_pump_is_killed_and_no_line_lost(tmp_path: Path) -> None:
    """Nor written twice."""
    with rig(tmp_path, '[workers.target]\ntarget = "acts:talker"\n') as service:
        service.wait_for("worker.output", worker="target", count=20)
        pid = service.pump
        service.inject("kill-pump")
        assert service.wait_for("pump.ended")["pid"] == pid
        since = service.mark
        service.wait_for("worker.output", worker="target", since=since, count=20)
        no_gap(service)


def test_the_supervisor_answers_and_is_dead(tmp_path: Path) -> None:
    """Who asked for it has the answer, every time; the next goes on with everything."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        for resumes in range(1, 6):
            old, since = service.supervisor, service.mark
            service.inject("kill-supervisor")
            resumed = service.wait_for("supervisor.resumed", since=since)
            assert (resumed["resumes"], resumed["adopted"]) == (resumes, 2)
            assert resumed["pid"] != old
        assert service.pid("target") == pid
        no_gap(service)


def test_the_supervisor_is_frozen_for_a_moment(tmp_path: Path) -> None:
    """It goes on as the same one, and nothing is left of who stopped it."""
    with rig(tmp_path) as service:
        old = service.supervisor
        fault = service.inject("freeze-supervisor", seconds=1.0)
        until(lambda: state(old) == "T", "it is stopped")
        assert service.undone(fault)["reason"] == "over"
        service.wait_for("supervisor.lagged")
        assert service.supervisor == old
        until(lambda: not service.children("nl-pause"), "who stopped it is gone")
        zombies = [pid for pid in kernel.children(service.anchor) if state(pid) == "Z"]
        assert not zombies


def test_the_supervisor_is_frozen_for_too_long(tmp_path: Path) -> None:
    """The anchor kills it and starts another; nothing is left of who stopped it, long before its time."""
    with rig(tmp_path) as service:
        pid, old = service.pid("target"), service.supervisor
        fault = service.inject("freeze-supervisor", seconds=SECONDS)
        resumed = service.wait_for("supervisor.resumed")
        assert resumed["pid"] != old
        assert service.undone(fault)["reason"] == "resumed"
        until(lambda: not service.children("nl-pause"), "who stopped it is gone")
        assert service.pid("target") == pid


def test_who_froze_the_supervisor_does_not_outlive_the_anchor(tmp_path: Path) -> None:
    """Nor does the frozen one."""
    with rig(tmp_path) as service:
        old = service.supervisor
        service.inject("freeze-supervisor", seconds=SECONDS)
        until(lambda: state(old) == "T", "it is stopped")
        service.kill(service.anchor)
        until(lambda: not [pid for pid in service.living() if state(pid) != "Z"], "nothing of it is alive")


def test_an_upgrade_in_the_midst_of_things(tmp_path: Path) -> None:
    """The same code takes over; who asked has the answer."""
    with rig(tmp_path) as service:
        pid, old = service.pid("target"), service.supervisor
        service.inject("upgrade")
        assert service.wait_for("supervisor.upgraded")["pid"] != old
        assert service.pid("target") == pid


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("garbage", "is not UTF-8"),
        ("truncated", "is not TOML"),
        ("unknown-key", "no_such_key"),
        ("cycle", "ninelives-chaos-a"),
    ],
)
def test_a_damaged_config_is_rejected(tmp_path: Path, how: str, said: str) -> None:
    """It says what is wrong, and all goes on with the config as it was; the file is not touched."""
    with rig(tmp_path) as service:
        before, text = service.status()["workers"], service.config.read_text()
        service.inject("reload-bad", how=how)
        assert said in service.wait_for("config.rejected")["errors"]
        assert not service.seen("supervisor.reloaded")
        assert service.config.read_text() == text
        after = service.status()["workers"]
        assert [row["spawn_id"] for row in after] == [row["spawn_id"] for row in before]
        service.ask("reload")
        assert service.wait_for("supervisor.reloaded")["changes"] == "nothing changes"


def progress(service: Rig, worker: str) -> int:
    return int(service.worker(worker)["progress"] or 0)


def stands_still(service: Rig, worker: str) -> bool:
    """For a fifth of a second, in which it would say 100 lines."""
    before = progress(service, worker)
    time.sleep(0.2)  # nothing tells that nothing happens
    return progress(service, worker) == before


def test_nobody_reads_the_log(tmp_path: Path) -> None:
    """Who may wait waits, who must not goes on and its losses are counted; supervising goes on; then all is said in order."""
    with rig(tmp_path, FLOOD) as service:
        service.wait_for("worker.output", worker="waits")
        fault = service.inject("log-stall", seconds=SECONDS)
        until(lambda: stands_still(service, "waits"), "it waits")
        at = progress(service, "drops")
        until(lambda: progress(service, "drops") > at + 500, "it goes on")
        said = service.mark
        pid = service.pid("neighbour")
        assert service.worker("neighbour")["phase"] == "ready"
        assert service.mark == said, "not a line is written"
        service.halt()
        assert service.undone(fault)["how"] == "the pump writes again"
        service.wait_for("log.dropped", worker="drops")
        until(lambda: not stands_still(service, "waits"), "it goes on")
        assert service.pid("neighbour") == pid
        last = int(service.wait_for("worker.output", worker="waits", since=service.mark)["msg"].split()[0])
        numbers = [int(event["msg"].split()[0]) for event in service.seen("worker.output", worker="waits")]
        assert numbers[:last] == list(range(1, last + 1))


def test_the_log_is_read_again_when_its_time_is_over(tmp_path: Path) -> None:
    """By the pump itself, though there was no supervisor to tell it."""
    with rig(tmp_path, '[workers.target]\ntarget = "acts:talker"\n') as service:
        fault = service.inject("log-stall", seconds=1.0)
        os.kill(service.supervisor, 19)
        since = service.mark
        service.wait_for("worker.output", worker="target", since=since)
        assert time.monotonic() >= fault["until"]
        service.wait_for("supervisor.resumed")
        no_gap(service)


def test_a_pump_that_dies_ends_what_was_done_to_it(tmp_path: Path) -> None:
    """The next one writes, and that it is over is said at once."""
    with rig(tmp_path, '[workers.target]\ntarget = "acts:talker"\n') as service:
        fault = service.inject("log-stall", seconds=SECONDS)
        since = service.mark
        service.inject("kill-pump")
        assert service.undone(fault)["reason"] == "ended"
        service.wait_for("worker.output", worker="target", since=since)
        no_gap(service)


@pytest.mark.parametrize("kind", ["log-stall", "log-full"])
def test_the_end_of_the_service_is_written_all_the_same(tmp_path: Path, kind: str) -> None:
    """It undoes what was done to its log first, and no line is missing: the ring had room for them."""
    with rig(tmp_path, '[workers.target]\ntarget = "acts:talker"\n') as service:
        fault = service.inject(kind, seconds=SECONDS)
        assert service.stop() == 0
        assert service.undone(fault)["reason"] == "stopping"
        assert service.events[-1]["event"] == "supervisor.stopped"
        no_gap(service)


def test_the_pump_is_hindered_in_one_way_at_a_time(tmp_path: Path) -> None:
    """To undo one would end the other."""
    with rig(tmp_path) as service:
        service.inject("log-stall", seconds=SECONDS)
        with pytest.raises(Denied, match="on the pump already"):
            service.inject("log-full")
        service.halt()
        service.inject("log-full")
        service.halt()


def test_the_disk_of_the_log_is_full(tmp_path: Path) -> None:
    """Nobody waits; what is missing is told of when there is room again, and for want of what it was lost."""
    file = tmp_path / "file.log"
    workers = f"""
        [supervisor]
        recent = "1MiB"
        [workers.loud]
        target = "acts:talker"
        args = {{ every = 0.0005 }}
        beat_within = "10s"
        [workers.filed]
        target = "acts:talker"
        args = {{ every = 0.0005 }}
        beat_within = "10s"
        output = {{ file = "{file}" }}
    """
    with rig(tmp_path, workers) as service:
        until(lambda: file.exists() and file.stat().st_size > 0, "it is written to")
        fault = service.inject("log-full", seconds=SECONDS)
        until(lambda: service.ask("chaos")["active"], "it goes on")
        at = {name: progress(service, name) for name in ("loud", "filed")}
        size = file.stat().st_size
        for name, before in at.items():
            until(lambda name=name, before=before: progress(service, name) > before + 2000, f"{name} does not wait")  # type: ignore[misc]
        assert file.stat().st_size == size
        service.halt()
        assert service.undone(fault)
        dropped = service.wait_for("log.dropped", reason=lambda why: why and "No space left" in why)
        assert dropped["count"] > 0
        service.wait_for("log.dropped", worker="filed")
        until(lambda: file.stat().st_size > size, "it is written to again")


def test_the_clock_of_the_machine_takes_a_word(tmp_path: Path) -> None:
    """Nobody steps it by mistake: nothing is done, and it is told why."""
    with rig(tmp_path) as service:
        (kind,) = [each for each in service.ask("chaos")["kinds"] if each["kind"] == "clock-jump"]
        ahead = time.time() - time.monotonic()
        with pytest.raises(Denied, match="machine=true" if kind["possible"] else "CAP_SYS_TIME"):
            service.inject("clock-jump", by=100)
        assert abs(time.time() - time.monotonic() - ahead) < 1
        assert not service.active()


@pytest.mark.parametrize(
    "kind", ["kill-pump", "kill-supervisor", "log-stall", "reload-bad", "upgrade", "freeze-supervisor"]
)
def test_parts_are_hit_only_where_the_config_allows_it(tmp_path: Path, kind: str) -> None:
    """`parts` is false unless it is said."""
    chaos = CHAOS.replace("parts = true", "")
    with rig(tmp_path, chaos=chaos) as service:
        supervisor, pump = service.supervisor, service.pump
        with pytest.raises(Denied, match="parts = true"):
            service.inject(kind)
        assert (service.supervisor, service.pump) == (supervisor, pump)


ON_THE_PUMP = ("log-stall", "log-full")
ELSEWHERE = {
    "freeze-supervisor",  # ends with the supervisor it is done to: here, above
    "clock-jump",  # tests/system/test_chaos_machine.py
    "spawn-fail",  # ends with the supervisor it is done in: test_chaos_faults_outside.py
}


def test_every_kind_that_lasts_is_undone_after_the_death_of_who_did_it() -> None:
    """There is a test for each: of those done to workers, of those done to the pump, and elsewhere."""
    lasting = {
        kind for kind in catalogue.kinds() if catalogue.fault(kind).lasting and catalogue.fault(kind).place != INSIDE
    }
    assert lasting == {*LASTING, *ON_THE_PUMP, *ELSEWHERE}


@pytest.mark.parametrize("kind", ON_THE_PUMP)
def test_the_next_supervisor_undoes_what_the_last_one_did(tmp_path: Path, kind: str) -> None:
    """At its time; the pump is the same all the while."""
    with rig(tmp_path, '[workers.target]\ntarget = "acts:talker"\n') as service:
        pump = service.pump
        fault = service.inject(kind, seconds=1.5)
        service.kill(service.supervisor)
        assert service.undone(fault)["reason"] == "over"
        assert service.pump == pump
        service.wait_for("supervisor.resumed")
