"""Faults at random moments, for a while: which kind, when and whom first follows from the seed (`schedule`).

What cannot be injected at its moment, because too much is under a fault or nobody is ready, is held back: the monkey does
not catch up, and never goes beyond what the service allows.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.chaos import choice, hit
from supervisor.chaos.fault import PART
from supervisor.chaos.schedule import BadPlan, turns
from supervisor.chaos.session import Refused, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.chaos.binding import Binding
    from supervisor.chaos.record import Injected
    from supervisor.chaos.schedule import Plan, Turn


class Result(NamedTuple):
    """How many faults were injected, how many were due and held back, and what was said of the last of those."""

    injected: int
    held_back: int
    why: str | None
    seed: int


def run(binding: Binding, plan: Plan, seed: int) -> Result:
    """Do as planned. Usage, Refused before anything is done; session.Aborted in the middle."""
    try:
        schedule = turns(plan, seed)
    except BadPlan as error:
        raise Usage(str(error)) from error
    check(binding.session.chaos(), plan)
    began, injected, held_back, why = time.monotonic(), 0, 0, None
    for turn in schedule:
        _wait_for(binding, began + turn.at)
        try:
            injected += len(_inject(binding, plan, turn))
        except Refused as error:
            held_back, why = held_back + 1, str(error)
    _wait_for(binding, began + plan.lasting)
    return Result(injected, held_back, why, seed)


def experiment(plan: Plan, seed: int) -> dict[str, Any]:
    """The same as an experiment that can be run, written down, judged and run again."""

    def ask(name: str, func: str, tolerance: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        provider = {"type": "python", "module": "supervisor.chaos.probes", "func": func, "arguments": arguments}
        return {"type": "probe", "name": name, "tolerance": tolerance, "provider": provider}

    def act(name: str, func: str, arguments: dict[str, Any]) -> dict[str, Any]:
        provider = {"type": "python", "module": "supervisor.chaos.actions", "func": func, "arguments": arguments}
        return {"type": "action", "name": name, "provider": provider}

    storm = {**plan._asdict(), "kinds": list(plan.kinds), "parameters": dict(plan.parameters), "seed": seed}
    return {
        "title": f"A monkey: {', '.join(plan.kinds)} on {plan.worker} for {plan.lasting:g} s",
        "description": f"A fault every {plan.mean:g} s on average, {plan.least:g} s apart at least; seed {seed}.",
        "tags": ["monkey"],
        "steady-state-hypothesis": {
            "title": "everybody is ready, and nobody but the targets was hurt",
            "probes": [
                ask("everybody is ready", "all_ready", True, {"within": hit.WITHIN_S}),
                ask("nobody else was hurt", "blast_radius", 0, {}),
            ],
        },
        "method": [act("storm", "storm", storm)],
        "rollbacks": [act("undo what goes on", "halt", {})],
    }


def check(chaos: Mapping[str, Any], plan: Plan) -> None:
    """Usage, Refused: what would be so at every turn. chaos: what the verb of that name answered."""
    for kind in plan.kinds:
        if hit.check_kind(chaos, kind)["place"] != PART:
            try:
                choice.matching(chaos["may_hit"], plan.worker)
            except choice.NoSuchWorker as error:
                raise Usage(str(error)) from error


def _wait_for(binding: Binding, moment: float) -> None:
    binding.observer.wait_until(binding.is_called_off, max(0.0, moment - time.monotonic()))
    binding.check()


def _inject(binding: Binding, plan: Plan, turn: Turn) -> list[Injected]:
    draw = random.Random(turn.seed)  # noqa: S311 - repeatable is what it must be
    names = hit.targets(binding.session.chaos(), turn.kind, plan.worker, draw)
    seconds = plan.seconds if binding.observer.kinds[turn.kind].lasting else None
    return binding.inject(turn.kind, names, seconds=seconds, parameters=dict(turn.parameters))
