"""What holds for every test: what may be skipped, and that nothing started by one outlives it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from supervisor import kernel
from supervisor.pool.arena import Store
from tests import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

pytest_plugins = ("tests.lanes",)

NO_SKIP = os.environ.get("NINELIVES_NO_SKIP") == "1"  # CI: a test that could not run has not passed

NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "root": (lambda: os.geteuid() == 0, "root: needs to run as root"),
    "systemd": (
        lambda: shutil.which("systemd-analyze") is not None,
        "systemd: needs the Debian package systemd",
    ),
    "numpy": (lambda: importlib.util.find_spec("numpy") is not None, "numpy: needs NumPy"),
    "pandas": (lambda: importlib.util.find_spec("pandas") is not None, "pandas: needs pandas"),
    "pyarrow": (lambda: importlib.util.find_spec("pyarrow") is not None, "pyarrow: needs PyArrow"),
    "chaostoolkit": (
        lambda: importlib.util.find_spec("chaostoolkit") is not None,
        "chaostoolkit: needs the Chaos Toolkit",
    ),
}

# One number for all properties: `make fast` asks for the other profile. A test says only what is peculiar to it.
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.register_profile("fast", max_examples=10, deadline=None)
settings.load_profile("thorough")


def pytest_configure() -> None:
    # The soft limit must not be above the hard one.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kernel.RLIMIT_RTTIME, (leftovers.MARK, leftovers.MARK))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # There is no Chaos Toolkit for a Python this old: its tests are none here, and must run where Python is newer.
    if sys.version_info < (3, 12):
        foreign = [item for item in items if item.get_closest_marker("chaostoolkit")]
        items[:] = [item for item in items if item not in foreign]
        config.hook.pytest_deselected(items=foreign)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (there, reason) in NEEDS.items():
        if item.get_closest_marker(marker) and not there():
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and NINELIVES_NO_SKIP=1 says it must run: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and NINELIVES_NO_SKIP=1 says it must run: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """After a test with real processes, no process, descriptor or control socket is there that was not."""
    if request.path.parent.name not in {"real", "system", "chaos"}:
        yield
        return
    with leftovers.none(tmp_path):
        yield


@pytest.fixture
def store() -> Iterator[Store]:
    """The writer's side of a pool's segments."""
    one = Store()
    yield one
    one.close()
