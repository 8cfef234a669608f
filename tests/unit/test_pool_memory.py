"""How much memory is left, read from files as the kernel writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.pool import memory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cgroup v2 tree, in which we are a.slice/b.service."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("4:memory:/old\n0::/a.slice/b.service\n")
    (tmp_path / "meminfo").write_text("MemTotal:  1000000 kB\nMemFree: 1 kB\nMemAvailable:     900000 kB\n")
    (tmp_path / "sys/a.slice/b.service").mkdir(parents=True)
    monkeypatch.setattr(memory, "PROC", str(tmp_path))
    monkeypatch.setattr(memory, "ROOT", str(tmp_path / "sys"))
    return tmp_path / "sys"


def limit(folder: Path, *, current: int, **limits: int | str) -> None:
    (folder / "memory.current").write_text(f"{current}\n")
    for name, value in limits.items():
        (folder / f"memory.{name}").write_text(f"{value}\n")


def test_without_limits_it_is_what_the_machine_has(groups: Path) -> None:
    """MemAvailable, in bytes."""
    limit(groups / "a.slice", current=5, max="max", high="max")
    assert memory.headroom() == (900_000 * 1024, "MemAvailable is 921,600,000")


@pytest.mark.parametrize("folder", ["a.slice", "a.slice/b.service"])
@pytest.mark.parametrize("name", ["max", "high"])
def test_the_tightest_limit_of_all_groups_above_us_counts(groups: Path, folder: str, name: str) -> None:
    """Ours is not the only one that kills us."""
    limit(groups / "a.slice", current=1_000, max="max", high=600_000_000)
    limit(groups / "a.slice/b.service", current=1_000, max=600_000_000, high="max")
    limit(groups / folder, current=300, **{name: 1_000})
    room, what = memory.headroom()
    assert room == 700
    assert what == f"memory.{name} of {groups / folder} is 1,000, memory.current 300"


def test_the_page_cache_of_a_group_is_no_memory_taken(groups: Path) -> None:
    """The kernel drops it when it wants to."""
    limit(groups / "a.slice", current=1_000, max=1_200)
    (groups / "a.slice/memory.stat").write_text("anon 100\ninactive_file 500\nactive_file 100\nshmem 3\n")
    assert memory.headroom()[0] == 800


def test_too_much_is_refused_with_the_figures(groups: Path) -> None:
    """What was wanted, what is there, who says so."""
    limit(groups / "a.slice", current=100, max=memory.RESERVE + 1_100)
    memory.check(1_000)
    with pytest.raises(
        MemoryError, match=r"^1,001 bytes are needed, .*33,555,432 are left \(memory.max of .* stay free\)$"
    ):
        memory.check(1_001)


def test_beside_v1_the_groups_are_where_v2_is(groups: Path) -> None:
    """Machines that have both have v2 in a folder of its own."""
    (groups / "a.slice").rename(groups.parent / "kept")
    (groups / "unified").mkdir()
    (groups / "unified/cgroup.procs").write_text("")
    (groups.parent / "kept").rename(groups / "unified/a.slice")
    limit(groups / "unified/a.slice", current=1, max=100)
    assert memory.headroom()[0] == 99


def test_this_machine_has_some() -> None:
    """The real files can be read."""
    room, what = memory.headroom()
    assert room > 0
    assert "is" in what
