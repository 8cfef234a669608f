"""Every shipped experiment holds under the Chaos Toolkit too: the same file, its own runner, the same service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import leftovers
from tests.real import shipped
from tests.real.control_world import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.service import Service

pytestmark = [pytest.mark.chaostoolkit, pytest.mark.timeout(120)]


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


def by_the_toolkit(service: Service, name: str, folder: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    """`chaos run config/chaos/NAME.json`: its exit code, its journal, what it said."""
    words = ["--no-version-check", "--no-log-file", "--settings", str(folder / "none"), "run"]
    words += ["--journal-path", str(folder / "journal.json"), *more, f"config/chaos/{name}.json"]
    done = subprocess.run(
        [sys.executable, "-m", "chaostoolkit", *words], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NINELIVES_SOCKET": service.socket}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, json.loads((folder / "journal.json").read_text()), done.stdout + done.stderr


@pytest.mark.parametrize("name", shipped.NAMES)
def test_it_holds_there_too(service: Service, name: str, tmp_path: Path) -> None:
    """What this machine cannot do fails its action with the reason; there that is no deviation."""
    code, journal, said = by_the_toolkit(service, name, tmp_path, *shipped.SHORTER.get(name, ()))
    unmet = [one["activity"]["name"] for state in journal["steady_states"].values() if isinstance(state, dict)
             for one in state["probes"] if not one["tolerance_met"]]  # fmt: skip
    assert (code, journal["status"], journal["deviated"], unmet) == (0, "completed", False, []), said
    failed = ["".join(one["exception"]) for one in journal["run"] if one["status"] != "succeeded"]
    why_not = shipped.why_not_here(name)
    assert bool(failed) == (why_not is not None), said
    assert all(str(why_not) in each for each in failed)
    assert service.ask("chaos")["active"] == []
