"""Faults done to workers from outside: each is seen as it says it is, undone as it says it is, and stays where it is put."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import freezer, kernel
from supervisor.cli.client import Denied
from tests.real.chaos_rig import rig, state
from tests.real.living import is_alive
from tests.real.service import until

if TYPE_CHECKING:
    from collections.abc import Callable

FREEZABLE = [
    pytest.param(
        version,
        marks=pytest.mark.skipif(
            freezer.why_not(freezer.group_of("self", version)) is not None, reason=f"no writable cgroup v{version}"
        ),
    )
    for version in (2, 1)
]
SECONDS = 30.0  # longer than any test: what is undone here is undone by what it is about


def cgroups(fault: dict[str, Any]) -> list[Path]:
    """Those that this fault has made."""
    tops = [group for version in (1, 2) if (group := freezer.group_of("self", version)) is not None]
    return [found for group in tops for found in Path(group.folder).glob(f"{freezer.PREFIX}{fault['chaos_id']}")]


def opener(path: Path) -> str:
    return f"""
        [workers.target]
        target = "acts:opener"
        args = {{ path = "{path}" }}
        chaos = true
    """


def test_term_is_an_end_nobody_asked_for(tmp_path: Path) -> None:
    """The worker leaves as it does when it is asked to, and is started again, for the service did not ask."""
    with rig(tmp_path) as service:
        fault = service.inject("term", "target")
        ended = service.wait_for("worker.ended", worker="target")
        assert ended["chaos_id"] == fault["chaos_id"]
        assert "asked" not in ended["how"]
        service.wait_for("worker.ready", worker="target", count=2)


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "BUS"])
def test_a_crash_is_seen_as_that_signal(tmp_path: Path, name: str) -> None:
    """With the stack the worker left, and no core."""
    with rig(tmp_path) as service:
        fault = service.inject("crash", "target", signal=name)
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["chaos_id"], ended["signal"]) == (fault["chaos_id"], f"SIG{name}")
        assert "acts.py" in ended["stack"]
        service.wait_for("worker.ready", worker="target", count=2)
        assert not list(tmp_path.glob("core*"))


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """What is open stays open, nothing more can be; undone, all is as it was, in what the worker forked meanwhile as well."""
    with rig(tmp_path, opener(tmp_path / "file")) as service:
        service.wait_for("worker.output", worker="target", msg="fine")
        pid = service.pid("target")
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        fault = service.inject("fd-exhaust", "target", seconds=SECONDS)
        service.wait_for("worker.output", worker="target", msg=os.strerror(24))
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[1] == before[1]
        assert service.halt() == [fault["chaos_id"]]
        assert "RLIMIT_NOFILE" in service.undone(fault)["how"]
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == before
        service.wait_for("worker.output", worker="target", msg="fine", count=2)
        assert service.pid("target") == pid


def test_some_descriptors_are_left(tmp_path: Path) -> None:
    """`left` is how many may still be opened, though the numbers of the open ones have holes."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
        service.inject("fd-exhaust", "target", seconds=SECONDS, left=3)
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        assert len(set(range(limit)) - taken) == 3
        service.halt()


def test_a_full_disk_is_the_workers_alone(tmp_path: Path) -> None:
    """Its writes to files fail, its output and its beats do not; undone, they work."""
    with rig(tmp_path, opener(tmp_path / "file")) as service:
        service.wait_for("worker.output", worker="target", msg="fine")
        pid = service.pid("target")
        fault = service.inject("disk-full", "target", seconds=SECONDS)
        service.wait_for("worker.output", worker="target", msg=os.strerror(27))
        service.halt()
        assert service.undone(fault)["how"] == "RLIMIT_FSIZE no limit again"
        assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
        service.wait_for("worker.output", worker="target", msg="fine", count=2)
        assert service.pid("target") == pid


def test_the_hook_of_a_worker_obeys_while_its_disk_is_full(tmp_path: Path) -> None:
    """Its answers are written to a memfd, which counts as a file: for them it lifts the limit, and for nothing else."""
    with rig(tmp_path, opener(tmp_path / "file")) as service:
        service.wait_for("worker.output", worker="target", msg="fine")
        pid = service.pid("target")
        service.inject("disk-full", "target", seconds=SECONDS)
        service.wait_for("worker.output", worker="target", msg=os.strerror(27))
        hang = service.inject("hang", "target", seconds=SECONDS)
        assert service.ask("halt", chaos_ids=[hang["chaos_id"]])["undone"] == [hang["chaos_id"]]
        assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == 0
        service.halt()
        assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
        service.wait_for("worker.output", worker="target", msg="fine", count=2)
        assert service.pid("target") == pid


