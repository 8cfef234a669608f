"""A control for the Chaos Toolkit: it looks on from the beginning to the end, and writes what it saw into the journal.

    "controls": [{"name": "measure", "provider": {"type": "python", "module": "supervisor.chaos.controls"}}]

With it `ninelives chaos report` reads the toolkit's journal like one of ours. Our own runner does the same without being told
to, and takes this control for said.
"""

from __future__ import annotations

from typing import Any

from supervisor.chaos import hit
from supervisor.chaos import journal as journals
from supervisor.chaos.binding import current
from supervisor.chaos.record import as_json

REST_S = 30.0  # for workers to come back once everything is undone


def before_experiment_control(
    context: dict[str, Any],  # noqa: ARG001 - the toolkit's interface
    configuration: dict[str, Any] | None = None,
) -> None:
    """Begin to look on: client.NoAnswer if there is no service, which the toolkit notes in its log."""
    current(configuration)


def after_experiment_control(
    context: dict[str, Any],  # noqa: ARG001 - the toolkit's interface
    state: dict[str, Any],
    configuration: dict[str, Any] | None = None,
) -> None:
    """Undo what goes on, let everybody come back, and put what was seen into the journal, which `state` is."""
    binding = current(configuration)
    binding.session.halt()
    hit.come_to_rest(binding, REST_S)
    binding.observer.end()
    journals.extend(state, {"seed": binding.seed, "record": as_json(binding.record())})
