"""The shipped experiments, and the service they are made for, as a user runs them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.chaos import catalogue, findings
from supervisor.chaos.invariants import State
from tests.real.chaos_service import PYTHON
from tests.real.control_world import ROOT
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(ROOT) / "config" / "chaos"
SERVICE = FOLDER / "service.toml"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
SHORTER = {"monkey-10m": ("--var", "lasting:float=15", "--var", "mean:float=0.5")}
MEANT_ONLY = {"clock-jump"}  # the clock is everybody's: not without --var machine=true, which is for tests/system


class Run(NamedTuple):
    """One run: its exit code, what it said, its journal."""

    code: int
    out: str
    err: str
    journal: dict[str, Any]

    @property
    def unmet(self) -> set[str]:
        """Names of the probes that were not to the hypothesis's liking after the method."""
        state = self.journal["steady_states"]["after"] or {"probes": []}
        return {one["activity"]["name"] for one in state["probes"] if not one.get("tolerance_met")}

    @property
    def broken(self) -> set[str]:
        """The invariants that the report calls broken."""
        return {each.name for each in findings.of_journal(self.journal).invariants if each.state is State.BROKEN}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it deviated, in the words of the report."""
        return findings.of_journal(self.journal).verdict.reasons

    @property
    def faults(self) -> list[dict[str, Any]]:
        """What was injected."""
        (extension,) = (one for one in self.journal["extensions"] if one["name"] == "ninelives")
        found: list[dict[str, Any]] = extension["record"]["faults"]
        return found


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Service]:
    """The service they are made for, from its own file."""
    one = Service(folder, "")
    one.config = SERVICE
    with one as running:
        running.wait_for("supervisor.ready", timeout=30)
        yield running


def why_not_here(name: str) -> str | None:
    """Words of the reason for which this experiment is refused on this machine; None: it is not."""
    if name in MEANT_ONLY:
        return "say machine=true"
    return catalogue.why_not_here(name) if name in catalogue.kinds() else None


def read(name: str) -> dict[str, Any]:
    """An experiment as it stands in its file."""
    tree: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return tree


def run(service: Service, name: str, folder: Path, *more: str) -> Run:
    """`ninelives chaos run config/chaos/NAME.json`, in the project's folder."""
    journal = folder / "journal.json"
    words = [*PYTHON, "run", "--socket", service.socket, f"config/chaos/{name}.json", "--journal", str(journal), *more]
    try:
        done = subprocess.run(
            words, cwd=ROOT, env={**os.environ, **service.env}, capture_output=True, text=True, timeout=110, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{error}\n{(error.stderr or b'').decode()}\n{service.show()}") from None
    return Run(done.returncode, done.stdout, done.stderr, json.loads(journal.read_text()))