def test_a_full_disk_kills_who_does_not_expect_it(tmp_path: Path) -> None:
    """A program that is not Python, and has not heard of SIGXFSZ."""
    workers = f"""
        [workers.target]
        command = ["sh", "-c", "while sleep 0.02; do echo x; done > {tmp_path}/file"]
        chaos = true
    """
    with rig(tmp_path, workers) as service:
        until(lambda: (tmp_path / "file").stat().st_size, "it writes")
        fault = service.inject("disk-full", "target", seconds=SECONDS)
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["signal"], ended["chaos_id"]) == ("SIGXFSZ", fault["chaos_id"])
        assert service.undone(fault)["reason"] == "ended"
        service.wait_for("worker.ready", worker="target", count=2)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("fd-exhaust", "already"),
        ("disk-full", "already"),
        ("spawn-fail", "already"),
        pytest.param("freeze-cgroup", "frozen already", marks=FREEZABLE[0].marks),
    ],
)
def test_once_is_enough(tmp_path: Path, kind: str, said: str) -> None:
    """The second would take what the first has done for what was before, and leave it so."""
    with rig(tmp_path, more="max_failures = 1000") as service:
        service.inject(kind, "target", seconds=SECONDS)
        with pytest.raises(Denied, match=said):
            service.inject(kind, "target", seconds=SECONDS)
        service.halt()
        service.until(lambda: service.worker("target")["phase"] == "ready", "it is well again")


@pytest.mark.parametrize("version", FREEZABLE)
def test_a_frozen_cgroup_and_back(tmp_path: Path, version: int) -> None:
    """Nobody is told, nothing runs in it; thawed in time the worker goes on where it was, in the cgroup it was in."""
    workers = '[workers.target]\ntarget = "acts:parent"\nchaos = true\n'
    with rig(tmp_path, workers) as service:
        pid = service.pid("target")
        (child,) = until(lambda: kernel.children(pid), "it has a child")
        before = [freezer.group_of(each, version) for each in (pid, child)]
        fault = service.inject("freeze-cgroup", "target", seconds=SECONDS, version=f"v{version}")
        (group,) = cgroups(fault)
        assert set((group / "cgroup.procs").read_text().split()) == {str(pid), str(child)}
        ran = kernel.cpu_spans_s(pid)
        assert service.worker("neighbour")["phase"] == "ready"
        assert kernel.cpu_spans_s(pid) == ran
        service.halt()
        assert "thawed" in service.undone(fault)["how"]
        assert [freezer.group_of(each, version) for each in (pid, child)] == before
        until(lambda: kernel.cpu_spans_s(pid) != ran, "it runs again")
        assert not cgroups(fault)
        assert not service.seen("worker.frozen")
        assert service.pid("target") == pid


@pytest.mark.parametrize("version", FREEZABLE)
def test_a_frozen_worker_is_found_hung_and_dies(tmp_path: Path, version: int) -> None:
    """Where SIGKILL does not reach what is frozen, it is thawed for that; its cgroup goes with it."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        fault = service.inject("freeze-cgroup", "target", seconds=SECONDS, version=f"v{version}")
        hung = service.wait_for("worker.hung", worker="target")
        assert hung["chaos_id"] == fault["chaos_id"]
        assert service.wait_for("worker.ended", worker="target")["chaos_id"] == fault["chaos_id"]
        assert service.undone(fault)["reason"] == "ended"
        service.wait_for("worker.ready", worker="target", count=2)
        assert not is_alive(pid)
        until(lambda: not cgroups(fault), "its cgroup is gone")


@pytest.mark.parametrize("version", FREEZABLE)
def test_a_frozen_worker_stops_when_it_is_asked_to(tmp_path: Path, version: int) -> None:
    """It is thawed to hear of it, and need not be killed."""
    with rig(tmp_path, more='grace = "8s"') as service:
        fault = service.inject("freeze-cgroup", "target", seconds=SECONDS, version=f"v{version}")
        service.ask("stop", workers=["target"])
        service.wait_for("worker.ended", worker="target")
        assert not service.seen("worker.killed")
        until(lambda: not cgroups(fault), "its cgroup is gone")


@pytest.mark.parametrize("version", FREEZABLE)
def test_the_end_of_the_service_thaws(tmp_path: Path, version: int) -> None:
    """Nothing frozen is left of it."""
    with rig(tmp_path) as service:
        fault = service.inject("freeze-cgroup", "target", seconds=SECONDS, version=f"v{version}")
        assert service.stop() == 0
        assert not cgroups(fault)


@pytest.mark.parametrize("version", FREEZABLE)
def test_the_anchors_death_leaves_nothing_frozen_alive(tmp_path: Path, version: int) -> None:
    """Whoever is left to kill what the anchor leaves behind thaws what would not die."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        fault = service.inject("freeze-cgroup", "target", seconds=SECONDS, version=f"v{version}")
        service.kill(service.anchor)
        try:
            until(lambda: not is_alive(pid), "the frozen worker is dead")
        finally:
            for group in cgroups(fault):  # whoever would have removed it is dead
                until(lambda group=group: freezer.remove(freezer.Group(version, str(group))), f"{group} is gone")  # type: ignore[misc]
        until(lambda: not service.living(), "nothing of it is left")


