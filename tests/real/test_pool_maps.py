"""Many calls of one function: their order, their errors, how much of the input is taken ahead, and when they end."""

from __future__ import annotations

import gc
import itertools
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import mapping
from tests.real import pool_plain as plain
from tests.real import pool_tasks as tasks
from tests.real.pool_world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from supervisor.pool import Pool


def unfinished(pool: Pool) -> int:
    """Tasks that are neither done nor called off."""
    dispatcher = pool._core.dispatcher
    with dispatcher.lock:
        waiting = sum(not task.is_over for task in dispatcher.feeding.waiting())
        return waiting + sum(remote.held for remote in dispatcher.crew.remotes.values())


@pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
@pytest.mark.parametrize(
    "make", [range, lambda n: list(range(n)), lambda n: iter(range(n)), lambda n: dict.fromkeys(range(n))]
)
def test_results_come_in_the_order_of_the_items(pool: Pool, make: Callable[[int], Any], chunksize: int | None) -> None:
    """Whatever holds them, and however they are cut."""
    assert list(pool.map(tasks.double, make(500), chunksize=chunksize)) == [2 * n for n in range(500)]


def test_an_early_item_that_takes_long_holds_back_the_others_results_and_not_the_others(
    pool: Pool, tmp_path: Path
) -> None:
    """In order, the first result is the first item's, though the rest is done before it; unordered, it is the last."""
    gate = tmp_path / "gate"
    unordered = pool.imap_unordered(plain.first_waits, [(n, str(gate)) for n in range(20)], chunksize=1)
    assert sorted(itertools.islice(unordered, 19)) == list(range(1, 20))
    gate.touch()
    assert list(unordered) == [0]


def test_several_iterables_end_with_the_shortest(pool: Pool) -> None:
    """As the built-in map does; with and without lengths."""
    assert list(pool.map(plain.add, range(3), [10, 20, 30, 40], itertools.count(100))) == [110, 122, 134]
    assert list(pool.map(plain.add, range(5), [10, 20])) == [10, 21]
    assert list(pool.map(plain.tell, [1], [2])) == [((1, 2), {})]


@pytest.mark.parametrize("nothing", [[], (), range(0), iter(()), {}])
def test_of_nothing_comes_nothing(pool: Pool, nothing: Any) -> None:
    """And no worker is started for it."""
    assert list(pool.map(tasks.double, nothing)) == []
    assert list(pool.imap_unordered(tasks.double, nothing)) == []
    assert list(pool.starmap(plain.add, nothing)) == []
    assert pool._core.dispatcher.engine is None


def test_starmap_spreads_its_items(pool: Pool) -> None:
    assert list(pool.starmap(plain.add, [(1, 2), (), (3,), [4, 5, 6]])) == [3, 0, 3, 15]
    assert list(pool.starmap(plain.add, zip(range(300), range(300), strict=True), chunksize=50)) == [
        2 * n for n in range(300)
    ]
    assert list(pool.starmap(plain.odd_is_wrong, [(2,), (3,), (4,)], on_error="skip")) == [2, 4]


# -- how much is taken ahead ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 10])
def test_of_an_endless_iterator_a_little_is_taken_ahead(pool: Pool, tmp_path: Path, chunksize: int) -> None:
    """At first three chunks per worker beyond what was given out, however long nobody asks for more."""
    numbers = plain.Counted(itertools.count())
    gate = str(tmp_path / "gate")
    found = pool.map(plain.first_waits, ((n, gate) for n in numbers), chunksize=chunksize)
    assert numbers.taken == mapping.AHEAD * 2 * chunksize
    (tmp_path / "gate").touch()
    assert list(itertools.islice(found, 200)) == list(range(200))
    assert numbers.taken <= 200 + mapping.MOST * 2 * chunksize


def test_chunks_that_are_chosen_keep_an_endless_iterator_bounded_too(pool: Pool) -> None:
    """A few chunks of at most LARGEST items."""
    numbers = plain.Counted(itertools.count())
    assert list(itertools.islice(pool.map(tasks.double, numbers), 50_000)) == [2 * n for n in range(50_000)]
    assert numbers.taken <= 50_000 + (mapping.AHEAD * 2 + 1) * mapping.LARGEST


