"""The supervisor may die or freeze at any moment: the workers go on, nothing runs twice, and every ending is told once."""

from __future__ import annotations

import signal
import statistics
from typing import TYPE_CHECKING

import pytest

from tests.real.living import is_alive
from tests.real.service import until
from tests.real.survival import STEADY, at, either, how_to_lose, lived_once, rig

if TYPE_CHECKING:
    from pathlib import Path


@either
def test_idle(tmp_path: Path, how: str) -> None:
    """A supervisor lost while nothing happens: a new one, and the worker has not noticed."""
    with rig(tmp_path, "") as service:
        pid = service.wait_for("worker.ready", worker="steady")["pid"]
        lost, since = service.supervisor, how_to_lose(service, how)
        resumed = service.wait_for("supervisor.resumed", since=since)
        assert resumed["adopted"] == 1
        assert resumed["pid"] != lost
        assert not is_alive(lost)
        assert service.pid("steady") == pid
        lived_once(service, "steady")


@pytest.mark.alone  # it is the time that counts
def test_supervising_resumes_within_half_a_second_of_a_kill(tmp_path: Path) -> None:
    """Ten kills in a row; the figure is the service's own, of the anchor's clock, and given room for a loaded machine."""
    with rig(tmp_path, "") as service:
        pid = service.wait_for("worker.ready", worker="steady")["pid"]
        away = []
        for _ in range(10):
            away.append(service.kill_supervisor()["away_s"])
            until(lambda: service.status()["supervisor"]["pid"] == service.supervisor, "the new one answers")
        print(f"away_s: median {statistics.median(away):.3f}, most {max(away):.3f}")
        assert statistics.quantiles(away)[0] < 0.5, "other tests may have the CPUs, but not every time"
        assert service.pid("steady") == pid
        assert service.status()["supervisor"]["resumes"] == 10


@either
def test_in_the_middle_of_a_spawn(tmp_path: Path, how: str) -> None:
    """A spawn that was asked for and not done yet is done once, whoever asked."""
    config = f"""
        [templates.slow]
        preload = ["slow"]
        env = {{ GATE = "{tmp_path}/shut" }}
        [workers.one]
        target = "acts:obedient"
        template = "slow"
        ready_within = "60s"
    """
    with rig(tmp_path, config) as service:
        first = service.wait_for("worker.ready", worker="one")["pid"]
        gate = tmp_path / "shut"
        gate.touch()
        service.kill(service.template("slow"), service.embryo("slow"))
        service.wait_for("template.ended", template="slow")
        since = service.mark
        service.kill(first, number=signal.SIGUSR1)
        service.wait_for("worker.ended", worker="one", exit_code=7)
        how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        gate.unlink()
        service.wait_for("worker.ready", worker="one", since=since)
        lived_once(service, "one", lives=2)
        assert len([pid for pid in service.children() if pid == service.pid("one")]) == 1
        lived_once(service, "steady")


@either
def test_in_the_middle_of_a_stop(tmp_path: Path, how: str) -> None:
    """A worker that ignores TERM is killed after its grace all the same, once, and stays down as it was wanted."""
    config = '[workers.one]\ntarget = "workers.stubborn:main"\ngrace = "1s"\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.ready", worker="one")
        service.ask("stop", workers=["one"], wait=False)
        service.wait_for("worker.stopping", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        ended = service.wait_for("worker.ended", worker="one")
        assert ended["signal"] == "SIGKILL"
        assert "asked" in ended["how"]
        lived_once(service, "one")
        row = service.worker("one")
        assert (row["want"], row["phase"]) == ("down", "down")
        lived_once(service, "steady")


@either
def test_in_the_middle_of_a_reload(tmp_path: Path, how: str) -> None:
    """The config that was accepted is in force afterwards, and what it did not change was not touched."""
    config = '[workers.one]\ntarget = "acts:stubborn"\ngrace = "800ms"\nenv = { MODE = "old" }\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.ready", worker="one")
        new = config.replace("old", "new") + '[workers.two]\ntarget = "acts:steady"\n'
        service.config.write_text(STEADY + new)
        service.kill(service.anchor, number=signal.SIGHUP)
        service.wait_for("worker.stopping", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        service.wait_for("worker.ready", worker="two")
        service.wait_for("worker.output", worker="one", since=since, msg="new")
        service.wait_for("worker.ready", worker="one", since=since)  # what it prints may be read before
        lived_once(service, "one", lives=2)
        lived_once(service, "steady")


@either
def test_in_the_middle_of_a_backoff(tmp_path: Path, how: str) -> None:
    """The wait goes on where it was, neither cut short nor begun anew, and the streak with it."""
    pause = 1.5 if how == "killed" else 5.0
    config = f"""
        [workers.one]
        target = "acts:crash"
        backoff = {{ first = "{pause}s", initial = "30s", max = "30s", jitter = "0s" }}
    """
    with rig(tmp_path, config) as service:
        backed_off = service.wait_for("worker.backed_off", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        assert service.worker("one")["streak"] == 1
        again = service.wait_for("worker.spawned", worker="one", since=since)
        assert pause - 0.01 < at(again) - at(backed_off) < pause + 1.0
        assert service.wait_for("worker.backed_off", worker="one", since=since)["streak"] == 2
        lived_once(service, "one", lives=2)


@either
def test_in_quarantine(tmp_path: Path, how: str) -> None:
    """Quarantine is kept, and so is the way out of it."""
    config = '[workers.one]\ntarget = "acts:crash"\nmax_failures = 2\n'
    with rig(tmp_path, config) as service:
        service.wait_for("worker.quarantined", worker="one")
        since = how_to_lose(service, how)
        service.wait_for("supervisor.resumed", since=since)
        row = service.worker("one")
        assert (row["phase"], row["streak"], row["want"]) == ("quarantined", 2, "up")
        assert service.ask("release", workers=["one"])["released"] == ["one"]
        service.wait_for("worker.spawned", worker="one", since=since)
        service.wait_for("worker.quarantined", worker="one", since=since)
        lived_once(service, "one", lives=4)
