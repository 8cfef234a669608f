"""When a monkey strikes, how, and whom first. Pure: the same plan and the same seed give the same schedule.

Waits between two faults are at least `least` and `mean` on average: what is above the least is exponential, so that no
wait tells anything of the next. Kinds are drawn evenly. A turn's own seed decides in which order workers are asked for;
who of them is ready is known only when the moment comes (`choice`). The schedule is drawn as it is read, and may be for
ever: `lasting` may be infinite.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class BadPlan(ValueError):
    """A plan that cannot be followed; the sentence says why."""


class Plan(NamedTuple):
    """Seconds: `mean` between two faults, `least` at least, for `lasting` in all; `seconds` a fault that lasts goes on.

    worker: a glob. parameters: kind -> what to inject it with.
    """

    mean: float
    least: float
    lasting: float
    kinds: tuple[str, ...]
    worker: str = "*"
    seconds: float | None = None
    parameters: Mapping[str, Mapping[str, Any]] = {}


class Turn(NamedTuple):
    """`at` seconds after the beginning this kind is due, with these parameters; `seed` decides whom it hits."""

    at: float
    kind: str
    seed: int
    parameters: Mapping[str, Any]


def turns(plan: Plan, seed: int) -> Iterator[Turn]:
    """Return the turns of a plan, in order and one by one; BadPlan at once."""
    for name in ("mean", "least", "lasting"):
        value = getattr(plan, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadPlan(f"{name}: {value!r} is no number of seconds")
    if not plan.kinds:
        raise BadPlan("kinds: there is none")
    if not 0 <= plan.least <= plan.mean < float("inf"):
        raise BadPlan(f"least: {plan.least:g} s is not between 0 and the mean, {plan.mean:g} s")
    if plan.mean <= 0:
        raise BadPlan("mean: must be more than 0 s")
    if not plan.lasting > 0:
        raise BadPlan(f"lasting: must be more than 0 s, not {plan.lasting:g} s")
    strange = sorted(plan.parameters.keys() - set(plan.kinds))
    if strange:
        raise BadPlan(f"parameters: {strange[0]} is not one of the kinds")
    return _drawn(plan, random.Random(seed))  # noqa: S311 - repeatable is what it must be


def seeds(seed: int, repeat: int) -> list[int]:
    """Return the seeds of so many runs: the first is the seed itself, so that a single run can be repeated with it."""
    if repeat < 1:
        raise BadPlan(f"repeat: must be at least once, not {repeat} times")
    draw = random.Random(seed)  # noqa: S311 - repeatable is what it must be
    return [seed, *(draw.getrandbits(32) for _ in range(repeat - 1))]


def _drawn(plan: Plan, draw: random.Random) -> Iterator[Turn]:
    # Sorted: the order in which kinds were named is no wish.
    at, spread, kinds = 0.0, plan.mean - plan.least, sorted(plan.kinds)
    while True:
        at += plan.least + (draw.expovariate(1 / spread) if spread > 0 else 0.0)
        if at >= plan.lasting:
            return
        kind = draw.choice(kinds)
        yield Turn(at, kind, draw.getrandbits(32), plan.parameters.get(kind, {}))
