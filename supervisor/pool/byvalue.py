"""Pickling what plain pickle cannot: lambdas, functions within functions, what was typed at a prompt. With cloudpickle."""

from __future__ import annotations

from _pickle import PicklingError  # not pickle: see parcel.py
from functools import cache
from importlib import import_module

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer

ADVICE = "install cloudpickle, or define it at the top level of a module"


def is_possible() -> bool:
    """Whether cloudpickle is installed; imports it."""
    return _cloudpickle() is not None


def dumps(obj: object, take: Callable[[PickleBuffer], object] | None = None) -> bytes:
    """Pickle it, protocol 5. Raises whatever pickling raises; PicklingError with ADVICE without cloudpickle."""
    cloudpickle = _cloudpickle()
    if cloudpickle is None:
        raise PicklingError(f"{obj!r:.200} has no name that a worker could find it by: {ADVICE}")
    data: bytes = cloudpickle.dumps(obj, protocol=5, buffer_callback=take)
    return data


def might_help(error: BaseException) -> bool:
    """Whether plain pickle failed over something that has no name to be found by, judged by its words."""
    words = str(error)
    return any(
        word in words
        for word in ("local object", "attribute lookup", "not the same object", "not found as", "<lambda>")
    )


@cache
def _cloudpickle() -> Any:
    try:
        return import_module("cloudpickle")
    except ImportError:
        return None
