"""Fills the holes of a template's heap, so that what its children make lies side by side, in new pages.

A heap that has imported things is full of single free places, and an allocator fills these first: a child that makes a
hundred small objects copies a hundred pages. Filled for good in the template, to which these pages belong anyway, they
leave the child one fresh page for each size.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from functools import partial

from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POOL = 1 << 14  # bytes; CPython's small objects live in pools of one size each, which begin at multiples of this
_STEP = 16  # bytes; sizes of places are multiples of it
_EMPTY = bytes.__basicsize__  # bytes of a `bytes` of no length
_MAKERS: dict[int, Callable[[], object]] = {  # by size of the place
    16: object,
    32: partial(complex, 1.0, 1.0),
    **{size: partial(bytes, size - _EMPTY) for size in range(48, 513, _STEP)},
}
_ENOUGH = 4 << 20  # bytes of a size; an allocator that gives no new pool until then has none
_LARGE = (1 << 16, 1 << 15, 1 << 14, 1 << 13, 1 << 12, 3072, 2048, 1536, *range(1024, 16, -_STEP))  # bytes, of malloc
_ENOUGH_LARGE = 16 << 20  # bytes; one that gives no higher and higher places is not ours to fill

_kept: list[object] = []
_malloc = ctypes.CDLL(None).malloc
_malloc.restype, _malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)


def fill() -> None:
    """Also freezes everything, so that no collection touches it. Call it last: what is let go of later leaves new holes."""
    gc.freeze()
    gc.collect()  # of nothing, for all is frozen; but it empties the lists of floats, tuples and frames kept for reuse
    _fill_large()
    # Another allocator, or one that checks, has no pools or others.
    if sys.getallocatedblocks() and not (sys.flags.dev_mode or os.environ.get("PYTHONMALLOC")):
        for size, make in _MAKERS.items():
            _fill_small(size, make)
    gc.freeze()


def _fill_small(size: int, make: Callable[[], object]) -> None:
    """Until a pool that was all but empty is full and the next begun."""
    pool = row = 0
    for _ in range(_ENOUGH // size):
        made = make()
        _kept.append(made)
        if id(made) // _POOL != pool:
            if row * size > _POOL * 0.9:
                return
            pool, row = id(made) // _POOL, 0
        row += 1


def _fill_large() -> None:
    """Until a place of each size comes from the end of the heap, beyond all that were seen."""
    end = taken = 0
    for size in _LARGE:
        while taken < _ENOUGH_LARGE:
            place = _malloc(size) or 0
            taken += size
            if place > end > 0:
                end = place
                break
            end = max(end, place)
