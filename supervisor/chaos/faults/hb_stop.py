"""hb-stop: the worker works, and its beats are not sent."""

from __future__ import annotations

from supervisor.chaos import tamper
from supervisor.chaos.fault import INSIDE, MAYBE, Fault
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.chaos import Act

FAULT = Fault(
    kind="hb-stop",
    place=INSIDE,
    summary="the worker's heart sends no beat",
    ends=MAYBE,
    detected="no beat within beat_within: worker.hung with its stacks, and it is put down; without beat_within not at all",
    lasting=True,
    undone="its heart beats again",
)


class Mute(tamper.Layer):
    """Neither a beat nor the announcement that none will come for a while; `ready` and `leaving` are said."""

    def says(self, kind: str) -> bool:
        """Not those."""
        return kind not in {"beat", "busy"}


def begin(act: Act) -> None:
    """From the next beat on."""
    act.kept["layer"] = layer = Mute()
    tamper.put_on(act.heart, layer)


def end(act: Act) -> None:
    """The next beat is sent."""
    if "layer" in act.kept:
        tamper.take_off(act.heart, act.kept["layer"])
