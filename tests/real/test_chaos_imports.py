"""What reading and running an experiment costs before anything is done."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.real.control_world import ROOT

MODULES = ("experiment", "tolerance", "schedule", "providers", "runner", "journal", "toolkit")


@pytest.mark.parametrize("module", MODULES)
def test_the_driver_s_modules_need_none_of_the_service_s_heavy_ones(module: str) -> None:
    """No event loop, no log, no terminal's colours, and nothing of the web until it is asked."""
    code = f"import json, sys, supervisor.chaos.{module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert (
        set(json.loads(done.stdout)) & {"asyncio", "structlog", "rich", "ssl", "http.client", "urllib.request"} == set()
    )
