"""A chunk in a worker: its items one after the other, each with a result or an error of its own."""

from __future__ import annotations

import _pickle as pickle  # the C code alone: the module around it takes 1 ms of every cold start
import time

from supervisor.pool import frames, page
from supervisor.pool.errors import stamp
from supervisor.pool.parcel import pack, pack_error
from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run(
    words: memoryview, function: Callable[..., Any], items: Sequence[Any], shape: int, span: tuple[int, int]
) -> tuple[list[Any], dict[int, bytes]]:
    """The values of the items in the span, None for one that failed, and the errors by their place in it.

    words: of the page, where it says which item it is at.
    """
    item_word = page.ITEM
    values: list[Any] = []
    errors: dict[int, bytes] = {}
    add = values.append
    first, end = span
    rest = enumerate(items if end - first == len(items) else items[first:end], first)
    call = _starred(function) if shape & frames.STAR else function
    call = _timed(words, call) if shape & frames.TIMED else call
    while True:
        try:
            for words[item_word], item in rest:
                add(call(item))
            return values, errors  # noqa: TRY300 the loop is what may raise
        except BaseException as error:  # noqa: BLE001 the item's result; the others have theirs
            stamp(error, page.PHASES[page.RUNNING], words[page.BEGAN_NS])
            errors[len(values)] = pack_error(error)
            add(None)


def without_the_unpicklable(values: list[Any], errors: dict[int, bytes]) -> tuple[int, bytes]:
    """Of a chunk whose values cannot be pickled together only those are lost that cannot be pickled."""
    for index, value in enumerate(values):
        try:
            pack(value)
        except BaseException as error:  # noqa: BLE001 told as the result of that item
            values[index] = None
            stamp(error, page.PHASES[page.PICKLING], time.monotonic_ns())
            errors[index] = pack_error(error)
    try:
        parcel = pack((values, errors))
        return page.VALUE, parcel.data if not parcel.buffers else pickle.dumps((values, errors), 5)
    except BaseException as error:  # noqa: BLE001 together they still cannot: nothing of it can be told
        return page.ERROR, pack_error(error)


def _starred(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda item: function(*item)


def _timed(words: memoryview, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def timed(item: Any) -> Any:
        words[page.BEGAN_NS] = time.monotonic_ns()
        return call(item)

    return timed
