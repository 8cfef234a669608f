"""Experiments for the tests of their reader and runner: the smallest that is right, and readers that expect all or nothing."""

from __future__ import annotations

import copy
import types
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.chaos import experiment
from supervisor.chaos.providers import Providers
from supervisor.chaos.reading import BadExperiment, Spot
from supervisor.problems import Place

if TYPE_CHECKING:
    from supervisor.chaos.experiment import Experiment
    from supervisor.problems import Problem

Tree = dict[str, Any]


def acting(func: str = "rest", *, kind: str = "action", name: str = "", module: str = "acts", **arguments: Any) -> Tree:
    """An activity that calls a function of a test's own."""
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": kind, "name": name or func, "provider": provider}


def probing(func: str, tolerance: Any = None, *, name: str = "", **arguments: Any) -> Tree:
    """A probe; with a tolerance, one for the hypothesis."""
    tree = acting(func, kind="probe", name=name, **arguments)
    return tree if tolerance is None else {**tree, "tolerance": tolerance}


def trying(*method: Any, probes: list[Tree] | None = None, **more: Any) -> Tree:
    """A whole experiment."""
    steady = {"steady-state-hypothesis": {"title": "all is well", "probes": probes}} if probes is not None else {}
    tree = {"version": "1.0.0", "title": "a test", "description": "of ours", "method": list(method), **steady, **more}
    return copy.deepcopy(tree)


def of_functions(*functions: Any) -> Providers:
    """Providers that call these functions, as module `acts`, and programs."""
    module = types.ModuleType("acts")
    for function in functions:
        setattr(module, function.__name__, function)
    module.__all__ = [function.__name__ for function in functions]  # type: ignore[attr-defined]
    return Providers(allow_process=True, modules=("acts",), imported={"acts": module}.__getitem__)


def read(
    tree: Any, providers: Providers, *, given: Tree | None = None, environment: dict[str, str] | None = None
) -> Experiment:
    """Read a tree as if it stood in x.json."""
    spot = Spot(Place("x.json", "/"))
    return experiment.read(tree, spot, providers.check, given or {}, environment or {})


def problems(tree: Any, providers: Providers) -> tuple[Problem, ...] | None:
    """What is wrong with a tree; None if it is an experiment."""
    try:
        read(tree, providers)
    except BadExperiment as refused:
        return refused.problems
    return None


def wrong(tree: Any, providers: Providers, **more: Any) -> list[str]:
    """What is wrong with a tree, as people see it."""
    with pytest.raises(BadExperiment) as refused:
        read(tree, providers, **more)
    return [str(problem).removeprefix("x.json: ") for problem in refused.value.problems]
