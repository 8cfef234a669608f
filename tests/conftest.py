"""What holds for every test: what may be skipped, and that nothing started by one outlives it.

Processes are recognised by their hard limit of RLIMIT_RTTIME: like our brand, which is the soft one, it is
handed on through fork, exec, setsid and a cleared environment, so not even a daemon slips out of the count.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import resource
import shutil
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import settings

from supervisor import kernel
from supervisor.pool.arena import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

T = TypeVar("T")

pytest_plugins = ("tests.lanes",)

NO_SKIP = os.environ.get("NINELIVES_NO_SKIP") == "1"  # CI: a test that could not run has not passed
MARK = 1 << 62 | os.getpid()  # above every brand, and without the bit that makes a brand
PATIENCE_S = 3.0  # what is on its way out may finish; this long only when something really is left

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
        resource.setrlimit(kernel.RLIMIT_RTTIME, (MARK, MARK))


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
    processes, descriptors = _processes(), _descriptors()
    yield
    late = [
        *_after_patience(lambda: _processes() - processes, _describe),
        *_after_patience(lambda: _descriptors() - descriptors, lambda fd: f"descriptor {fd[0]} -> {fd[1]}"),
        *(f"socket {path}" for path in tmp_path.rglob("*.sock") if stat.S_ISSOCK(path.lstat().st_mode)),
    ]
    for pid in _processes() - processes:  # the next test starts clean whatever this one did
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if late:
        pytest.fail("left behind:\n  " + "\n  ".join(late), pytrace=False)


def _after_patience(look: Callable[[], set[T]], describe: Callable[[T], str]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while (left := look()) and time.monotonic() < deadline:
        gc.collect()  # a transport in a reference cycle is garbage, not a leak
        time.sleep(0.01)
    return [describe(one) for one in left]


def _processes() -> set[int]:
    """Living processes started, at any remove, by this run of pytest (not those in a rig's PID namespace)."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and _ours(int(entry)):
            now = kernel.stat(int(entry))
            if now is not None and now.state not in "ZX":
                found.add(int(entry))
    return found


def _ours(pid: int) -> bool:
    try:
        return resource.prlimit(pid, kernel.RLIMIT_RTTIME)[1] == MARK and (
            os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
        )
    except OSError:
        return False


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of listdir itself
            found.add((int(fd), os.readlink(f"/proc/self/fd/{fd}")))
    return found


def _describe(pid: int) -> str:
    now = kernel.stat(pid)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        line = ""
    return f"process {pid} ({line or (now.command if now else 'gone')})"


@pytest.fixture
def store() -> Iterator[Store]:
    """The writer's side of a pool's segments."""
    one = Store()
    yield one
    one.close()
