"""What travels between the parent and a worker, as bytes: arguments, functions, results.

Plain pickle, protocol 5, with large buffers (arrays) beside the bytes and not in them. cloudpickle, where it is installed,
only for what plain pickle cannot do, and for a `__main__` that workers have not got (mainmodule.py). Small things are the
common case: for them nothing happens here but one call of pickle.

A read-only buffer stays read-only, here as in pickle itself; all others come out writable.
"""

from __future__ import annotations

import _pickle as pickle  # the C code alone: the module around it takes 1 ms of every cold start
from _pickle import PickleBuffer, PicklingError

from supervisor.pool import byvalue
from supervisor.pool.errors import pack_error, unpack_error
from supervisor.pool.mainmodule import ALIAS, is_out_of_reach, was_typed_in
from workers.hints import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["THRESHOLD", "Parcel", "Token", "pack", "pack_error", "pack_function", "unpack", "unpack_error"]

THRESHOLD = 64 * 1024  # bytes; smaller buffers travel in the bytes

_dumps, _loads, _new = pickle.dumps, pickle.loads, tuple.__new__
_A_NAME = b"\x93\x94."  # how a pickle ends that is a name and nothing else: STACK_GLOBAL, MEMOIZE, STOP


class Token(bytes):
    """Pickled in a PickleBuffer, it tells `pack` of the handle that is being packed (share.py)."""

    handle: Any


class _Pair(NamedTuple):
    data: bytes
    buffers: list[PickleBuffer]


class Parcel(_Pair):
    """Something packed. The buffers are the memory of what was packed, not copies of it.

    Data of THRESHOLD bytes and more belongs into a segment too, as the first of its buffers: [data, *buffers] there,
    and unpack(views[0], views[1:]) on the other side copy nothing that pickle does not.
    """

    met: tuple[Any, ...] = ()  # handles in it, see share.shared_in


def pack(obj: object) -> Parcel:
    """Raises whatever pickling raises, or PicklingError with what to do about it."""
    large: list[PickleBuffer] = []
    met: list[Any] = []
    take = _taker(large, met)
    try:
        data = _dumps(obj, 5, buffer_callback=take)
    except (PicklingError, AttributeError, TypeError) as error:
        del large[:], met[:]
        data = _otherwise(obj, take, error)
    else:
        if is_out_of_reach() and b"__main__" in data and byvalue.is_possible():
            del large[:], met[:]
            data = byvalue.dumps(obj, take)
    return _parcel(data, large, met)


def pack_function(function: Callable[..., Any]) -> tuple[Parcel, bool]:
    """A function, and whether it was packed as a name: then the same function is always the same parcel."""
    if not _is_nowhere(function):
        parcel = pack(function)
        return parcel, parcel.data.endswith(_A_NAME)
    if not byvalue.is_possible():
        raise PicklingError(f"{function!r} is defined in a __main__ that workers cannot import: {byvalue.ADVICE}")
    large: list[PickleBuffer] = []
    met: list[Any] = []
    return _parcel(byvalue.dumps(function, _taker(large, met)), large, met), False


def unpack(data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """What was packed. Raises whatever unpickling raises."""
    try:
        return _loads(data, buffers=buffers)
    except AttributeError as error:
        if ALIAS in str(error):
            error.add_note(
                'Workers have nothing of what stands under `if __name__ == "__main__":`, or was defined later.'
            )
        raise


def _parcel(data: bytes, large: list[PickleBuffer], met: list[Any]) -> Parcel:
    parcel = _new(Parcel, (data, large))
    if met:
        parcel.met = tuple(met)
    return parcel


def _taker(large: list[PickleBuffer], met: list[Any]) -> Callable[[PickleBuffer], bool]:
    """What pickle asks about each buffer: whether it goes into the data."""

    def take(buffer: PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes >= THRESHOLD:
            large.append(buffer)
            return False
        if type(view.obj) is Token:
            met.append(view.obj.handle)
        return True

    return take


def _otherwise(obj: object, take: Callable[[PickleBuffer], bool], error: Exception) -> bytes:
    """Plain pickle has failed: by value, if that can be done, and else the failure with some advice."""
    if byvalue.is_possible():
        try:
            return byvalue.dumps(obj, take)
        except Exception:  # noqa: BLE001 of two failures the plain one is the one people know
            raise error from None
    if byvalue.might_help(error):
        raise PicklingError(f"{error}: {byvalue.ADVICE}") from error
    raise error


def _is_nowhere(function: object) -> bool:
    """Whether its name means nothing in a worker, though plain pickle would take it."""
    return getattr(function, "__module__", None) == "__main__" and (is_out_of_reach() or was_typed_in(function))
