"""What chaos may hit: a table of rules and workers, and what is said to each request."""

from __future__ import annotations

import pytest

from supervisor.chaos import leash
from supervisor.chaos.leash import Standing
from supervisor.spec import ChaosRules

RULES = ChaosRules(enabled=True, max_count=2, max_percent=50.0)


def web(count: int, **changed: str) -> list[Standing]:
    """web-0 …, all ready; changed: by number `w3="down"`, words joined by a space."""
    return [standing(f"web-{at}", changed.get(f"w{at}", "")) for at in range(count)]


def standing(name: str, words: str = "") -> Standing:
    return Standing(
        name,
        opted_in="stranger" not in words,
        up="down" not in words and "done" not in words,
        ready=not {"down", "done", "starting"} & set(words.split()),
        hit="hit" in words,
    )


@pytest.mark.parametrize(
    ("rules", "standings", "targets", "why"),
    [
        (RULES, web(4), ["web-0"], None),
        (RULES, web(4), ["web-0", "web-3"], None),
        (RULES, web(4, w0="stranger"), ["web-0"], "web-0 has not opted in: set chaos = true in its [workers] table"),
        (RULES, web(4, w1="down"), ["web-1"], "web-1 is not wanted up, or is done"),
        (RULES, web(4, w1="done"), ["web-0", "web-1"], "web-1 is not wanted up, or is done"),
        (RULES, web(8), ["web-0", "web-1", "web-2"], "3 of 8 workers would be under a fault, the most is 2"),
        # who is hit, or is up and not ready, counts; who is wanted down does not
        (RULES, web(8, w7="hit"), ["web-0"], None),
        (RULES, web(8, w7="hit", w6="hit"), ["web-0"], "2 already are or are not ready: web-6, web-7"),
        (RULES, web(8, w7="starting", w6="hit"), ["web-0"], "2 already are or are not ready: web-6, web-7"),
        (RULES, web(8, w7="down", w6="done"), ["web-0", "web-1"], None),
        (RULES, web(8, w7="stranger starting", w6="hit"), ["web-0"], None),
        # the same worker once more is no one more
        (RULES, web(8, w0="hit", w1="hit"), ["web-0", "web-1"], None),
        # by percent rounded down, but one may always
        (RULES, web(3), ["web-0", "web-1"], "2 of 3 workers would be under a fault, the most is 1"),
        (RULES, web(1), ["web-0"], None),
        (RULES, web(1, w0="hit"), ["web-0"], None),
        (ChaosRules(max_count=9, max_percent=1.0), web(9), ["web-0"], None),
        (ChaosRules(max_count=9, max_percent=1.0), web(9), ["web-0", "web-1"], "is 1 (max_count = 9, max_percent = 1)"),
        (ChaosRules(max_count=9, max_percent=100.0), web(3), ["web-0", "web-1", "web-2"], None),
        (ChaosRules(max_count=1, max_percent=100.0), web(3), ["web-0", "web-1"], "the most is 1"),
        (RULES, [*web(3), standing("db", "stranger")], ["web-0", "web-1"], "2 of 3 workers would be under a fault"),
    ],
)  # fmt: skip
def test_why_not(rules: ChaosRules, standings: list[Standing], targets: list[str], why: str | None) -> None:
    """Each cell of the rules, in its own words."""
    said = leash.why_not(rules, standings, targets)
    assert said is None if why is None else said is not None and why in said


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("web-1", {"web-1"}),
        ("web", {"web-0", "web-1", "web-2"}),
        ("web-[02]", {"web-0", "web-2"}),
        ("w*", {"web-0", "web-1", "web-2"}),
        ("*", {"web-0", "web-1", "web-2", "db", "db-backup"}),
        ("db", {"db", "db-backup"}),
        ("db-*", {"db-backup"}),
        ("WEB", set()),
        ("eb", set()),
    ],
)
def test_who_is_protected(pattern: str, names: set[str]) -> None:
    """By the worker's name, a glob, or the name of the spec it is a replica of; more is protected rather than less."""
    rules = ChaosRules(enabled=True, max_percent=100.0, max_count=9, protected=("nobody", pattern))
    everyone = [*web(3), standing("db"), standing("db-backup")]
    assert {one.name for one in everyone if leash.is_protected(rules, one.name)} == names
    assert {one.name for one in everyone} - names == {one.name for one in leash.may_hit(rules, everyone)}
    for one in everyone:
        said = leash.why_not(rules, everyone, [one.name])
        assert said == (f"{one.name} is protected by [chaos] protected" if one.name in names else None)


def test_may_hit_is_sorted_and_says_nothing_of_today() -> None:
    """Who is down or hit may be hit another time."""
    everyone = [standing("b", "down"), standing("c", "stranger"), standing("a", "hit")]
    assert [one.name for one in leash.may_hit(RULES, everyone)] == ["a", "b"]


@pytest.mark.parametrize(
    ("below", "standings", "enough"),
    [
        (0.5, web(4, w0="starting", w1="starting"), True),
        (0.5, web(4, w0="starting", w1="starting", w2="starting"), False),
        (0.5, web(4, w0="down", w1="done", w2="starting"), True),
        (1.0, web(2, w0="starting"), False),
        (0.0, web(1, w0="starting"), True),
        (0.5, web(1, w0="down"), True),
        (0.5, [*web(1), standing("db", "stranger starting"), standing("x", "stranger starting")], False),
    ],
)
def test_the_floor(below: float, standings: list[Standing], *, enough: bool) -> None:
    """Of all workers wanted up, opted in or not; where none is, there is nothing to fall below."""
    why = leash.floor(ChaosRules(enabled=True, abort_below=below), standings)
    assert (why is None) is enough
    if why is not None:
        ready, wanted = leash.available(standings)
        assert why == f"floor: only {ready} of {wanted} workers are ready (abort_below = {below:g})"
