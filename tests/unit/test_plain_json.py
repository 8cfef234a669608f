"""What plain_json says and reads is what json does."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import plain_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_said_is_what_json_says(value: object) -> None:
    """Letter by letter."""
    assert plain_json.dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert plain_json.dumps_ascii(value) == json.dumps(value, separators=(",", ":"))


@given(VALUES, st.sampled_from([None, 1]))
def test_what_is_read_is_what_was_said(value: object, indent: int | None) -> None:
    """By ourselves, or by any other program, with its spaces and lines."""
    assert plain_json.loads(plain_json.dumps(value)) == value
    assert plain_json.loads(f" {json.dumps(value, indent=indent)}\r\n") == value


@given(st.text(alphabet='{}[]":,0123456789.eE-+ntrufalsNI \n\\'))
def test_what_json_refuses_is_refused(text: str) -> None:
    """With ValueError; and so are its words that are not JSON: NaN, Infinity."""

    def refused(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(text, parse_constant=refused)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 whose words nobody relies on
            plain_json.loads(text)
    else:
        assert plain_json.loads(text) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_what_is_no_number_is_not_said(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        plain_json.dumps(value)


def test_what_is_not_json_is_named() -> None:
    """By its type."""
    with pytest.raises(TypeError, match="set is not JSON"):
        plain_json.dumps({"of": set()})


def test_half_a_surrogate_pair_travels_in_ascii() -> None:
    """A file's name may hold one."""
    assert plain_json.loads(plain_json.dumps_ascii("\udcff")) == "\udcff"
    assert plain_json.dumps_ascii("\udcff").encode() == b'"\\udcff"'
