"""spawn-fail: the worker's next lives cannot be started. A deploy that forgot a folder, a program or a user.

The worker is given a broken spec, in this supervisor's memory only: what is kept at the anchor, and so every later supervisor,
knows the right one; and a reload gives it the one it reads. Its standbys were made from the right spec: it is kept from them.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec

from supervisor.chaos.fault import ENDING, OUTSIDE, Fault, Impossible, Parameter, Scene
from supervisor.standby import Shelf

if TYPE_CHECKING:
    from supervisor.spec import ChildSpec
    from supervisor.worker import Worker

NOWHERE = "/nonexistent/ninelives-chaos"
NOBODY = "ninelives-chaos-nobody"

FAULT = Fault(
    kind="spawn-fail",
    place=OUTSIDE,
    summary="the worker is killed, and its next lives cannot be started",
    ends=ENDING,
    detected="each try is a worker.ended that says why, with growing backoff, and quarantine after max_failures",
    lasting=True,
    undone="its spec as the config has it; a backoff or quarantine under way goes on",
    parameters=(
        Parameter("how", "word", "cwd", "what is not there: cwd: its folder; exec: its program; user: its user",
                  words=("cwd", "exec", "user")),
    ),
    idle=True,
    fleeting=True,
)  # fmt: skip


def look(scene: Scene) -> dict[str, object]:
    """There is one right spec, and no second way to break it."""
    if scene.worker is not None and is_broken(scene.worker):
        raise Impossible("it is kept from starting already")
    return {}


def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """The life it has is ended, so that it shows."""
    worker = scene.worker
    assert worker is not None
    worker.spec = _broken(worker.spec, scene.parameters["how"])
    worker.shelf = Shelf(worker.host, msgspec.structs.replace(worker.spec, standby=0), fingerprint="")
    if scene.process is not None:
        scene.service.host.processes.signal(scene.process, signal.SIGKILL)


def undo(scene: Scene, _kept: dict[str, object]) -> str:
    """As the config in force has it, which may be another by now."""
    worker = scene.worker
    if worker is None or not is_broken(worker):
        return "a reload came first"
    roster = scene.service.roster
    spec = roster.config.workers.get(worker.spec.name)
    if spec is None:
        return "it is on its way out, after a reload"
    worker.spec, worker.shelf = spec, roster.shelves[spec.name]
    return "its spec as the config has it"


def is_broken(worker: Worker) -> bool:
    """Whether it has the spec that we have given it."""
    spec = worker.spec
    return spec.cwd == NOWHERE or spec.command == (NOWHERE,) or spec.user == NOBODY


def _broken(spec: ChildSpec, how: str) -> ChildSpec:
    match how:
        case "exec":
            return msgspec.structs.replace(spec, target=None, args={}, command=(NOWHERE,))
        case "user":
            return msgspec.structs.replace(spec, user=NOBODY)
        case _:
            return msgspec.structs.replace(spec, cwd=NOWHERE)
