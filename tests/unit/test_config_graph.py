"""Names, groups, needs, and cycles of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.config import check

if TYPE_CHECKING:
    from pathlib import Path


def problems(folder: Path, workers: dict[str, str], groups: dict[str, str]) -> list[str]:
    """The problems of a config with these tables; each text holds lines of TOML."""
    path = folder / "x.toml"
    tables = [f'[workers.{name}]\ntarget = "m:f"\n{lines}\n' for name, lines in workers.items()]
    tables += [f"[groups.{name}]\n{lines}\n" for name, lines in groups.items()]
    path.write_text("\n".join(tables))
    return [str(problem).removeprefix(f"{path}: ") for problem in check(str(path))[1]]


def test_needs_that_go_in_a_circle_are_shown_as_one(tmp_path: Path) -> None:
    """The cycle reads in the direction of the needs."""
    needs = {"a": 'needs = ["b"]', "b": 'needs = ["c"]', "c": 'needs = ["a"]'}
    assert problems(tmp_path, needs, {}) == ["workers.a.needs[0]: nobody can start first: a -> b -> c -> a"]
    assert problems(tmp_path, {"a": 'needs = ["a"]'}, {}) == [
        "workers.a.needs[0]: nobody can start first: a -> a"
    ]


def test_two_circles_are_two_problems(tmp_path: Path) -> None:
    """The search does not stop at the first."""
    needs = {
        "a": 'needs = ["b"]',
        "b": 'needs = ["a"]',
        "c": 'needs = ["d:started"]',
        "d": 'needs = ["c:started"]',
    }
    assert len(problems(tmp_path, needs, {})) == 2


def test_an_earlier_member_cannot_need_a_later_one(tmp_path: Path) -> None:
    """Members start in order, so this would wait for ever."""
    found = problems(tmp_path, {"a": 'needs = ["b"]', "b": ""}, {"g": 'members = ["a", "b"]'})
    assert found == [
        "workers.a.needs[0]: nobody can start first: a -> b -> a; b starts after a by its place in a group"
    ]
    assert problems(tmp_path, {"a": "", "b": 'needs = ["a"]'}, {"g": 'members = ["a", "b"]'}) == []


def test_a_member_cannot_need_its_own_group(tmp_path: Path) -> None:
    """A group is ready when its members are."""
    found = problems(tmp_path, {"a": 'needs = ["g"]'}, {"g": 'members = ["a"]'})
    assert found == [
        "workers.a.needs[0]: nobody can start first: a -> g -> a; g is ready only after its member a"
    ]
    assert problems(tmp_path, {"a": 'needs = ["g:started"]'}, {"g": 'members = ["a"]'}) == []


def test_needs_between_groups_count_for_their_members(tmp_path: Path) -> None:
    """g needs h, and a member of h needs one of g."""
    found = problems(
        tmp_path,
        {"a": "", "b": 'needs = ["a"]'},
        {"g": 'members = ["a"]\nneeds = ["h"]', "h": 'members = ["b"]'},
    )
    assert len(found) == 1
    assert "nobody can start first: " in found[0]


def test_a_group_cannot_contain_itself(tmp_path: Path) -> None:
    """Directly or over others."""
    assert problems(tmp_path, {}, {"g": 'members = ["g"]'}) == [
        "groups.g: a group cannot contain itself: g -> g"
    ]
    [found] = problems(tmp_path, {}, {"g": 'members = ["h"]', "h": 'members = ["g"]'})
    assert "-> " in found


def test_a_member_is_in_one_group_only(tmp_path: Path) -> None:
    """Two would both restart it."""
    found = problems(tmp_path, {"a": ""}, {"g": 'members = ["a"]', "h": 'members = ["a", "a"]'})
    assert [problem.split("; ")[0] for problem in found] == [
        "groups.h.members[0]: a is a member of groups.g, too",
        "groups.h.members[1]: a is a member of groups.g, too",
    ]


def test_names_of_workers_groups_and_replicas_do_not_clash(tmp_path: Path) -> None:
    """Whoever says web-0 means one thing."""
    found = problems(tmp_path, {"web": "replicas = 2", "web-7": "", "g": ""}, {"g": 'members = ["web"]'})
    assert [problem.split("; ")[0] for problem in found] == [
        "workers.web-7: web-7 is the name of a replica of workers.web",
        "groups.g: a worker has the same name",
    ]
    assert problems(tmp_path, {"web": "", "web-7": ""}, {}) == []


def test_a_need_names_workers_not_replicas(tmp_path: Path) -> None:
    """The suggestion says whom to name."""
    [found] = problems(tmp_path, {"web": "replicas = 2", "b": 'needs = ["web-0"]'}, {})
    assert found.endswith('name the worker, "web": it stands for all its replicas')


def test_a_permanent_worker_never_completes(tmp_path: Path) -> None:
    """Whoever waits for that waits for ever."""
    [found] = problems(tmp_path, {"a": "", "b": 'needs = ["a:completed"]'}, {})
    assert "a is permanent and never completes" in found


def test_a_member_may_escalate(tmp_path: Path) -> None:
    """A worker to its group, and a group to the group above."""
    escalate = 'on_quarantine = "escalate"'
    groups = {"g": f'members = ["a"]\n{escalate}', "h": 'members = ["g"]'}
    assert problems(tmp_path, {"a": escalate}, groups) == []


def test_three_thousand_needs_in_a_row_are_no_trouble(tmp_path: Path) -> None:
    """No recursion over what a config can make as long as it likes."""
    needs = {f"w{n}": f'needs = ["w{n + 1}"]' for n in range(3000)} | {"w3000": ""}
    assert problems(tmp_path, needs, {}) == []
