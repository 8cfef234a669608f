"""docs/pool.md names a test for each hard case; this reads the table and looks whether they are there."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = (ROOT / "docs" / "pool.md").read_text().split("\n## The evidence\n")[1].split("|---|---|\n")[1].splitlines()


def named_in(file: str) -> list[str]:
    """The names of the tests in a file that the table calls so, without `test_`."""
    path = ROOT / file if "/" in file else ROOT / "tests" / "real" / f"test_pool_{file}.py"
    return re.findall(r"^def test_(\w+)", path.read_text(), re.MULTILINE)


def test_there_are_the_26_cases_and_those_beyond() -> None:
    assert len(ROWS) == 27


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_test_that_a_row_names_is_there(row: str) -> None:
    """A file alone stands for all tests in it; * and … for any letters."""
    for part in row.rstrip("|").split("|")[-1].split(";"):
        file, *patterns = re.findall(r"`([^`]+)`", part)
        there = named_in(file)
        assert there, f"{file} has no tests"
        for pattern in patterns:
            assert fnmatch.filter(there, pattern.replace("…", "*")), f"{file} has no test {pattern}"
