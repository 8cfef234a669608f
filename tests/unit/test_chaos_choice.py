"""Which workers a fault hits: by glob, by number, by seed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from supervisor.chaos import choice

NAMES = [f"w-{number}" for number in range(10)] + ["mailer"]


def choose(pattern: str, *, seed: int = 1, ready: list[str] | None = None, **how: Any) -> list[str]:
    return choice.choose(NAMES, NAMES if ready is None else ready, pattern, random.Random(seed), **how)


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ({}, 1),
        ({"count": 3}, 3),
        ({"percent": 50}, 5),
        ({"percent": 59}, 5),
        ({"percent": 1}, 1),
        ({"everyone": True}, 10),
    ],
)
def test_as_many_are_hit_as_were_asked_for(how: dict[str, Any], number: int) -> None:
    """One unless it is said; a share is rounded down, and is one at least."""
    hit = choose("w-*", **how)
    assert len(hit) == len(set(hit)) == number
    assert all(name.startswith("w-") for name in hit)


def test_the_seed_decides() -> None:
    """The same seed hits the same, in whatever order the names come; another one hits others sooner or later."""
    assert choose("w-*", count=3) == choose("w-*", count=3)
    shuffled = choice.choose(NAMES[::-1], set(NAMES), "w-*", random.Random(1), count=3)
    assert shuffled == choose("w-*", count=3)
    assert len({tuple(choose("w-*", seed=seed, count=3)) for seed in range(20)}) > 5


def test_who_is_not_ready_is_passed_over_and_changes_nothing_else() -> None:
    """The random numbers drawn do not depend on who is ready, so a run is repeated as far as it can be."""
    one, other = random.Random(5), random.Random(5)
    everybody = choice.choose(NAMES, NAMES, "w-*", one, count=9)
    some = choice.choose(NAMES, everybody[1:], "w-*", other, count=3)
    assert set(some) <= set(everybody[1:])
    assert one.random() == other.random()


def test_everyone_is_everyone_that_is_ready() -> None:
    """Who is down already cannot be hit."""
    assert choose("w-*", ready=["w-3", "w-1", "mailer"], everyone=True) == ["w-1", "w-3"]


@pytest.mark.parametrize(("ready", "how"), [([], {}), (["w-1"], {"count": 2}), ([], {"everyone": True})])
def test_fewer_than_asked_for_is_a_refusal_with_names(ready: list[str], how: dict[str, Any]) -> None:
    """Nobody is hit in their place."""
    with pytest.raises(choice.TooFew, match="w-0") as refused:
        choose("w-*", ready=ready, **how)
    assert f"{len(ready)} are ready" in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "says"), [("mialer", "did you mean 'mailer'"), ("zzzzzz", "may be hit: mailer, w-0")]
)
def test_a_glob_that_matches_nothing_says_what_there_is(pattern: str, says: str) -> None:
    """With what was meant, where that can be guessed."""
    with pytest.raises(choice.NoSuchWorker, match=says):
        choose(pattern)