@pytest.mark.parametrize("buffersize", [1, 2, 5, 64])
@pytest.mark.parametrize("chunksize", [None, 3])
def test_no_more_than_buffersize_is_taken_and_not_given_out(pool: Pool, buffersize: int, chunksize: int | None) -> None:
    """At no time; and it is as many, as long as there are so many."""
    numbers = plain.Counted(range(300))
    found = pool.map(tasks.double, numbers, buffersize=buffersize, chunksize=chunksize)
    assert numbers.taken == buffersize
    for given, value in enumerate(found, 1):
        assert value == 2 * (given - 1)
        assert numbers.taken - given <= buffersize
    assert numbers.taken == 300


def test_a_list_with_a_buffersize_is_taken_in_as_slowly(pool: Pool, tmp_path: Path) -> None:
    """Only what is in the buffer runs."""
    path = str(tmp_path / "noted")
    found = pool.map(plain.note_number, [(n, path) for n in range(100)], buffersize=4, chunksize=1)
    assert next(found) == 0
    eventually(lambda: len(plain.numbers_in(path)) >= 4)
    assert set(plain.numbers_in(path)) <= set(range(5))
    assert list(found) == list(range(1, 100))


def test_a_buffer_of_two_keeps_two_workers_at_work(pool: Pool, tmp_path: Path) -> None:
    """Items do not grow into one chunk that would fill it."""
    assert list(pool.map(tasks.double, range(50), buffersize=2)) == [2 * n for n in range(50)]
    together = pool.map(partial(plain.until_together, 2), [str(tmp_path)] * 2, buffersize=2)
    assert list(together) == [True, True]


def test_two_that_are_submitted_at_once_are_done_by_two(pool: Pool, tmp_path: Path) -> None:
    """However short the tasks before them were: neither waits behind the other while somebody has nothing to do."""
    for number in range(20):
        assert [future.result(PATIENCE) for future in [pool.submit(tasks.double, n) for n in range(50)]]
        folder = tmp_path / str(number)
        folder.mkdir()
        both = [pool.submit(plain.until_together, 2, str(folder)) for _ in range(2)]
        assert [future.result(PATIENCE) for future in both] == [True, True]


def test_a_list_is_worked_on_though_nobody_asks(pool: Pool, tmp_path: Path) -> None:
    """All of it, even if the iterator is dropped before it was begun."""
    path = str(tmp_path / "noted")
    pool.map(plain.note_number, [(n, path) for n in range(100)], chunksize=3)
    pool.shutdown()
    assert sorted(plain.numbers_in(path)) == list(range(100))


def test_an_iterator_is_read_in_the_thread_that_asks(pool: Pool) -> None:
    """Generators may use what belongs to their thread; a list that changes after the call changes nothing."""
    import threading  # noqa: PLC0415

    readers = set()

    def items() -> Iterator[int]:
        for number in range(2000):
            readers.add(threading.current_thread())
            yield number

    assert list(pool.map(tasks.double, items(), chunksize=2)) == [2 * n for n in range(2000)]
    assert readers == {threading.current_thread()}
    numbers: Any = dict.fromkeys(range(1000))
    found = pool.map(tasks.double, numbers, chunksize=1)
    numbers.clear()
    assert list(found) == [2 * n for n in range(1000)]


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 4, 100])
@pytest.mark.parametrize("fails_after", [0, 1, 5, 50])
def test_an_iterator_that_raises_is_heard_of_in_its_place(pool: Pool, fails_after: int, chunksize: int) -> None:
    """Everything before it is given out."""
    found = pool.map(tasks.double, plain.Counted(itertools.count(), fails_after=fails_after), chunksize=chunksize)
    assert [next(found) for _ in range(fails_after)] == [2 * n for n in range(fails_after)]
    with pytest.raises(plain.Odd, match="no more of those"):
        next(found)
    assert list(found) == []
    unordered = pool.imap_unordered(tasks.double, plain.Counted(itertools.count(), fails_after=3), on_error="return")
    assert sorted(next(unordered) for _ in range(3)) == [0, 2, 4]
    with pytest.raises(plain.Odd, match="no more of those"):
        next(unordered)


