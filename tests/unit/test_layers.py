"""The layer table of docs/architecture.md, enforced.

The table is one order: a module imports at run time only what stands in a row above its own, or before it in its own
row. A new file gets its place there first; nothing has to be changed here. What is imported for type checking only
is no dependency.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d|own) \| (.*) \|$", re.MULTILINE)
IMPURE = {"asyncio", "time", "os", "structlog", "tenacity", "subprocess", "socket", "signal", "threading"}
TOUCH_LINUX = {"kernel", "freshness", "freezer"}  # layer 0, and not pure: what the own programs share


def table() -> dict[str, list[str]]:
    """Layer -> modules (`boot`, `pool/arena`) and packages (`cli/`) in order; words in brackets count too, prose does not."""
    text = (ROOT / "docs/architecture.md").read_text().split("## Layers", 1)[1]
    return {layer: re.findall(r"`([a-z_]+(?:/[a-z_]+)?)/?`", cell) for layer, cell in ROW.findall(text)}


TABLE = table()
LAYER = {module: layer for layer, modules in TABLE.items() for module in modules}
PLACE = {module: at for at, module in enumerate(m for modules in TABLE.values() for m in modules)}
EXCUSED = {("readiness", "life")}  # made for each other: readiness builds a Fault, lazily
FILES = sorted(path for path in (ROOT / "supervisor").rglob("*.py") if path.name != "__init__.py")
WORKERS = sorted((ROOT / "workers").rglob("*.py"))


def unit(path: Path) -> str:
    """The row's word for a file: its module, or package/module; its package if that has one place for all of it."""
    return place_of(path.relative_to(ROOT / "supervisor").with_suffix("").parts)


def place_of(parts: Sequence[str]) -> str:
    whole = "/".join(parts[:2])
    return whole if whole in LAYER else parts[0]


def imports(path: Path) -> Iterator[str]:
    """Dotted names imported at run time, anywhere in the file; `from supervisor import kernel` gives both."""

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(path.read_text()))


def of_ours(path: Path) -> set[str]:
    """The units of `supervisor` a file imports, but for its own."""
    names = ([*name.split("."), ""] for name in imports(path))
    places = {place_of(parts[1:]) for parts in names if parts[0] == "supervisor"}
    return {place for place in places if place in LAYER} - {unit(path)}


def foreign(path: Path) -> set[str]:
    """The top-level packages a file imports that are not ours."""
    return {name.split(".")[0] for name in imports(path)} - {"supervisor", "workers"}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_file_has_a_place_and_imports_only_what_stands_before_it(path: Path) -> None:
    """A file that is not in the table is refused: give it a place first."""
    me = unit(path)
    assert me in LAYER, f"{ids(path)} is not in the layer table of docs/architecture.md"
    below = of_ours(path)
    if LAYER[me] == "own":
        assert {LAYER[other] for other in below} <= {"0", "own"}, f"{ids(path)} imports {sorted(below)}"
    else:
        programs = {other for other in below if LAYER[other] == "own" and LAYER[me] >= "2"}
        wrong = sorted(other for other in below - programs if PLACE[other] > PLACE[me] and (me, other) not in EXCUSED)
        assert not wrong, f"{ids(path)} (layer {LAYER[me]}) imports {', '.join(wrong)} from above it"


@pytest.mark.parametrize("path", [p for p in FILES if LAYER.get(unit(p)) == "own"], ids=ids)
def test_a_program_of_its_own_needs_the_standard_library_only(path: Path) -> None:
    """It starts in milliseconds, and nothing installed can break it."""
    assert foreign(path) <= sys.stdlib_module_names


@pytest.mark.parametrize("path", [p for p in FILES if LAYER.get(unit(p)) in {"0", "1"}], ids=ids)
def test_nouns_and_decisions_are_pure(path: Path) -> None:
    """No clock, no process, no log: they are tables, and are tested as tables."""
    if unit(path) not in TOUCH_LINUX:
        assert not foreign(path) & IMPURE


def test_only_the_keeper_loops_with_tenacity() -> None:
    """One place waits, counts and gives up; the pool has no lives to keep, and asks only how long to wait."""
    wanted = ["supervisor/keeper.py", "supervisor/pool/retry.py"]
    assert [ids(path) for path in FILES if "tenacity" in foreign(path)] == wanted


@pytest.mark.parametrize("path", WORKERS, ids=ids)
def test_workers_import_nothing_of_the_supervisor(path: Path) -> None:
    """A worker's process holds nothing of the service's."""
    assert not [name for name in imports(path) if name.split(".")[0] == "supervisor"]


@pytest.mark.parametrize("name", ["wire", "heart"])
def test_the_heart_needs_the_standard_library_only(name: str) -> None:
    """Importing it must cost a worker next to nothing."""
    assert foreign(ROOT / "workers" / f"{name}.py") <= sys.stdlib_module_names


def test_no_place_is_given_twice_or_to_nobody() -> None:
    """The table names every module once, and only what exists."""
    named = [module for modules in TABLE.values() for module in modules]
    assert len(named) == len(set(named))
    there = {unit(path) for path in FILES}
    assert sorted(set(named) - there) == []
