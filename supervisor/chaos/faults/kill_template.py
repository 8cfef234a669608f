"""kill-template: the processes that workers are forked from are killed. Workers that live are none the worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.chaos.fault import NEVER, PART, Fault, Impossible, Parameter, Scene
from supervisor.requests import suggestion

if TYPE_CHECKING:
    from supervisor.nursery import Template

FAULT = Fault(
    kind="kill-template",
    place=PART,
    summary="a template, or all of them, is killed with SIGKILL",
    ends=NEVER,
    detected="the anchor reaps it: template.ended, and template.ready of the next",
    parameters=(Parameter("template", "text", "", "its name; all that are in use if there is none"),),
)


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """One that is just being started again is left out."""
    alive = [template for template in _meant(scene) if template.pid is not None]
    if not alive:
        raise Impossible("it has no process at the moment")
    for template in alive:
        template.kill()


def _meant(scene: Scene) -> list[Template]:
    templates = scene.service.host.processes.nursery.templates
    name = scene.parameters["template"]
    if not name:
        return list(templates.values())
    if name not in templates:
        raise Impossible(f"no template in use is called {name!r}{suggestion(name, templates)}")
    return [templates[name]]
