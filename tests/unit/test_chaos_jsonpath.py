"""The JSON paths a tolerance may have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.chaos import jsonpath

TREE: Any = {
    "foo": [{"baz": 4, "n": 1}, {"baz": 5}, {"other": {"baz": 6}}],
    "a b": {"it's": 7},
    "empty": [],
    "list": [10, 11, 12, 13],
}
PATHS: dict[str, list[Any]] = {
    "$": [TREE],
    "$.foo[0].baz": [4],
    "foo[*].baz": [4, 5],
    "$.foo[*].baz": [4, 5],
    "$..baz": [4, 5, 6],
    "$.foo[-1].other.*": [6],
    "$['a b'][\"it's\"]": [7],
    "$.list[1:3]": [11, 12],
    "$.list[:-1]": [10, 11, 12],
    "$.list[::2]": [10, 12],
    "$.list[ 0 ]": [10],
    "$.list[9]": [],
    "$.list[-9]": [],
    "$.list.name": [],
    "$.foo.baz": [],
    "$.empty[*]": [],
    "$.foo[0].*": [4, 1],
    "$.foo[0]..*": [4, 1],
    "$..[0].baz": [4],
    " $.list ": [[10, 11, 12, 13]],
}


@pytest.mark.parametrize(("path", "found"), PATHS.items())
def test_a_path_leads_to_what_it_says(path: str, found: list[Any]) -> None:
    """In the order of the document; what is not there is not found, and that is no error."""
    assert jsonpath.find(jsonpath.parse(path), TREE) == found


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("$.foo[?(@.baz > 4)]", r"has a filter at '\[\?"),
        ("$.foo[(@.length-1)]", r"has a script at '\[\("),
        ("$.list[0,1]", "has a union"),
        ("$['a','b']", "has a union"),
        ("$foo", "not understood from 'foo'"),
        ("$.foo[0]baz", "not understood from 'baz'"),
        ("$.", "not understood from '.'"),
        ("$...foo", "not understood"),
        ("$.foo[", "not understood"),
        ("$.foo[1:2:0]", "not understood"),
        ("$.list[x]", "not understood"),
        ("foo bar", "not understood"),
    ],
)
def test_what_is_not_understood_is_refused_when_it_is_read(path: str, why: str) -> None:
    """Not when the probe has answered: a path is right or wrong before anything is injected."""
    with pytest.raises(ValueError, match=why):
        jsonpath.parse(path)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(trees)
def test_the_star_at_any_depth_is_everything_there_is(tree: Any) -> None:
    """Every member and element, once."""

    def below(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return sum(1 + below(one) for one in inner)

    assert len(jsonpath.find(jsonpath.parse("$..*"), tree)) == below(tree)


@given(st.text(alphabet="$.[]*'\"ab0-9:,?(@ ", max_size=20))
def test_any_text_is_a_path_or_refused_with_a_sentence(path: str) -> None:
    """Nothing else happens: no other error, no endless loop."""
    try:
        said = json.dumps(jsonpath.find(jsonpath.parse(path), TREE))
    except ValueError as error:
        said = str(error)
    assert said.startswith(("[", "is empty", "is not understood", "has a"))