@pytest.mark.parametrize("method", ["map", "imap_unordered"])
def test_an_iterator_that_is_dropped_calls_off_what_is_not_begun(pool: Pool, tmp_path: Path, method: str) -> None:
    """What runs is done, the rest is not; and so when it is garbage that holds the iterator."""
    path, gate = tmp_path / "noted", tmp_path / "gate"
    found = getattr(pool, method)(plain.note_and_wait, [(n, str(gate), str(path)) for n in range(1000)], chunksize=1)
    assert next(found) == 0
    eventually(lambda: tasks.noted(str(path)))
    circle: list[object] = [found]
    circle.append(circle)
    del found, circle
    gc.collect()
    eventually(lambda: unfinished(pool) <= 2)
    gate.touch()
    pool.shutdown()
    assert len(tasks.noted(str(path))) <= 2


def test_a_time_limit_is_for_all_results_together(pool: Pool, tmp_path: Path) -> None:
    """TimeoutError; what was there before is given out, and the workers are not ended."""
    gate = tmp_path / "gate"
    for method in (pool.map, pool.imap_unordered):
        found = method(plain.first_waits, [(n, str(gate)) for n in (1, 0)], timeout=0.3, chunksize=1)
        assert next(found) == 1
        with pytest.raises(TimeoutError):
            next(found)
    gate.touch()
    assert list(pool.map(tasks.double, range(10), timeout=PATIENCE)) == list(range(0, 20, 2))


def test_what_a_map_is_still_to_submit_is_submitted_after_shutdown(hire: Callable[..., Pool]) -> None:
    """As with any executor a list is taken when map is called, and `with` waits for all of it."""
    with hire() as pool:
        found = pool.map(tasks.double, range(20_000), chunksize=3)
        errors = pool.map(plain.odd_is_wrong, range(5_000), chunksize=1, on_error="skip")
    assert list(found) == [2 * n for n in range(20_000)]
    assert list(errors) == list(range(0, 5_000, 2))
    pool = hire()
    found = pool.map(tasks.double, [*range(2_000), plain.Unwilling(), *range(2_000)], chunksize=2, on_error="skip")
    pool.shutdown(wait=False)
    assert len(list(found)) == 4_000


def test_an_endless_map_ends_with_its_pool(hire: Callable[..., Pool]) -> None:
    """What was sent is given out; then the pool says that it is closed."""
    pool = hire()
    found = pool.map(tasks.double, itertools.count(), chunksize=1)
    assert next(found) == 0
    pool.shutdown()
    given: list[int] = []
    with pytest.raises(RuntimeError, match="after shutdown"):
        given.extend(found)  # keeps what came before the exception
    assert given[:3] == [2, 4, 6]
    assert given == [2 * n for n in range(1, len(given) + 1)]


@pytest.mark.parametrize("method", ["map", "imap_unordered"])
def test_a_map_whose_pool_is_called_off_ends(hire: Callable[..., Pool], tmp_path: Path, method: str) -> None:
    """CancelledError, whatever was not submitted yet."""
    ends: list[Callable[[Pool], None]] = [
        lambda pool: pool.terminate(),
        lambda pool: pool.shutdown(wait=False, cancel_futures=True),
    ]
    for end in ends:
        pool = hire()
        gate = tmp_path / f"gate{id(pool)}"
        found = getattr(pool, method)(plain.first_waits, [(0, str(gate))] * 10_000, chunksize=1)
        eventually(lambda pool=pool: any(r.running() for r in list(pool._core.dispatcher.crew.members)))  # type: ignore[misc]
        end(pool)
        gate.touch()
        with pytest.raises((CancelledError, RuntimeError)):
            list(found)


@pytest.mark.parametrize("method", ["map", "imap_unordered"])
def test_a_map_holds_what_is_under_way_and_nothing_that_was_given_out(pool: Pool, method: str) -> None:
    """However long it is: arguments and results go with the item, not when the garbage collector comes by."""
    gc.collect()
    gc.disable()
    try:
        given = 0
        for result in getattr(pool, method)(tasks.echo, (plain.Weak() for _ in range(600)), chunksize=2, buffersize=20):
            assert isinstance(result, plain.Weak)
            given += 1
        assert given == 600
        assert sum(isinstance(one, plain.Weak) for one in gc.get_objects()) <= 10
    finally:
        gc.enable()
