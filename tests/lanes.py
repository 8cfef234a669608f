"""All tests, in several runs of pytest side by side: most of them wait more than they compute. `python -m tests.lanes`

    lane 1  |test_demo|test_control|   |test_pump|...|          each an ordinary pytest, with all the tests collected
    lane 2  |test_verbs       |test_crowd|test_wire|...|        the next file is claimed by whichever is free
    alone                                              |...|    marked `alone`: the machine to themselves, at the end

A lane is a process of its own and not one of pytest-xdist's: those have a second thread, and from Python 3.12 on a process
with threads is warned when it forks, which tests do here, and warnings are errors. What the lanes ran is counted together: a
test that no lane ran is a failure.

NINELIVES_LANES says how many there are: three for two CPUs, unless it is set. In the mean a test has a CPU for less than half
of its time, so that three leave something over; with four, limits of time would be about the machine and not about us.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LANE = "NINELIVES_LANE"  # in a lane's environment: the file for its count, beside the claims of all of them
ALONE = "alone"
FAILED = "failed"  # the file beside the counts that has what failed, in a few lines each: told again as the last of all
WHY_LINES, WHY_LENGTH = 6, 400
# The longest files first: what is left for the end is small, and the lanes come to it together.
FOLDERS = ("chaos", "system", "real", "virtual", "unit")
# What takes long, and why one Python is enough for it: left out, and counted as deselected, if NINELIVES_ONCE_MORE=1 says that
# all has been run on another already. CI does, on its second Python (and has 1,000 restarts there instead of 10,000).
ONCE = {
    "real/test_chaos_defects.py": "what is planted is the same, and that experiments wait for it in vain takes long",
    "real/test_chaos_experiments.py": "where the Chaos Toolkit can be, it runs the same files on the same service",
    "real/test_lanes.py": "it is about pytest, in 21 runs of it",
    "real/test_pool_large.py": "lengths beyond 31 bits are the kernel's matter; what takes long are its pages",
    "system/test_chaos_machine.py": "the guest's clock and its cgroups are looked at, and a boot takes long",
    "system/test_pool_limit.py": "the kernel's OOM killer is looked at, and a boot takes long",
}
NOTHING_COLLECTED = pytest.ExitCode.NO_TESTS_COLLECTED.value


# -- within a lane, whose plugin this file is ----------------------------------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what one Python is enough for, where that has been done."""
    if os.environ.get("NINELIVES_ONCE_MORE") == "1":
        done = [item for item in items if f"{item.path.parent.name}/{item.path.name}" in ONCE]
        items[:] = [item for item in items if item not in done]
        config.hook.pytest_deselected(items=done)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """In a lane: over the tests of files that it is the first to claim, or over those marked `alone`."""
    if LANE not in os.environ or session.config.option.collectonly:
        return None  # pytest's own loop
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted(f"{session.testsfailed} errors while collecting")
    lane = Path(os.environ[LANE])
    ran = 0
    items = _own(session.items, lane)
    item = next(items, None)
    while item is not None:
        following = next(items, None)  # claimed ahead: it decides what has to be torn down
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        ran += 1
        item = following
    lane.write_text(f"{ran} {len(session.items)}")
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In a lane, a failure is told at once, and not only when all the tests are over."""
    if LANE in os.environ and report.failed:
        print(f"\n{report.nodeid}, {report.when}:\n{report.longreprtext}", flush=True)
        why = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E")]
        lines = [f"{report.nodeid}, {report.when}", *(f"    {line[:WHY_LENGTH]}" for line in why[:WHY_LINES])]
        with Path(os.environ[LANE]).with_name(FAILED).open("a") as file:
            file.write("\n".join(lines) + "\n")


def _own(items: list[pytest.Item], lane: Path) -> Iterator[pytest.Item]:
    alone = lane.name == ALONE
    claims: dict[Path, bool] = {}
    for item in sorted(items, key=_place):
        if (item.get_closest_marker("alone") is not None) != alone:
            continue
        # One lane has all that boot a machine of their own, which keeps a CPU busy: never two at once.
        what = item.path.parent if item.path.parent.name == "system" else item.path
        if what not in claims:
            claims[what] = alone or _claim(lane.parent, what)
        if claims[what]:
            yield item


def _place(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def _claim(folder: Path, path: Path) -> bool:
    try:
        (folder / ("claim" + str(path).replace("/", "!"))).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


# -- around them -----------------------------------------------------------------------------------------------------------


class Lane:
    """A pytest. Its lines are printed as they come, those of its summary together, for somebody may want to read them."""

    _printing = threading.Lock()

    def __init__(self, folder: Path, name: str, arguments: list[str]) -> None:
        self.name = name
        self.record = folder / name
        # A folder of its own for what tests write: pytests that share one clear away each other's, and trip over it.
        own = ["--basetemp", str(folder / f"of-{name}")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-o", "console_output_style=times", *own, *arguments],
            env={**os.environ, LANE: str(self.record)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        headings, summary = 0, []
        for line in lines:
            headings += line.startswith("==")
            if headings < 2:
                self._print([line])
            else:
                summary.append(line)
        self._print(summary)

    def _print(self, lines: list[str]) -> None:
        with self._printing:
            sys.stdout.writelines(f"{self.name}| {line}" for line in lines)
            sys.stdout.flush()

    def interrupt(self) -> None:
        """As ^C would."""
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Wait for the end; pytest's exit code."""
        code = self._process.wait()
        self._reader.join(10)  # a process that was left behind may still hold the pipe
        return code


