"""The monkey's schedule."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.chaos.schedule import BadPlan, Plan, seeds, turns

FOREVER = float("inf")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    mean = draw(st.floats(0.01, 1000))
    kinds = draw(st.lists(st.sampled_from(["kill", "freeze", "crash", "upgrade", "leak"]), min_size=1, unique=True))
    return Plan(
        mean=mean, least=draw(st.floats(0, 1)) * mean, lasting=mean * draw(st.floats(0.1, 50)), kinds=tuple(kinds),
        parameters=draw(st.dictionaries(st.sampled_from(kinds), st.just({"rate": 3}))),
    )  # fmt: skip


@given(plans(), st.integers())
def test_the_same_seed_gives_the_same_schedule(plan: Plan, seed: int) -> None:
    """Whenever and however often it is asked for."""
    first = list(itertools.islice(turns(plan, seed), 200))
    assert list(itertools.islice(turns(plan, seed), 200)) == first


@given(plans(), st.integers())
def test_no_two_turns_are_nearer_than_the_least_wait_and_none_is_late(plan: Plan, seed: int) -> None:
    """The first has to wait as well; what is not due before the end is not due."""
    drawn = list(itertools.islice(turns(plan, seed), 200))
    moments = [0.0, *(turn.at for turn in drawn)]
    rounding = 1e-9 * plan.lasting
    assert all(later - earlier >= plan.least - rounding for earlier, later in itertools.pairwise(moments))
    assert all(turn.at < plan.lasting for turn in drawn)


@given(plans(), st.integers())
def test_a_turn_has_a_kind_of_the_plan_and_that_kinds_parameters(plan: Plan, seed: int) -> None:
    """Nothing else, and no other's."""
    for turn in itertools.islice(turns(plan, seed), 50):
        assert turn.kind in plan.kinds
        assert turn.parameters == plan.parameters.get(turn.kind, {})


@given(plans(), st.integers(), st.floats(1, 10))
def test_a_longer_run_begins_as_the_shorter_one_did(plan: Plan, seed: int, longer: float) -> None:
    """So a run that found something can be gone on with."""
    short = list(itertools.islice(turns(plan, seed), 100))
    assert list(itertools.islice(turns(plan._replace(lasting=plan.lasting * longer), seed), len(short))) == short


def test_waits_are_as_long_as_asked_for_on_average_and_exponential_above_the_least() -> None:
    """Mean 30 s, least 5 s: 25 s of it are drawn, with a deviation of the same size."""
    drawn = itertools.islice(turns(Plan(30, 5, FOREVER, ("kill",)), 7), 20_000)
    moments = [0.0, *(turn.at for turn in drawn)]
    waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert statistics.fmean(waits) == pytest.approx(30, rel=0.03)
    assert statistics.stdev(waits) == pytest.approx(25, rel=0.05)


def test_where_the_least_wait_is_the_mean_faults_come_like_clockwork() -> None:
    """Nothing is left to be drawn."""
    assert [turn.at for turn in turns(Plan(2, 2, 7, ("kill",)), 1)] == [2, 4, 6]


def test_the_order_in_which_kinds_are_named_is_no_wish() -> None:
    """`--kinds kill,freeze` and `--kinds freeze,kill` with one seed are one schedule."""
    assert list(turns(Plan(1, 0, 50, ("kill", "freeze")), 3)) == list(turns(Plan(1, 0, 50, ("freeze", "kill")), 3))


def test_every_kind_gets_its_turn() -> None:
    """Evenly, as far as chance goes."""
    drawn = [turn.kind for turn in itertools.islice(turns(Plan(1, 0, FOREVER, ("a", "b", "c")), 5), 3000)]
    assert min(drawn.count(kind) for kind in "abc") > 900


def test_a_run_for_ever_is_drawn_as_it_goes() -> None:
    """Nobody waits for its end."""
    assert next(turns(Plan(1, 0, FOREVER, ("kill",)), 0)).at > 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kinds": ()}, "kinds: there is none"),
        ({"least": 2.0}, "least: 2 s is not between 0 and the mean, 1 s"),
        ({"least": -1.0}, "least: -1 s is not between"),
        ({"mean": 0.0, "least": 0.0}, "mean: must be more than 0 s"),
        ({"mean": FOREVER}, "least: 0 s is not between 0 and the mean, inf s"),
        ({"lasting": 0.0}, "lasting: must be more than 0 s"),
        ({"lasting": float("nan")}, "lasting: must be more than 0 s"),
        ({"mean": "1.5"}, "mean: '1.5' is no number of seconds"),
        ({"lasting": True}, "lasting: True is no number of seconds"),
        ({"parameters": {"cpu": {}}}, "parameters: cpu is not one of the kinds"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused_before_anything_is_done(change: dict[str, Any], why: str) -> None:
    """At the call, not at the first turn."""
    with pytest.raises(BadPlan, match=why):
        turns(Plan(1, 0, 10, ("kill",))._replace(**change), 0)


def test_a_repeated_run_has_seeds_of_its_own_and_the_first_is_the_one_given() -> None:
    """What the third run of --seed 42 found can be looked at again with the seed it printed."""
    three = seeds(42, 3)
    assert three[0] == 42
    assert len(set(three)) == 3
    assert seeds(42, 5)[:3] == three
    with pytest.raises(BadPlan, match="at least once, not 0 times"):
        seeds(42, 0)
