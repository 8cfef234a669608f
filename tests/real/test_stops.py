"""A worker that somebody stops with a signal is told of once, and so is its going on, whoever supervises meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real.living import is_alive
from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path

SLEEPER = '[workers.sleeper]\ncommand = ["sleep", "100"]\nsuccess = ["SIGTERM"]\n'
TICKER = '[workers.ticker]\ntarget = "workers.ticker:main"\nstandby = 1\n'


def freezes(service: Service) -> list[str]:
    """What was told of it, in order."""
    return [each["event"] for each in service.events if each["event"] in {"worker.frozen", "worker.thawed"}]


def test_a_stop_that_the_supervisor_did_not_live_to_tell_is_told_by_the_next(tmp_path: Path) -> None:
    """And not again by those after it; that it went on while nobody listened is told as well."""
    with Service(tmp_path, SLEEPER) as service:
        service.wait_for("supervisor.ready")
        asleep, supervisor = service.pid("sleeper"), service.supervisor
        service.freeze(supervisor)
        service.freeze(asleep)
        service.kill(supervisor)
        frozen = service.wait_for("worker.frozen")
        assert (frozen["worker"], frozen["pid"], frozen["signal"]) == ("sleeper", asleep, "SIGSTOP")
        service.kill_supervisor()
        supervisor = service.supervisor
        service.status()
        assert freezes(service) == ["worker.frozen"]
        service.freeze(supervisor)
        service.thaw(asleep)
        service.kill(supervisor)
        assert service.wait_for("worker.thawed")["pid"] == asleep
        service.kill_supervisor()
        service.status()
        assert freezes(service) == ["worker.frozen", "worker.thawed"]
        assert service.pid("sleeper") == asleep


@pytest.mark.parametrize("who", ["pump", "template"])
def test_one_of_ours_that_is_stopped_while_nobody_supervises_is_replaced(tmp_path: Path, who: str) -> None:
    """It would neither write nor fork, and not die either."""
    with Service(tmp_path, TICKER) as service:
        service.wait_for("standby.ready")
        supervisor, since = service.supervisor, service.mark
        stopped = service.pump if who == "pump" else service.template()
        service.freeze(supervisor)
        service.freeze(stopped)
        service.kill(supervisor)
        service.until(lambda: not is_alive(stopped), "it was put out of the way")
        service.wait_for(f"{who}.ready", since=since)
        service.kill(service.pid("ticker"))
        service.wait_for("worker.ready", since=since, worker="ticker")
