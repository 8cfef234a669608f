"""What travels between a parent and its workers, packed and unpacked."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.pool import byvalue, mainmodule
from supervisor.pool.parcel import THRESHOLD, Parcel, pack, pack_function, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def without_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    byvalue._cloudpickle.cache_clear()
    yield
    byvalue._cloudpickle.cache_clear()


def through(obj: object) -> Any:
    parcel = pack(obj)
    return unpack(parcel.data, parcel.buffers)


class Refusing:
    def __reduce__(self) -> str:
        raise ValueError("I do not travel")


def decorated(function: Any) -> Any:
    return lambda *args: function(*args)  # noqa: PLW0108 one that is not the function


@decorated
def hidden_by_its_decorator(number: int) -> int:
    return number + 1


def test_a_small_thing_is_what_pickle_makes_of_it() -> None:
    """One pickle.dumps, protocol 5, and nothing beside it."""
    parcel = pack((1, "two", {"three": 3.0}))
    assert parcel == (pickle.dumps((1, "two", {"three": 3.0}), 5), [])
    assert unpack(*parcel) == (1, "two", {"three": 3.0})


@pytest.mark.parametrize("size", [0, 1, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1])
def test_buffers_of_the_threshold_and_more_travel_beside_the_data(size: int) -> None:
    """Smaller ones are cheaper in the data."""
    parcel = pack(pickle.PickleBuffer(bytearray(size)))
    assert len(parcel.buffers) == (size >= THRESHOLD)
    assert bytes(unpack(*parcel)) == bytes(size)


def test_the_buffers_are_the_memory_of_what_was_packed() -> None:
    """Nothing is copied until it is put into a segment."""
    memory = bytearray(THRESHOLD)
    (buffer,) = pack([pickle.PickleBuffer(memory)]).buffers
    memory[7] = 9
    assert buffer.raw()[7] == 9


@pytest.mark.numpy
def test_arrays_arrive_as_they_were() -> None:
    """C and Fortran order, gaps, no dimension, no element, records, objects; large and small."""
    import numpy as np  # noqa: PLC0415 tests without it run without it

    large = np.arange(60_000.0).reshape(300, 200)
    records = np.zeros(20_000, dtype=[("name", "U8"), ("size", "i8")])
    records["name"][5] = "five"
    objects = np.array([{"a": 1}, None, large], dtype=object)
    for array in (
        large,
        np.asfortranarray(large),
        large[::2, ::3],
        large.T,
        np.array(7.0),
        np.empty((0, 4)),
        records,
        large[:2],
    ):
        other = through(array)
        assert other.dtype == array.dtype
        assert other.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
        assert np.array_equal(other, array)
    assert through(objects)[0] == {"a": 1}


@pytest.mark.numpy
def test_what_cannot_be_written_to_stays_so_and_all_else_does_not() -> None:
    """As pickle has it: the flag is part of the array."""
    import numpy as np  # noqa: PLC0415 tests without it run without it

    constant = np.arange(60_000.0)
    constant.flags.writeable = False
    assert not through(constant).flags.writeable
    small = constant[:9].copy()
    assert through(small).flags.writeable
    parcel = pack(np.arange(60_000.0))
    assert unpack(parcel.data, [bytearray(parcel.buffers[0].raw())]).flags.writeable


def test_large_data_is_unpacked_from_any_memory() -> None:
    """What has no buffers (bytes, str, many objects) lies in a segment whole, and is read there."""
    obj = {"bytes": b"x" * 1_000_000, "str": "ü" * 500_000}
    parcel = pack(obj)
    assert len(parcel.data) > THRESHOLD
    assert unpack(memoryview(bytearray(parcel.data)), parcel.buffers) == obj


@pytest.mark.parametrize("what", [lambda x: x + 1, partial(lambda x, y: x + y, 1)], ids=["lambda", "partial of one"])
def test_a_function_without_a_name_travels_by_value(what: Any) -> None:
    """With cloudpickle, which sees to what it closes over too."""
    assert through(what)(2) == 3
    parcel, is_name = pack_function(what)
    assert unpack(*parcel)(2) == 3
    assert not is_name


def test_a_function_that_another_has_taken_the_name_of_travels_by_value() -> None:
    """Its name leads to another object."""
    function = hidden_by_its_decorator.__closure__[0].cell_contents
    parcel, is_name = pack_function(function)
    assert not is_name
    assert unpack(*parcel)(4) == 5


def test_a_function_within_a_function_keeps_what_it_closes_over_beside_the_data() -> None:
    """Large buffers among that as well."""
    memory = bytearray(THRESHOLD)

    def length() -> int:
        return len(memory)

    parcel, _ = pack_function(partial(length))
    assert unpack(*parcel)() == THRESHOLD


@pytest.mark.usefixtures("without_cloudpickle")
def test_without_cloudpickle_the_error_says_what_to_do() -> None:
    """It is the one package that is missing, or the one thing to write differently."""
    with pytest.raises(pickle.PicklingError, match="install cloudpickle, or define it at the top level of a module"):
        pack(lambda: None)
    with pytest.raises(TypeError, match=r"cannot pickle '_thread.lock' object$"):
        pack(threading.Lock())


def test_what_nobody_can_pickle_raises_the_words_of_pickle() -> None:
    """cloudpickle has been tried, and is not mentioned."""
    with pytest.raises(TypeError, match=r"cannot pickle '_thread.lock' object"):
        pack([threading.Lock()])
    with pytest.raises(ValueError, match="I do not travel"):
        pack(Refusing())


@pytest.mark.parametrize("function", [os.getpid, len, dict, subprocess.Popen, decorated, os.path.join])
def test_a_function_with_a_name_travels_as_one(function: Any) -> None:
    """So it may be sent once, and is the same in every worker."""
    parcel, is_name = pack_function(function)
    assert is_name
    assert unpack(*parcel) is function


@pytest.mark.parametrize("function", [[].append, "a".join, partial(max, 1), threading.Thread.run])
def test_what_carries_an_object_is_no_name(function: Any) -> None:
    """The object may have changed by the next time, but for functions of classes, which have names."""
    _, is_name = pack_function(function)
    assert is_name == (function is threading.Thread.run)


def test_a_function_missing_from_the_main_module_is_explained() -> None:
    """The classic: it stands under the `if`, which workers leave out."""
    data = b"\x80\x05\x8c\x0b__mp_main__\x8c\x04away\x93."
    sys.modules[mainmodule.ALIAS] = type(sys)(mainmodule.ALIAS)
    try:
        with pytest.raises(AttributeError) as caught:
            unpack(data)
    finally:
        del sys.modules[mainmodule.ALIAS]
    assert any('if __name__ == "__main__"' in note for note in caught.value.__notes__)


def test_a_parcel_is_a_pair() -> None:
    """`data, buffers = pack(...)` is how it is used."""
    data, buffers = Parcel(b"data", [])
    assert (data, buffers) == (b"data", [])
