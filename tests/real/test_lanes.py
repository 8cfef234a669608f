"""Tests side by side (tests/lanes.py): each is run once, by somebody, and what must be alone is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lanes import ONCE

ROOT = Path(__file__).parents[2]
CONFTEST = """
pytest_plugins = ("tests.lanes",)
"""
TEST = """
import os, pathlib, pytest

NOTES = pathlib.Path(__file__).with_name("notes")

def note(name):
    with NOTES.open("a") as file:
        file.write(f"{os.environ['NINELIVES_LANE'].rpartition('/')[2]} {pathlib.Path(__file__).stem}.{name}\\n")

@pytest.mark.parametrize("number", range(3))
def test_one_of_many(number):
    note(f"many{number}")

@pytest.mark.alone
def test_that_is_alone():
    note("alone")
"""
BLIND = """
import os

def pytest_collection_modifyitems(items):
    if os.environ["NINELIVES_LANE"].endswith("alone"):
        items.pop()
"""
QUICKLY = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:timeout")
FILES = ("test_a", "test_b", "test_c")


def lanes(
    folder: Path, *arguments: str, environment: Any = (), by: Any = (), **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run what is in the folder, `by` a command that is given this; `more` are files beside the usual ones, or instead."""
    sources = {"conftest": CONFTEST} | dict.fromkeys(FILES, TEST) | more
    for name, source in sources.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    kept = {name: value for name, value in os.environ.items() if name not in ("NINELIVES_LANE", "NINELIVES_ONCE_MORE")}
    ini = str(folder / "pytest.ini")
    return subprocess.run(
        [*by, sys.executable, "-m", "tests.lanes", *QUICKLY, "-c", ini, str(folder), *arguments],
        cwd=ROOT, env=kept | {"NINELIVES_LANES": "2", "PYTHONPATH": str(ROOT)} | dict(environment),
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def notes(folder: Path) -> list[tuple[str, str]]:
    """(lane, test) as they were run."""
    lines = (folder / "notes").read_text().splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


def test_each_test_is_run_once_and_those_that_must_be_alone_at_the_end(tmp_path: Path) -> None:
    """A file's tests all in one lane, in their order."""
    ran = lanes(tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    noted = notes(tmp_path)
    assert sorted(test for _, test in noted) == sorted(
        f"{f}.{t}" for f in FILES for t in ("alone", "many0", "many1", "many2")
    )
    assert noted[9:] == [("alone", f"{file}.alone") for file in FILES]
    for file in FILES:
        here = [(lane, test) for lane, test in noted[:9] if test.startswith(file)]
        assert [test for _, test in here] == [f"{file}.many{number}" for number in range(3)]
        assert len({lane for lane, _ in here}) == 1
    assert "12 tests" in ran.stdout


def test_one_lane_has_all_that_boot_a_machine(tmp_path: Path) -> None:
    """They are in a folder of their own, system."""
    ran = lanes(tmp_path, **{f"system/test_{letter}": TEST for letter in "vwxyz"})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    noted = notes(tmp_path / "system")
    assert len(noted) == 20
    assert len({lane for lane, _ in noted}) == 2, "a lane, and alone"


def test_a_failure_in_one_lane_is_a_failure_of_all_and_stops_none(tmp_path: Path) -> None:
    """The others are run nevertheless, those that must be alone as well."""
    ran = lanes(tmp_path, test_b="def test_wrong():\n    assert 1 == 2\n")
    assert ran.returncode == 1
    assert ran.stdout.count("test_b.py::test_wrong, call") == 2, "told at once, and again as the last of all"
    assert ran.stdout.endswith("test_b.py::test_wrong, call\n    assert 1 == 2\n"), ran.stdout
    assert "FAILED" in ran.stdout
    assert len(notes(tmp_path)) == 8


def test_a_test_that_no_lane_ran_is_a_failure(tmp_path: Path) -> None:
    """Here the lanes do not even agree on what there is to run."""
    ran = lanes(tmp_path, conftest=CONFTEST + BLIND)
    assert ran.returncode == 1
    assert "[11, 12] collected by the lanes" in ran.stderr


def test_a_lane_that_leaves_in_the_middle_is_a_failure(tmp_path: Path) -> None:
    """Whatever code it leaves with."""
    ran = lanes(tmp_path, test_a="import os\ndef test_leaves():\n    os._exit(0)\n")
    assert ran.returncode == 1
    assert "collected by the lanes" in ran.stderr


def test_once_more_means_without_what_was_done_on_another_python(tmp_path: Path) -> None:
    """It is counted, and the rest is run; what there is to be left out is there."""
    assert all((ROOT / "tests" / name).exists() for name in ONCE)
    more: dict[str, Any] = {name.removesuffix(".py"): TEST for name in ONCE}
    ran = lanes(tmp_path, environment={"NINELIVES_ONCE_MORE": "1"}, **more)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted({test.partition(".")[0] for _, test in notes(tmp_path)}) == list(FILES)
    assert f"{4 * len(ONCE)} deselected" in ran.stdout


def test_the_interrupt_is_not_ignored_by_what_is_tested_in_the_background(tmp_path: Path) -> None:
    """A shell has ^C ignored by what it runs there, down to the last process."""
    hears = "import signal\n\ndef test_it():\n    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    hears += "    assert signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL\n"
    done = lanes(tmp_path, by=("sh", "-c", "trap '' INT QUIT; exec \"$0\" \"$@\""), test_d=hears)
    assert done.returncode == 0, done.stdout


def test_nothing_to_run_is_no_success(tmp_path: Path) -> None:
    """As pytest has it: 5."""
    assert lanes(tmp_path, "-k", "no_test_is_called_this").returncode == 5
