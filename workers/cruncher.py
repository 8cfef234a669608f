"""Honest work with NumPy: random walks, a beat each; the table it needs is made in `prepare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.heart import Heart

_table: list[Any] = []


def prepare(heart: Heart) -> None:
    """What takes a while before the first result; a standby does it before it is needed."""
    import numpy as np  # noqa: PLC0415 this module is imported without NumPy too

    heart.busy(10)
    _table[:] = [np.linspace(0.0, 1.0, 100_000)]


def main(heart: Heart, *, rows: int = 50_000, rounds: int | None = None) -> None:
    """Crunch walks of `rows` steps, `rounds` of them (None: until asked to stop), and say how it goes."""
    import numpy as np  # noqa: PLC0415

    heart.ready("crunching")
    done, best = 0, 0.0
    while done != rounds and not heart.wait(0.01):
        walk = np.cumsum(np.random.standard_normal(rows))  # noqa: NPY002 the global state is what a template must reseed
        best = max(best, float(np.interp(np.abs(walk).max() / rows, _table[0], _table[0])))
        done += 1
        heart.beat(progress=done)
    print(f"crunched {done} walks, widest {best:.4f}")
