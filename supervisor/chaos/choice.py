"""Which workers are hit. Pure: the same names, the same wishes and the same random numbers give the same choice.

The order in which workers are asked for is drawn over all that may be hit, whoever is ready: so two runs with one seed
differ only where a worker of the order was not to be had.
"""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence


class NoSuchWorker(Exception):
    """Nothing that may be hit is called so."""


class TooFew(Exception):
    """As many as were asked for cannot be had now."""


def matching(may_hit: Collection[str], pattern: str) -> list[str]:
    """Names that match the glob, sorted; NoSuchWorker if there are none."""
    found = sorted(name for name in may_hit if fnmatchcase(name, pattern))
    if not found:
        near = difflib.get_close_matches(pattern, may_hit, n=1)
        there = f"did you mean {near[0]!r}?" if near else f"may be hit: {_listed(sorted(may_hit))}"
        raise NoSuchWorker(f"{pattern!r} matches no worker that may be hit (chaos = true, not protected): {there}")
    return found


def wanted(matching: int, *, count: int | None, percent: float | None, everyone: bool) -> int:
    """How many of so many: all, a share rounded down but at least one, or a number (one unless it is given)."""
    if everyone:
        return matching
    if percent is not None:
        return max(1, int(matching * percent / 100))
    return 1 if count is None else count


def choose(
    may_hit: Collection[str],
    ready: Collection[str],
    pattern: str,
    random: random.Random,
    *,
    count: int | None = None,
    percent: float | None = None,
    everyone: bool = False,
) -> list[str]:
    """The names of those that are hit, sorted. NoSuchWorker, TooFew: a sentence for people.

    `everyone` is everyone that is ready: somebody who is down already cannot be hit.
    """
    order = matching(may_hit, pattern)
    number = wanted(len(order), count=count, percent=percent, everyone=everyone)
    random.shuffle(order)
    free = [name for name in order if name in ready]
    if not free or (len(free) < number and not everyone):
        busy = _listed(sorted(set(order) - set(free)))
        raise TooFew(f"{number} of the workers {pattern!r} were asked for, {len(free)} are ready and free; not: {busy}")
    return sorted(free[:number])


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
