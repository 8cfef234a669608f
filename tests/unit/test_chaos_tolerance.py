"""What a probe of the hypothesis may answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.chaos import tolerance
from supervisor.chaos.reading import Spot
from supervisor.problems import Place


def nobody(_: Any, __: Any) -> Any:
    raise AssertionError("no probe was to be asked")


def errors(value: Any) -> list[str]:
    spot = Spot(Place("x.json", "/", "tolerance"))
    tolerance.check(value, spot, nobody)
    return [str(problem).removeprefix("x.json: ") for problem in spot.errors]


def warnings(value: Any) -> list[str]:
    spot = Spot(Place("x.json", "/", "tolerance"))
    tolerance.check(value, spot, nobody)
    assert not spot.errors
    return [str(problem) for problem in spot.warnings]


RANGE = {"type": "range", "range": [4.6, 8.9]}
REGEX = {"type": "regex", "pattern": "[0-9]{3}"}
PATH = {"type": "jsonpath", "path": "$.a[*]"}

TOLERATED: list[tuple[Any, Any]] = [
    (True, True), (False, False), ("OK", "OK"), ("", ""), (8, 8), (8, 8.0), (0, 0),
    (200, {"status": 200, "body": ""}),
    ([4, 9], 4), ([4, 9], 9), ([4, 9], 6.5), ([200, 299], {"status": 204}), (["a", "c"], "b"),
    ([4, 9, 78], 78), ([200, 204, 301], {"status": 301}), (["up", "ready", "idle"], "idle"), ([7], 7), ([True], True),
    ([1, "one", True], "one"), ([1, 2.5, 3], 2.5),
    (RANGE, 4.6), (RANGE, 8.9), (RANGE, "5"), (RANGE, " 5.5\n"), (RANGE, b"6"), ({**RANGE, "target": "load"}, {"load": 5}),
    (REGEX, "a 404 b"), (REGEX, b"200"), ({**REGEX, "target": "body"}, {"body": "500"}),
    (PATH, {"a": [1]}), (PATH, '{"a": [1]}'), (PATH, b'{"a": [null]}'),
    ({**PATH, "expect": 4}, {"a": [4]}), ({**PATH, "expect": [4, 5]}, {"a": [4, 5]}), ({**PATH, "expect": []}, {"a": []}),
    ({**PATH, "count": 2}, {"a": [1, 1]}), ({**PATH, "count": 0}, {"b": 1}),
    ({**PATH, "target": "body", "expect": 1}, {"status": 200, "body": '{"a": [1]}'}),
    ({"type": "jsonpath", "path": "$.s", "expect": "x"}, {"s": "x"}),
]  # fmt: skip

NOT_TOLERATED: list[tuple[Any, Any]] = [
    (True, False), (True, 1), (True, "true"), (False, 0), (False, None), (1, True), (8, "8"), ("8", 8), ("OK", "ok"),
    ("OK", None), (200, {"status": 500}), (200, {"body": 200}), (200, None),
    ([4, 9], 3.99), ([4, 9], 10), ([4, 9], "6"), ([4, 9], True), ([4, 9], None), ([4, 9], {"body": 5}), (["a", "c"], "d"),
    (["a", "c"], 2),
    ([4, 9, 78], 5), ([4, 9, 78], "4"), ([1, 0, 2], True), ([True, "x", "y"], 1), ([7], 8),
    (RANGE, 4.5), (RANGE, 9), (RANGE, "nan"), (RANGE, float("nan")), (RANGE, "many"), (RANGE, None), (RANGE, True),
    (RANGE, {"load": 5}), ({**RANGE, "target": "load"}, {"other": 5}),
    (REGEX, "12"), (REGEX, 404), (REGEX, None), ({**REGEX, "target": "body"}, {"body": "x"}),
    (PATH, {"a": []}), (PATH, {}), (PATH, "no json"), (PATH, None),
    ({**PATH, "expect": 4}, {"a": [4, 4]}), ({**PATH, "expect": 4}, {"a": [5]}), ({**PATH, "expect": 4}, {}),
    ({**PATH, "count": 2}, {"a": [1]}), ({**PATH, "count": 1, "expect": 4}, {"a": [5]}),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "answer"), TOLERATED, ids=repr)
def test_what_is_tolerated(wanted: Any, answer: Any) -> None:
    """Scalars exactly, bounds with both ends, lists by membership, and what the typed ones say."""
    assert errors(wanted) == []
    assert tolerance.unmet(wanted, answer, nobody) is None


@pytest.mark.parametrize(("wanted", "answer"), NOT_TOLERATED, ids=repr)
def test_what_is_not_tolerated_is_told_why(wanted: Any, answer: Any) -> None:
    """An answer of the wrong type is not tolerated; it is never an error of the run."""
    assert errors(wanted) == []
    why = tolerance.unmet(wanted, answer, nobody)
    assert why is not None
    assert why.startswith(("answered ", "has "))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (200, "answered 500 where 200 is tolerated"),
        ([200, 299], "answered 500, which does not lie between 200 and 299"),
        ([200, 204, 301], "answered 500, which is none of [200, 204, 301]"),
        (RANGE, "answered 500, which does not lie between 4.6 and 8.9"),
        ({**REGEX, "target": "body"}, "answered \"boom\", in which nothing matches '[0-9]{3}'"),
        ({"type": "jsonpath", "path": "$.x"}, "has nothing at $.x"),
        ({"type": "jsonpath", "path": "$.body", "expect": "OK"},
         'has 1 values at $.body: ["boom"], where ["OK"] is tolerated'),
    ],
)  # fmt: skip
def test_why_is_said_with_the_facts(wanted: Any, why: str) -> None:
    """What was answered, and what would have been tolerated."""
    answer: Any = 500 if wanted is RANGE else {"status": 500, "body": "boom"}
    assert tolerance.unmet(wanted, answer, nobody) == why


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (None, ["tolerance: must be a string, a whole number, true, false, a list or an object, not null"]),
        (0.5, [('tolerance: is compared exactly, and a fraction hardly ever is equal; write {"type": "range", '
               '"range": [low, high]}')]),
        ([], ["tolerance: an empty list tolerates nothing"]),
        ([9, 4], ["tolerance: the lower bound 9 is above the upper bound 4"]),
        ([1, "a"], [('tolerance: two values are bounds, and must both be numbers; for a choice of two use '
                    '{"type": "regex", …}')]),
        ([1, [2], 3], ["tolerance[1]: must be a string, a number, true or false, not a list"]),
        ({}, ["tolerance.type: must be one of range, regex, jsonpath, probe, not null"]),
        ({"type": "regexp", "pattern": ""},
         ['tolerance.type: must be one of range, regex, jsonpath, probe, not "regexp"; did you mean "regex"?']),
        ({"type": "regex"}, ["tolerance.pattern: is missing"]),
        ({"type": "regex", "pattern": "("},
         ["tolerance.pattern: is no regular expression: missing ), unterminated subpattern at position 0"]),
        ({"type": "regex", "patern": "x", "pattern": "x"},
         ['tolerance.patern: is no key of this part of an experiment; did you mean "pattern"?']),
        ({"type": "range", "range": [1]}, ["tolerance.range: must be a list of two numbers, not [1]"]),
        ({"type": "range", "range": [True, 2]}, ["tolerance.range: must be a list of two numbers, not [true, 2]"]),
        ({"type": "range", "range": [2, 1]}, ["tolerance.range: the lower bound 2 is above the upper bound 1"]),
        ({"type": "jsonpath", "path": "$[?(@.a)]", "count": -1},
         [("tolerance.path: has a filter at '[?(@.a)]', which is not understood here; see supervisor/chaos/jsonpath.py "
          "for what is"), "tolerance.count: must be a whole number, not -1"]),
    ],
)  # fmt: skip
def test_what_is_no_tolerance_is_refused_at_its_place(wanted: Any, said: list[str]) -> None:
    """Before the run, with what was meant where that can be guessed."""
    assert errors(wanted) == said


def test_two_words_are_bounds_and_that_is_said() -> None:
    """["ready", "up"] tolerates "running", which few people mean."""
    assert len(warnings(["ready", "up"])) == 1
    assert tolerance.unmet(["ready", "up"], "running", nobody) is None


def test_a_path_without_its_dollar_is_understood_and_warned_of() -> None:
    """The specification's own examples have none, and the Chaos Toolkit wants one."""
    assert len(warnings({"type": "jsonpath", "path": "foo[*].baz"})) == 1
    assert len(warnings({"type": "jsonpath", "path": "$['foo']"})) == 1
    assert warnings({"type": "jsonpath", "path": '$["foo"]'}) == []


def test_a_probe_is_asked_with_the_answer() -> None:
    """What it says is the judgement."""
    asked: list[Any] = []
    probe = {"type": "probe", "name": "judge"}

    def ask(given: dict[str, Any], value: Any) -> str | None:
        asked.append((given, value))
        return "did not please it" if value == 1 else None

    assert tolerance.unmet(probe, 0, ask) is None
    assert tolerance.unmet(probe, 1, ask) == "did not please it"
    assert asked == [(probe, 0), (probe, 1)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["status", "a", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_every_answer_is_tolerated_or_not_whatever_it_is(wanted: Any, answer: Any) -> None:
    """A tolerance that was not refused never fails at the run."""
    if not errors(wanted):
        why = tolerance.unmet(wanted, answer, nobody)
        assert why is None or why.startswith(("answered ", "has "))


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(-200, 200))
def test_bounds_and_range_agree(one: float, other: float, answer: float) -> None:
    """Two ways to say the same."""
    low, high = sorted((one, other))
    within = low <= answer <= high
    assert (tolerance.unmet([low, high], answer, nobody) is None) == within
    assert (tolerance.unmet({"type": "range", "range": [low, high]}, answer, nobody) is None) == within
