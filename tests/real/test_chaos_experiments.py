"""Every shipped experiment holds on the service it is made for, one after another, as a user would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.chaos import catalogue, experiment
from supervisor.chaos.providers import Providers
from supervisor.config import check
from tests import leftovers
from tests.real import shipped
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CAMPAIGNS = {
    "cascade", "crash-loop", "kill-all", "monkey-10m", "pool-storm", "rolling-kill", "supervisor-deaths",
}  # fmt: skip
SHORTER = {"monkey-10m": ("--var", "lasting=15", "--var", "mean=0.5")}
MEANT_ONLY = {"clock-jump"}  # the clock is everybody's: not without --var machine=true, which is for tests/system


@pytest.fixture(scope="module", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After all of them, instead of after each: the service goes on in between."""
    with leftovers.none(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="module")
def service(nothing_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The shipped one, from its own file."""
    one = Service(tmp_path_factory.mktemp("chaos"), "")
    one.config = shipped.SERVICE
    with one as running:
        running.wait_for("supervisor.ready", timeout=30)
        yield running


def test_there_is_an_experiment_for_every_kind_of_fault() -> None:
    """It has the name of the kind, and injects it; besides them there are the campaigns, and nothing else."""
    kinds = set(catalogue.kinds())
    assert set(shipped.NAMES) == kinds | CAMPAIGNS
    for kind in sorted(kinds):
        calls = [one["provider"].get("arguments", {}) for one in shipped.read(kind)["method"]]
        assert kind in {arguments.get("kind") for arguments in calls}


@pytest.mark.parametrize("name", shipped.NAMES)
def test_it_is_read_without_a_warning_and_undoes_what_it_did(name: str) -> None:
    """It has a title that is a claim, a hypothesis with a probe of its own, and a rollback that halts."""
    found = experiment.load(str(shipped.FOLDER / f"{name}.json"), Providers().check)
    assert found.warnings == ()
    assert found.description
    asked = {one.provider["func"] for one in found.hypothesis}
    assert {"all_ready", "hurt", "broken_invariants"} < asked
    assert [one.provider["func"] for one in found.rollbacks] == ["halt"]


def test_the_service_is_one_that_check_accepts() -> None:
    """And editors find its keys."""
    config, problems = check(str(shipped.SERVICE))
    assert [str(problem) for problem in problems] == []
    assert config is not None
    assert shipped.SERVICE.read_text().startswith("#:schema ../ninelives.schema.json\n")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", shipped.NAMES)
def test_it_holds(service: Service, name: str, tmp_path: Path) -> None:
    """Exit code 0; what this machine cannot do is refused with the reason, and nothing was done."""
    possible = {kind: catalogue.why_not_here(kind) for kind in catalogue.kinds()}
    done = shipped.run(service, name, tmp_path, *SHORTER.get(name, ()))
    if possible.get(name) is not None or name in MEANT_ONLY:
        assert (done.code, done.faults) == (3, []), done
        assert (possible.get(name) or "say machine=true") in done.err
        return
    assert done.code == 0, f"{done.reasons}\n{done.err}\n{done.out}"
    assert (done.journal["status"], done.journal["deviated"]) == ("completed", False)
    assert name in {fault["kind"] for fault in done.faults} or name in CAMPAIGNS
    assert service.ask("chaos")["active"] == []


@pytest.mark.chaostoolkit
@pytest.mark.parametrize("name", shipped.NAMES)
def test_the_chaos_toolkit_accepts_it_too(name: str) -> None:
    """The same file, by its own rules."""
    from chaoslib.experiment import ensure_experiment_is_valid  # noqa: PLC0415 - there where this test runs

    ensure_experiment_is_valid(shipped.read(name))
