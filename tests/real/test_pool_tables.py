"""Arrays and tables travel without copies: what a task is given, and what is made of its result, lies in a segment."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.real import pool_objects as objects
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, among_innocents

if TYPE_CHECKING:
    from supervisor.pool import Pool

ROWS = 200_000  # of 8 bytes: a column is above what is copied out of its segment


def numbers() -> Any:
    return importlib.import_module("numpy").arange(float(ROWS))


def frame() -> Any:
    columns = {name: importlib.import_module("numpy").arange(float(ROWS)) * at for at, name in enumerate("abc")}
    return importlib.import_module("pandas").DataFrame(columns)


def table() -> Any:
    columns = {name: list(range(at, ROWS + at)) for at, name in enumerate("abc")}
    return importlib.import_module("pyarrow").table(columns)


MAKERS = [
    pytest.param(numbers, marks=pytest.mark.numpy),
    pytest.param(frame, marks=pytest.mark.pandas),
    pytest.param(table, marks=pytest.mark.pyarrow),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_task_is_given_a_table_where_it_lies(pool: Pool, make: Any) -> None:
    """Every column of it is mapped, none was copied into the worker; in the parent it is ordinary memory."""
    made = make()
    assert not any(objects.where_it_lies(made))
    seen = among_innocents(pool, lambda: pool.submit(objects.where_it_lies, made))
    assert seen == [True] * len(objects.addresses(made))


@pytest.mark.parametrize("make", MAKERS)
def test_a_table_comes_back_where_the_worker_wrote_it(pool: Pool, make: Any) -> None:
    """Equal, mapped here, and still good when the worker and the pool are gone."""
    made = make()
    back = pool.submit(tasks.echo, made).result(PATIENCE)
    assert all(objects.where_it_lies(back))
    pool.terminate()
    assert type(back) is type(made)
    if hasattr(made, "equals"):
        assert back.equals(made)
    else:
        assert (back == made).all()


@pytest.mark.pandas
def test_a_frame_that_a_task_writes_to_is_its_own(pool: Pool) -> None:
    """The parent's is what it was, and so is what the next task sees."""
    made = frame()
    for _ in range(2):
        assert pool.submit(objects.spoilt, made).result(PATIENCE) == (0.0, -1.0)
    assert made.loc[0, "b"] == 0.0