@pytest.mark.parametrize("how", ["cwd", "exec", "user"])
def test_no_life_can_be_started(tmp_path: Path, how: str) -> None:
    """Each try says what is wrong; undone, the next one works."""
    with rig(tmp_path, more="max_failures = 1000") as service:
        since = service.mark
        fault = service.inject("spawn-fail", "target", seconds=SECONDS, how=how)
        assert service.wait_for("worker.ended", worker="target")["chaos_id"] == fault["chaos_id"]
        service.wait_for("worker.ended", worker="target", result="resources", count=2)
        assert not service.seen("worker.ready", worker="target", since=since)
        since = service.mark
        service.halt()
        service.wait_for("worker.ready", worker="target", since=since)
        assert service.undone(fault)["how"] == "its spec as the config has it"


def test_standbys_do_not_help_who_cannot_be_started(tmp_path: Path) -> None:
    """They were made when all was well; with the fault they are nobody's, and after it they are there."""
    with rig(tmp_path, more="max_failures = 1000\nstandby = 1") as service:
        service.wait_for("standby.ready", worker="target")
        service.inject("spawn-fail", "target", seconds=SECONDS)
        service.wait_for("worker.ended", worker="target", result="resources", count=2)
        assert not service.seen("standby.ended")
        since = service.mark
        service.halt()
        spawned = service.wait_for("worker.spawned", worker="target", since=since)
        assert spawned["from"] == "standby"


def test_a_reload_ends_what_keeps_a_worker_from_starting(tmp_path: Path) -> None:
    """What the config says is what is done."""
    with rig(tmp_path, more="max_failures = 1000") as service:
        fault = service.inject("spawn-fail", "target", seconds=SECONDS)
        service.wait_for("worker.ended", worker="target", result="resources")
        since = service.mark
        service.ask("reload")
        service.wait_for("worker.ready", worker="target", since=since)
        service.halt()
        assert service.undone(fault)["how"] == "a reload came first"


def test_standbys_are_killed_and_made_anew(tmp_path: Path) -> None:
    """The worker they wait for does not notice."""
    with rig(tmp_path, more="standby = 2") as service:
        service.wait_for("standby.ready", worker="target", count=2)
        pid = service.pid("target")
        service.inject("kill-standby", "target")
        service.wait_for("standby.ended", worker="target", signal="SIGKILL", count=2)
        service.wait_for("standby.ready", worker="target", count=4)
        assert service.pid("target") == pid
        service.kill(pid)
        assert "chaos_id" not in service.wait_for("worker.ended", worker="target")


def test_standbys_are_a_part_of_the_service(tmp_path: Path) -> None:
    """They may be hit only where its parts may."""
    with rig(tmp_path, more="standby = 1", chaos="[chaos]\nenabled = true\n") as service:
        with pytest.raises(Denied, match="parts = true"):
            service.inject("kill-standby", "target")
        service.wait_for("chaos.refused")


LASTING: dict[str, Callable[[int, dict[str, Any]], bool]] = {
    "freeze": lambda pid, _: state(pid) == "T",
    "freeze-cgroup": lambda _, fault: bool(cgroups(fault)),
    "fd-exhaust": lambda pid, _: resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] < 100,
    "disk-full": lambda pid, _: resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == 0,
}


@pytest.mark.parametrize("kind", LASTING)
def test_the_next_supervisor_undoes_what_the_last_one_did(tmp_path: Path, kind: str) -> None:
    """At its time, and whatever was to be known for it has outlived the one who did it."""
    with rig(tmp_path, '[workers.target]\ntarget = "acts:steady"\nchaos = true\n') as service:
        pid = service.pid("target")
        fault = service.inject(kind, "target", seconds=4.0)
        until(lambda: LASTING[kind](pid, fault), "it is done")  # a signal takes a moment
        service.kill_supervisor()
        assert LASTING[kind](pid, fault)
        assert service.undone(fault)["reason"] == "over"
        until(lambda: not LASTING[kind](pid, fault), "it is undone")
        assert service.pid("target") == pid


def test_the_next_supervisor_knows_the_right_spec(tmp_path: Path) -> None:
    """What only keeps a worker from starting is over with the supervisor that did it."""
    with rig(tmp_path, more="max_failures = 1000") as service:
        fault = service.inject("spawn-fail", "target", seconds=SECONDS)
        service.wait_for("worker.ended", worker="target", result="resources")
        since = service.mark
        service.kill_supervisor()
        assert service.undone(fault)["reason"] == "resumed"
        service.wait_for("worker.ready", worker="target", since=since)


@pytest.mark.parametrize("version", FREEZABLE)
def test_frozen_and_found_hung_while_nobody_supervises(tmp_path: Path, version: int) -> None:
    """The next supervisor finds it silent, thaws it and has it dead."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        fault = service.inject("freeze-cgroup", "target", seconds=SECONDS, version=f"v{version}")
        supervisor = service.supervisor
        os.kill(supervisor, signal.SIGSTOP)
        service.wait_for("supervisor.resumed")
        service.wait_for("worker.hung", worker="target")
        service.wait_for("worker.ready", worker="target", count=2)
        assert not is_alive(pid)
        until(lambda: not cgroups(fault), "its cgroup is gone")
