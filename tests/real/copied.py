"""A service that runs from a copy of the whole package, which a test may change while it runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import supervisor
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(supervisor.__file__).parent.parent


class Copy:
    """A copy of the whole package, and a service that runs from it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "copy"
        for package in ("supervisor", "workers"):
            shutil.copytree(SOURCE / package, self.root / package, ignore=shutil.ignore_patterns("__pycache__"))

    def service(self, folder: Path, config: str) -> Service:
        return Service(folder / "service", config, run=self.run, env={"PYTHONPATH": ""})

    @property
    def run(self) -> tuple[str, ...]:
        """What starts a service from it, before the config."""
        program = f"import sys; sys.path.insert(0, {str(self.root)!r}); from supervisor.cli.main import entry; entry()"
        return (sys.executable, "-P", "-c", program, "run")

    def change(self, module: str, change: Callable[[str], str]) -> None:
        path = self.root / "supervisor" / f"{module}.py"
        path.write_text(change(path.read_text()))
