"""Exceptions on their way from a worker: whatever they are, something arrives that can be raised."""

from __future__ import annotations

import dataclasses
import sys
import threading
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.pool.errors import RemoteError, RemoteTraceback, pack_error, unpack_error


class Arity(Exception):
    """Pickled as Arity(message), which its __init__ does not take: the bug in a thousand programs."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Refuses every assignment from outside, those of a traceback and a cause included."""

    code: int

    def __reduce__(self) -> Any:
        return Frozen, (self.code,)


class Leaving(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


class Impostor(Exception):
    def __reduce__(self) -> Any:
        return int, ("7",)


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __reduce__(self) -> Any:
        raise SystemExit(4)


class Holding(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Endless(Exception):
    def __reduce__(self) -> Any:
        return Endless, (Endless(),)


def raised(error: BaseException, *, cause: BaseException | None = None) -> BaseException:
    try:
        if cause is None:
            raise error  # noqa: TRY301 it is to have a traceback
        raise error from cause  # noqa: TRY301
    except BaseException as caught:  # noqa: BLE001 any
        return caught


def through(error: BaseException) -> Any:
    return unpack_error(pack_error(error))


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_an_exception_arrives_with_its_attributes_its_notes_and_its_traceback() -> None:
    """The traceback is text, and the cause of it."""
    error = raised(ValueError("bad", 7))
    error.add_note("in row 9")
    error.row = 9  # type: ignore[attr-defined]
    other: Any = through(error)
    assert (type(other), other.args, other.__notes__, other.row) == (ValueError, ("bad", 7), ["in row 9"], 9)
    assert isinstance(other.__cause__, RemoteTraceback)
    assert "in raised" in str(other.__cause__)
    assert "in row 9" in str(other.__cause__)


def test_a_cause_arrives_as_the_cause_and_the_traceback_behind_it() -> None:
    """`error.__cause__` is what it would be without processes."""
    other = through(raised(ValueError("bad"), cause=raised(KeyError("k"))))
    assert repr(other.__cause__) == "KeyError('k')"
    assert isinstance(other.__cause__.__cause__, RemoteTraceback)
    assert shown(other).count("The above exception was the direct cause of the following exception") >= 2


def test_a_context_arrives_too() -> None:
    """What was being handled when it was raised."""
    try:
        try:
            raise KeyError("k")  # noqa: TRY301 it is to be handled
        except KeyError:
            raise ValueError("bad")  # noqa: B904 that is the case
    except ValueError as caught:
        other = through(caught)
    assert repr(other.__context__) == "KeyError('k')"


def test_a_cause_that_does_not_travel_is_replaced_alone() -> None:
    """The exception itself is what it was."""
    other = through(raised(ValueError("bad"), cause=raised(Holding("held"))))
    assert type(other) is ValueError
    assert isinstance(other.__cause__, RemoteError)
    assert (other.__cause__.type_name, other.__cause__.words) == (f"{__name__}.Holding", "held")


def test_a_chain_that_bites_its_tail_is_cut() -> None:
    """Whoever follows it comes to an end."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    other = through(one)
    assert str(other.__cause__) == "two"
    assert isinstance(other.__cause__.__cause__, RemoteTraceback)


def test_a_long_chain_is_told_as_far_as_anybody_reads() -> None:
    """Ten thousand contexts do not make ten thousand packets."""
    error = ValueError("0")
    for number in range(1, 10_000):
        new = ValueError(str(number))
        new.__context__, error = error, new
    data = pack_error(error)
    assert len(data) < 1 << 20
    assert str(unpack_error(data)) == "9999"


@pytest.mark.parametrize(
    ("error", "words", "why"),
    [
        (Arity(7, "seven"), "seven", "TypeError"),
        (Leaving("gone"), "gone", "SystemExit"),
        (Impostor("i"), "i", "unpickled as a int"),
        (Holding("held"), "held", "cannot pickle '_thread.lock' object"),
        (Endless(), "", "RecursionError"),
        (Mute(), "", "SystemExit"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_travel_is_told_by_name_words_and_traceback(error: Exception, words: str, why: str) -> None:
    """It was found out in the worker, by unpickling it there."""
    other = through(raised(error))
    assert isinstance(other, RemoteError)
    assert (other.type_name, other.words) == (f"{__name__}.{type(error).__name__}", words)
    assert why in other.why
    assert type(error).__name__ in str(other)
    assert "in raised" in str(other.__cause__)


def test_an_exception_of_a_class_within_a_function_travels_by_value() -> None:
    """With cloudpickle; and it is the same class again where it was made."""

    class Local(Exception):
        pass

    assert type(through(Local("here"))) is Local


def test_a_group_arrives_with_those_of_its_members_that_travel() -> None:
    """The others have someone standing for them, at any depth."""
    group = ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [Holding("two"), KeyError("three")])])
    other = through(raised(group))
    assert isinstance(other, ExceptionGroup)
    one, inner = other.exceptions
    assert (repr(one), other.message) == ("ValueError('one')", "several")
    assert isinstance(inner.exceptions[0], RemoteError)
    assert repr(inner.exceptions[1]) == "KeyError('three')"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_is_no_error_but_an_end_travels_like_any_other(error: BaseException) -> None:
    """What it means is for the pool to say."""
    assert type(through(raised(error))) is type(error)


def test_an_enormous_message_is_cut_in_the_text_and_whole_in_the_exception() -> None:
    """The text is for people."""
    other = through(raised(ValueError("x" * 10_000_000)))
    assert len(str(other)) == 10_000_000
    assert len(str(other.__cause__)) < 100_000


@pytest.mark.parametrize("character", ["x", "\u20ac", "\U0001f600", '"', "\0"])
@pytest.mark.parametrize("most", [1_000, 60_000])
def test_an_error_is_as_small_as_it_must_be(character: str, most: int) -> None:
    """Where there is room for so much only, its name and a part of its words and its traceback arrive."""
    data = pack_error(raised(ValueError(character * 100_000)), most=most)
    assert len(data) <= most
    other = unpack_error(data)
    assert isinstance(other, RemoteError)
    assert (other.type_name, other.why) == ("ValueError", "it is too large")
    assert type(unpack_error(pack_error(ValueError("short"), most=most))) is ValueError


def test_a_class_the_parent_has_not_got_arrives_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was good in the worker, whose path is another."""
    data = pack_error(raised(Known("known")))
    monkeypatch.delattr(sys.modules[__name__], "Known")
    other = unpack_error(data)
    assert isinstance(other, RemoteError)
    assert (other.type_name, other.words) == (f"{__name__}.Known", "known")
    assert "Can't get attribute 'Known'" in other.why


class Known(Exception):
    pass


@given(st.binary(max_size=300))
def test_bytes_that_are_no_error_are_one(data: bytes) -> None:
    """A worker that writes garbage fails its own task, and nobody else's."""
    assert isinstance(unpack_error(data), RemoteError)


@given(st.integers(min_value=0), st.integers(1, 255), st.integers(0, 40))
def test_a_damaged_error_is_not_unpickled(at: int, change: int, cut: int) -> None:
    """One wrong byte is enough to make pickle ask for gigabytes."""
    data = bytearray(pack_error(ValueError("bad")))
    data[at % len(data)] ^= change
    assert isinstance(unpack_error(bytes(data[: len(data) - cut])), RemoteError)


def test_an_exception_that_cannot_be_assigned_to_arrives_with_its_chain() -> None:
    """A frozen dataclass: its context, its cause and the text of its traceback hang on it like on any other."""
    error = Frozen(7)
    BaseException.__setattr__(error, "__cause__", KeyError("first"))
    back = unpack_error(pack_error(error))
    assert type(back) is Frozen
    assert back.code == 7
    assert isinstance(back.__cause__, KeyError)
    assert isinstance(back.__cause__.__cause__, RemoteTraceback)
    back = unpack_error(pack_error(Frozen(8)))
    assert type(back) is Frozen
    assert isinstance(back.__cause__, RemoteTraceback)
