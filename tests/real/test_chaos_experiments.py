"""Every shipped experiment holds on the service it is made for, one after another, as a user would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.chaos import catalogue, experiment
from supervisor.chaos.providers import Providers
from supervisor.config import check
from tests import leftovers
from tests.real import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.service import Service

CAMPAIGNS = {
    "cascade", "crash-loop", "kill-all", "monkey-10m", "pool-storm", "rolling-kill", "supervisor-deaths",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After all of them, instead of after each: the service goes on in between."""
    with leftovers.none(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="module")
def service(nothing_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all of them."""
    with shipped.served(tmp_path_factory.mktemp("chaos")) as running:
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
    done = shipped.run(service, name, tmp_path, *shipped.SHORTER.get(name, ()))
    why_not = shipped.why_not_here(name)
    if why_not is not None:
        assert (done.code, done.faults) == (3, []), done
        assert why_not in done.err
        return
    assert done.code == 0, f"{done.reasons}\n{done.err}\n{done.out}"
    assert (done.journal["status"], done.journal["deviated"]) == ("completed", False)
    assert name in {fault["kind"] for fault in done.faults} or name in CAMPAIGNS
    assert service.ask("chaos")["active"] == []
