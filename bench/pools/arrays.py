"""Arrays for workers to give back. Apart from the other tasks because NumPy is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT: dict[int, NDArray[np.float64]] = {}


def fresh(length: int, number: float = 1.0) -> NDArray[np.float64]:
    """A new array of that many float64, every page of it written to."""
    return np.full(length, number)


def kept(length: int) -> NDArray[np.float64]:
    """Always the same array of this worker's: the figure is of the way back, not of making arrays."""
    if length not in _KEPT:
        _KEPT[length] = fresh(length)
    return _KEPT[length]