def main(arguments: list[str]) -> int:
    """Run them; 0 if every test passed, and every one was run by somebody."""
    count = int(os.environ.get("NINELIVES_LANES") or 3 * len(os.sched_getaffinity(0)) // 2)
    with tempfile.TemporaryDirectory(prefix="nl-lanes-", ignore_cleanup_errors=True) as folder:
        names = [str(number) for number in range(1, count + 1)]
        codes = _side_by_side(Path(folder), names, arguments)
        if pytest.ExitCode.INTERRUPTED not in codes:
            codes += _side_by_side(Path(folder), [ALONE], arguments)
            names.append(ALONE)
        bad = [code for code in codes if code not in (0, NOTHING_COLLECTED)]
        if bad:
            failed = Path(folder, FAILED)
            which = failed.read_text().rstrip() if failed.exists() else f"no test, but pytest: {bad}"
            print(f"== failed\n{which}", flush=True)
            return 1
        if NOTHING_COLLECTED in codes:
            return NOTHING_COLLECTED
        return _counted([Path(folder, name) for name in names])


def _side_by_side(folder: Path, names: list[str], arguments: list[str]) -> list[int]:
    began = time.monotonic()
    lanes: list[Lane] = []
    asked: list[int] = []

    def passed_on(number: int, _: object) -> None:
        asked.append(pytest.ExitCode.INTERRUPTED.value)  # whatever the lanes make of it
        if number == signal.SIGTERM:  # ^C comes from the terminal to all of them
            for lane in lanes:
                lane.interrupt()

    # First: a shell has ^C and ^\ ignored by what it runs in the background. A lane would inherit that, and what it tests too.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, passed_on)
    signal.signal(signal.SIGTERM, passed_on)
    lanes += [Lane(folder, name, arguments) for name in names]
    codes = [lane.ended() for lane in lanes]
    print(f"== lanes {', '.join(names)}: {time.monotonic() - began:.0f} s", flush=True)
    return codes + asked


def _counted(records: list[Path]) -> int:
    # None where a lane left in the middle, and by the code 0 at that.
    counts = [tuple(map(int, record.read_text().split())) if record.exists() else (0, 0) for record in records]
    ran, collected = sum(count[0] for count in counts), {count[1] for count in counts}
    print(f"== {ran} tests: {' + '.join(str(count[0]) for count in counts)}", flush=True)
    if collected == {ran}:
        return 0
    print(f"lanes: {ran} tests were run, and {sorted(collected)} collected by the lanes", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
