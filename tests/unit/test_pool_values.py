"""What a pool tells in values (Attempt, CrashReport, Options): facts under names, equal by them, never changed, no tuples."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import Attempt, CrashReport, Options, TaskFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.pool.value import Value

DEATH = Attempt(pid=7, cause="killed by SIGSEGV", phase="run", seconds=0.25)
VALUES = [DEATH, CrashReport("score", (DEATH,), item=3), Options(retries=0, memory=1 << 30)]
ACTS_ON_TUPLES: list[Callable[[Any], object]] = [
    len,
    iter,
    itemgetter(0),
    json.dumps,
    lambda value: sorted([value, value]),
]
each = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


class OtherOptions(Options):
    """Another kind, with the same facts."""


@each
def test_it_survives_pickle_and_copy(value: Value) -> None:
    """The same facts, in every protocol; hashable, so that reports can be counted."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(value, protocol))
        assert (type(again), again) == (type(value), value)
    assert copy.deepcopy(value) == copy.copy(value) == value
    assert len({value, copy.copy(value)}) == 1


@each
def test_it_cannot_be_changed(value: Value) -> None:
    """Nor can anything be added or taken away; the error says of what."""
    name = value.__match_args__[0]
    with pytest.raises(AttributeError, match=f"{type(value).__name__}.{name}"):
        setattr(value, name, None)
    with pytest.raises(AttributeError, match=f"{type(value).__name__}.{name}"):
        delattr(value, name)
    with pytest.raises(AttributeError, match=f"{type(value).__name__}.remark"):
        setattr(value, "remark", "new")  # noqa: B010 mypy knows better than to let it be assigned


@each
def test_it_is_no_tuple(value: Value) -> None:
    """It has no length, no order and no first element, and is not equal to its facts in a row."""
    facts = tuple(getattr(value, name) for name in value.__match_args__)
    assert value != facts
    assert not isinstance(value, tuple)
    for act in ACTS_ON_TUPLES:
        with pytest.raises(TypeError):
            act(value)


def test_values_are_equal_if_all_facts_are_and_they_are_of_one_kind() -> None:
    assert Options(retries=1) == Options(retries=1) != Options(retries=2)
    assert Attempt(7, "a", "run", 1.0) == Attempt(7, "a", "run", 1.0) != Attempt(8, "a", "run", 1.0)
    assert Options() != OtherOptions()


def test_its_repr_says_how_to_make_it() -> None:
    """With every name, also in the report that holds it."""
    assert repr(DEATH) == (
        "Attempt(pid=7, cause='killed by SIGSEGV', phase='run', seconds=0.25, rss_bytes=None, stack='')"
    )
    for value in VALUES:
        assert eval(repr(value)) == value


def test_it_can_be_taken_apart_by_match() -> None:
    match VALUES[1]:
        case CrashReport(function=function, attempts=[Attempt(pid=7, phase=phase)], item=item):
            assert (function, phase, item) == ("score", "run", 3)
        case _:
            pytest.fail("it does not match")


def test_a_failure_with_its_report_survives_pickle() -> None:
    again = pickle.loads(pickle.dumps(TaskFailed(CrashReport("score", (DEATH,)))))
    assert again.report == CrashReport("score", (DEATH,))


def test_options_are_checked_however_they_are_made() -> None:
    with pytest.raises(ValueError, match="retries: -1 is less than 0"):
        Options().but(retries=-1)
    with pytest.raises(TypeError, match="retry"):
        Options().but(retry=1)


def test_dataclasses_are_not_imported_for_it() -> None:
    """They import inspect, a fifth of what `import Pool` takes."""
    program = "import sys; from supervisor.pool import Pool, CrashReport, Options; print('dataclasses' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
