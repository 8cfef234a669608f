"""Templates and standbys, made anew when what they were made from has changed: the next lives run the code as it is now.

Running workers are never touched by it; they keep what they were born with.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from supervisor.group import everyone
from supervisor.nursery import BARE
from supervisor.spec import TemplateSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervisor.keeper import Keeper
    from supervisor.nursery import Nursery
    from supervisor.roster import Roster
    from supervisor.spec import Config


class Renewal:
    """Of one service."""

    def __init__(self, nursery: Nursery, roster: Roster) -> None:
        self._nursery, self._roster = nursery, roster

    def ensure(self, config: Config) -> None:
        """Have the templates that a worker of the config uses, and the bare one."""
        for name in used_templates(config):
            self._nursery.ensure(template_spec(config, name))

    def retire_unused(self, config: Config) -> None:
        """No worker of the config wants the others any more."""
        for name in set(self._nursery.templates) - used_templates(config):
            self._nursery.retire(name)

    async def stale(self) -> dict[str, str]:
        """Why templates should be made anew, by name: a file they imported has changed."""
        templates = self._nursery.templates
        found = await asyncio.gather(*(template.stale() for template in templates.values()))
        return {name: why for name, why in zip(templates, found, strict=True) if why is not None}

    def rebuild(self, names: Iterable[str], config: Config) -> None:
        """New processes for these templates, and new standbys from them."""
        for name in set(names) & set(self._nursery.templates):
            self._nursery.rebuild(template_spec(config, name))
            for worker, shelf in self._roster.shelves.items():
                if shelf.spec.template == name:
                    self._roster.renew_shelf(worker)

    async def renew(self, meant: Iterable[Keeper]) -> None:
        """What the next lives of these come from, standbys too: an operator's restart means the code as it is now."""
        roster = self._roster
        specs = {worker.spec.name: worker.spec for each in everyone(meant) if (worker := roster.worker(each.name))}
        used = {spec.template for spec in specs.values()}
        self.rebuild(used & set(await self.stale()), roster.config)
        for name, spec in specs.items():
            if spec.standby and name in roster.shelves:
                roster.renew_shelf(name)


def used_templates(config: Config) -> set[str]:
    """The templates that workers of the config are forked from, and the bare one."""
    return {spec.template for spec in config.workers.values()} | {BARE}


def template_spec(config: Config, name: str) -> TemplateSpec:
    """The spec of a template; the bare one need not be in the config."""
    return config.templates.get(name) or TemplateSpec(name=name)
