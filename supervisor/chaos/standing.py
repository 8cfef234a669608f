"""How the workers of a roster stand, for the leash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.chaos.leash import Standing
from supervisor.phase import Phase, Want

if TYPE_CHECKING:
    from collections.abc import Collection

    from supervisor.roster import Roster


def standings(roster: Roster, hit: Collection[str | None]) -> list[Standing]:
    """One for each worker; `hit`: those that a fault is on."""
    return [
        Standing(
            name=name,
            opted_in=(worker := roster.worker(name)) is not None and worker.spec.chaos,
            up=keeper.want is Want.UP and keeper.verdict is None,
            ready=keeper.phase is Phase.READY,
            hit=name in hit,
        )
        for name, keeper in roster.keepers.items()
    ]
