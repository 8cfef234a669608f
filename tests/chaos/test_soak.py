"""The soak in its short form: a small service, half a minute, every kind of fault that this machine allows.

`make chaos` is the long one. The seed is fixed: what is injected, when, is the same every time; whom it hits depends on who is
ready at that moment.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from supervisor.chaos import victim
from supervisor.config import check

if TYPE_CHECKING:
    from pathlib import Path

NINELIVES = (sys.executable, "-m", "supervisor.cli.main")
LASTING_S = 30
KINDS = 30  # of more than 35 kinds, the least that must have been injected


@pytest.mark.alone  # what it judges is how soon everybody is back
@pytest.mark.timeout(300)
def test_half_a_minute_of_every_fault_hurts_nobody_else(tmp_path: Path) -> None:
    """It holds: nobody but the targets is hurt, no invariant is broken, the log has no gap, nothing is left."""
    command = [
        *NINELIVES,
        "chaos",
        "soak",
        "--workers",
        "40",
        "--for",
        f"{LASTING_S}s",
        "--mean",
        "0.2s",
        "--seed",
        "5",
    ]
    ran = subprocess.run(
        [*command, "--journals", str(tmp_path / "journals")], capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    found = re.search(r"(\d+) faults of (\d+) kinds", ran.stderr)
    assert found is not None, ran.stderr
    assert int(found[1]) > LASTING_S
    assert int(found[2]) >= KINDS
    assert (tmp_path / "journals" / "round-1.json").exists()


@pytest.mark.parametrize("workers", [victim.LEAST, 40, 200, 1000])
def test_the_service_that_is_hurt_has_so_many_workers_of_every_sort(workers: int, tmp_path: Path) -> None:
    """And its config is one that `check` accepts."""
    path = tmp_path / "service.toml"
    path.write_text(victim.config(workers))
    config, problems = check(str(path))
    assert problems == []
    assert config is not None
    assert sum(spec.replicas or 1 for spec in config.workers.values()) == workers
    assert {spec.name for spec in config.workers.values() if not spec.chaos} == {"guard"}


def test_too_few_workers_are_refused() -> None:
    """Of every sort there must be one."""
    ran = subprocess.run([*NINELIVES, "chaos", "soak", "--workers", "3"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--workers: 3 is less than 12" in ran.stderr
