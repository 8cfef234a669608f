"""What the experiments of these tests act on, in place of a service; every journal that comes of it is held to the rules."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from supervisor.chaos.runner import Runner
from tests.unit.chaos_files import Tree, of_functions, read
from tests.unit.journal_rules import broken

if TYPE_CHECKING:
    from supervisor.chaos.performer import Step


class World:
    """Everything that was done, in order, and how the probes answer."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.well = True
        self.told: list[Step] = []

    def run(self, tree: Tree, *, given: Tree | None = None, **more: Any) -> dict[str, Any]:
        providers = of_functions(
            self.act, self.look, self.hurt, self.fail, self.linger, self.echo, self.is_even, self.explode
        )
        runner = Runner(
            read(tree, providers, given=given), providers, listener=self.told.append, undo=self.undo, **more
        )
        journal = runner.run()
        assert broken(journal) == []
        assert journal["experiment"] == tree
        return journal

    def act(self, what: str = "acted") -> str:
        self.done.append(what)
        return what

    def look(self) -> bool:
        self.done.append("looked")
        return self.well

    def hurt(self) -> None:
        self.done.append("hurt")
        self.well = False

    def fail(self) -> None:
        self.done.append("failed")
        raise RuntimeError("no such luck")

    def linger(self, seconds: float) -> None:
        time.sleep(seconds)
        self.done.append("lingered")

    def echo(self, value: Any, configuration: dict[str, Any], secrets: dict[str, Any] | None = None) -> Any:
        return [value, dict(configuration), secrets]

    def is_even(self, value: int) -> bool:
        return value % 2 == 0

    def explode(self) -> object:
        return {1: {"a", "b"}, "x": b"\xff", "y": float("nan"), "z": object}

    def undo(self) -> None:
        self.done.append("undone")
