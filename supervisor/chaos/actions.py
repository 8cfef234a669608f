"""What an experiment can do: faults, storms, and waiting until all is well.

These are the actions of the Chaos Toolkit's catalogue and of our own runner alike: what a function is called, takes and says of
itself is what the catalogue shows, so annotations are real types here. All times are in seconds.
"""

import time
from typing import Any

from supervisor.chaos import hit, monkey, pool_kills
from supervisor.chaos.binding import current
from supervisor.chaos.schedule import Plan

__all__ = ["halt", "inject", "pool_storm", "rest", "settle", "storm"]


def inject(
    kind: str,
    worker: str = "*",
    count: int | None = 1,
    percent: float | None = None,
    everyone: bool = False,
    seconds: float | None = None,
    parameters: dict | None = None,  # type: ignore[type-arg]
    wait: bool = True,
    within: float = hit.WITHIN_S,
    *,
    configuration: dict[str, Any] | None = None,
) -> dict:  # type: ignore[type-arg]
    """Inject a fault into workers drawn from those that match a glob, or into a part of the service.

    How many: `count`, or `percent` of those that may be hit (rounded down, at least one), or `everyone` that is ready.
    A lasting fault goes on for `seconds` (10 unless given). With `wait` it returns when every worker has recovered or the
    fault was undone and the worker is ready, or `within` seconds after that was due. What is returned says which of them
    are `over`, and for each fault its outcome and the seconds to its detection and recovery.
    """
    binding = current(configuration)
    names = hit.targets(
        binding.session.chaos(), kind, worker, binding.random, count=count, percent=percent, everyone=everyone
    )
    faults = binding.inject(kind, names, seconds=seconds, parameters=parameters)
    found = hit.wait(binding, faults, within) if wait else hit.traced(binding.observer, faults)
    now = time.monotonic()
    return {
        "over": all(hit.is_over(binding.observer, each, now) for each in found),
        "faults": [hit.told(each) for each in found],
    }


def halt(*, configuration: dict[str, Any] | None = None) -> list:  # type: ignore[type-arg]
    """Undo everything this experiment has injected and that still goes on; the chaos_ids of what was undone."""
    return current(configuration).session.halt()


def storm(
    mean: float,
    least: float,
    lasting: float,
    kinds: list,  # type: ignore[type-arg]
    worker: str = "*",
    seed: int | None = None,
    seconds: float | None = None,
    parameters: dict | None = None,  # type: ignore[type-arg]
    *,
    configuration: dict[str, Any] | None = None,
) -> dict:  # type: ignore[type-arg]
    """Inject faults of these kinds at random moments for `lasting` seconds.

    They are `mean` seconds apart on average, and `least` at least. Each hits one worker that matches the glob. The seed
    decides moments, kinds and workers; without one it is drawn from the experiment's. A fault that lasts goes on for
    `seconds` (10 unless given). `parameters` has those of each kind, by its name. What could not be injected, because too
    much was under a fault already, is counted as held back.
    """
    binding = current(configuration)
    seed = binding.random.getrandbits(32) if seed is None else seed
    plan = Plan(mean, least, lasting, tuple(kinds), worker, seconds, parameters or {})
    return monkey.run(binding, plan, seed)._asdict()


def settle(within: float = hit.WITHIN_S, *, configuration: dict[str, Any] | None = None) -> bool:
    """Wait until no fault of ours goes on and every worker that is wanted is ready; whether that came within so long."""
    return hit.settle(current(configuration), within)


def rest(seconds: float, *, configuration: dict[str, Any] | None = None) -> None:
    """Do nothing for so long, unless the run is halted."""
    binding = current(configuration)
    binding.observer.wait_until(binding.is_called_off, seconds)
    binding.check()


def pool_storm(
    tasks: int = 2000, kills: int = 20, seed: int | None = None, *, configuration: dict[str, Any] | None = None
) -> dict:  # type: ignore[type-arg]
    """Map `tasks` inputs with a pool of our own and kill one of its workers `kills` times in between.

    Returns how many results were right, wrong and lost. Raises RuntimeError if not all were right.
    """
    binding = current(configuration)
    blown = pool_kills.blow(tasks, kills, seed if seed is not None else binding.random.getrandbits(32))
    if not blown.all_right:
        raise RuntimeError(f"of {blown.tasks} results {blown.wrong} were wrong and {blown.lost} are missing")
    return blown._asdict()
