"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("5s", 5), ("2m", 120), ("1h", 3600), ("1d", 86400), ("1h30m", 5400), ("1.5s", 1.5),
        ("0s", 0), (3, 3), (0.25, 0.25),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_a_sum_of_units(text: object, seconds: float) -> None:
    """A number is seconds; units add up."""
    assert units.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [("64K", 65536), ("100M", 100 << 20), ("1G", 1 << 30), ("1GiB", 1 << 30), ("1.5K", 1536), (7, 7)],
)
def test_a_size_steps_by_1024(text: object, number: int) -> None:
    """K, M, G and T are binary, with iB or without."""
    assert units.size(text) == number


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("5 sec", '"5s"'), ("5S", '"5s"'), ("2 minutes", '"2m"'), ("1 hour 30 min", '"1h30m"'),
        ("10", '"10s"'),
    ],
)  # fmt: skip
def test_a_misspelt_duration_is_told_what_was_meant(text: str, meant: str) -> None:
    """The words people use for units lead to ours."""
    with pytest.raises(ValueError, match="is not a duration") as error:
        units.seconds(text)
    assert meant in error.value.args[1]


@pytest.mark.parametrize(("text", "meant"), [("100MB", '"100M"'), ("1 g", '"1G"'), ("4096", "4096")])
def test_a_misspelt_size_is_told_what_was_meant(text: str, meant: str) -> None:
    """The usual other spellings lead to ours."""
    with pytest.raises(ValueError, match="is not a size") as error:
        units.size(text)
    assert meant in error.value.args[1]


@pytest.mark.parametrize(
    "value", [-1, float("nan"), float("inf"), 10**400, True, None, [], "", "s", "-5s", "9" * 70 + "s"]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """Whatever else it is: one kind of error, with a sentence."""
    with pytest.raises(ValueError, match="duration"):
        units.seconds(value)


@pytest.mark.parametrize(
    "value", [-1, 1.5, float("inf"), 10**400, True, None, "", "K", "0.3K", "9" * 15 + "T"]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """Whatever else it is: one kind of error, with a sentence."""
    with pytest.raises(ValueError, match=r"size|bytes"):
        units.size(value)


@given(st.floats(0, units.LONGEST) | st.integers(0, 10**7).map(lambda ms: ms / 1000))
def test_a_duration_written_is_read_back_exactly(value: float) -> None:
    """No rounding on the way, whatever the float."""
    assert units.seconds(units.duration_text(value)) == value


@given(st.integers(0, units.LARGEST))
def test_a_size_written_is_read_back_exactly(value: int) -> None:
    """No rounding on the way."""
    assert units.size(units.size_text(value)) == value


@given(st.text())
def test_no_text_makes_the_readers_raise_anything_else(text: str) -> None:
    """A ValueError with sentence and suggestion is all there is."""
    for read in (units.seconds, units.size):
        try:
            read(text)
        except ValueError as error:
            what, suggestion = error.args
            assert isinstance(what, str)
            assert suggestion is None or isinstance(suggestion, str)
