"""What becomes of errors among many calls, and what is shown of their progress."""

from __future__ import annotations

import gc
import itertools
import operator
import os
import pty
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import TaskFailed
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.pool_world import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from supervisor.pool import Pool


@pytest.mark.parametrize("chunksize", [None, 1, 4, 100])
def test_an_error_ends_a_map_in_its_place_or_stands_there_or_is_left_out(pool: Pool, chunksize: int | None) -> None:
    """on_error: raise, return, skip."""
    for items in (list(range(4, 11)), iter(range(4, 11))):
        found = pool.map(plain.odd_is_wrong, items, chunksize=chunksize)
        assert next(found) == 4
        with pytest.raises(plain.Odd, match="5"):
            next(found)
        assert list(found) == []
    values = list(pool.map(plain.odd_is_wrong, range(7), chunksize=chunksize, on_error="return"))
    assert values[::2] == [0, 2, 4, 6]
    assert [(type(error), error.args) for error in values[1::2]] == [(plain.Odd, (n,)) for n in (1, 3, 5)]
    assert list(pool.map(plain.odd_is_wrong, range(7), chunksize=chunksize, on_error="skip")) == [0, 2, 4, 6]
    unordered = pool.imap_unordered(plain.odd_is_wrong, range(7), chunksize=chunksize, on_error="skip")
    assert sorted(unordered) == [0, 2, 4, 6]


def test_a_crash_stands_in_the_place_of_its_item(pool: Pool) -> None:
    found = list(pool.map(partial(tasks.end_if, poison=33), range(100), chunksize=50, on_error="return"))
    assert isinstance(found[33], TaskFailed)
    assert found[33].report.item == 33
    assert found[:33] + found[34:] == [2 * n for n in range(100) if n != 33]


def test_words_that_are_no_way_to_treat_errors(pool: Pool) -> None:
    for words in ({"on_error": "ignore"}, {"chunksize": 0}, {"buffersize": 0}):
        with pytest.raises(ValueError, match=next(iter(words))):
            pool.map(tasks.double, [1], **words)
    with pytest.raises(TypeError):
        pool.map(tasks.double, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pool.starmap(tasks.double, [(1,)], chunks=5)


@pytest.mark.parametrize("chunksize", [None, 1, 16, 200])
def test_items_that_do_not_pickle_among_items_that_do(pool: Pool, chunksize: int | None) -> None:
    """Exactly they are lost, and each says why."""
    items = [n if n % 2 else plain.Unwilling() for n in range(200)]
    found = list(pool.map(tasks.double, items, chunksize=chunksize, on_error="return"))
    assert found[1::2] == [2 * n for n in range(1, 200, 2)]
    assert all(isinstance(error, plain.Odd) for error in found[::2])


class Late:
    """A number that pickles when the pool's thread, if there is one, sleeps."""

    def __init__(self, pool: Pool, number: int) -> None:
        self._dispatcher, self._number = pool._core.dispatcher, number

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        if self._dispatcher.thread is not None:
            eventually(lambda: self._dispatcher.loop._sleeps_until)
        return int, (self._number,)


def test_items_that_are_pickled_one_by_one_and_slowly_by_a_pool_that_has_done_nothing_yet(pool: Pool) -> None:
    """Its thread sleeps, for there was nothing to do; it is woken."""
    found = list(pool.map(tasks.double, [Late(pool, 3), plain.Unwilling()], timeout=10, chunksize=2, on_error="return"))
    assert found[0] == 6
    assert isinstance(found[1], plain.Odd)


def test_values_that_do_not_pickle_among_values_that_do(pool: Pool) -> None:
    """The same, on the way back."""
    found = list(pool.map(operator.call, [tasks.pid, tasks.return_lock] * 20, chunksize=8, on_error="return"))
    assert all(isinstance(value, int) for value in found[::2])
    assert all(isinstance(error, TypeError) for error in found[1::2])


def test_what_must_not_begin_twice_is_sent_one_by_one(pool: Pool, tmp_path: Path) -> None:
    """One item ends its worker; none has begun more than once, whatever chunks were asked for."""
    path = str(tmp_path / "noted")
    jobs = [(path, "kill" if n == 7 else "") for n in range(20)]
    found = list(
        pool.options(idempotent=False).starmap(tasks.note_and_perhaps_end, jobs, chunksize=10, on_error="return")
    )
    assert [isinstance(value, TaskFailed) for value in found] == [n == 7 for n in range(20)]
    assert len(tasks.noted(path)) == 20


# -- progress ---------------------------------------------------------------------------------------------------------


def test_progress_is_one_line_at_the_end_where_nobody_watches(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(pool.map(plain.odd_is_wrong, range(1000), on_error="skip", progress=True))) == 500
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("1,000 of 1,000 (100%) in ")
    assert err.endswith(" a second, 500 failed\n")
    assert err.count("\n") == 1
    assert "\r" not in err


def test_progress_of_an_endless_map_says_how_far_it_came(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    found = pool.map(tasks.double, itertools.count(), chunksize=10, progress=True)
    assert next(found) == 0
    del found
    gc.collect()
    assert capsys.readouterr().err.startswith("10 in ")


def test_progress_is_written_over_itself_on_a_terminal(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time from the start of the line, and a new line at the end."""
    ours, theirs = pty.openpty()
    try:
        with open(theirs, "w", closefd=False) as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            assert len(list(pool.map(tasks.nap, [0.06] * 12, chunksize=1, progress=True))) == 12
            monkeypatch.undo()
        os.set_blocking(ours, False)
        said = "".join(iter(lambda: _read(ours), ""))
    finally:
        os.close(ours)
        os.close(theirs)
    lines = said.split("\r")
    assert lines[0] == ""
    assert lines[-2].startswith("12 of 12 (100%) in ")
    assert lines[-1] == "\n"
    assert len(lines) >= 5
    assert any(" s left" in line for line in lines)


def _read(fd: int) -> str:
    try:
        return os.read(fd, 1 << 16).decode()
    except BlockingIOError:
        return ""
