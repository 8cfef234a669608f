"""The experiments in the order of the notes: their claims, then the five rows of their table.

Names only, so that `ninelives demo --help` imports no experiment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from supervisor.demo.frame import Experiment

CLAIMS = (
    "process", "processes", "pool", "performance", "resources", "responsiveness", "design", "isolation", "libraries",
    "placement",
)  # fmt: skip
ROWS = ("power", "simultaneous", "classes", "creation", "memory")
NAMES = CLAIMS + ROWS


def load(name: str) -> Experiment:
    """Import the experiment of that name, one of NAMES."""
    return cast("Experiment", importlib.import_module(f"supervisor.demo.experiments.{name}"))


def source(name: str) -> str:
    """Where its file is, below the project's folder."""
    return f"supervisor/demo/experiments/{name}.py"
