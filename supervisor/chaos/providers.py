"""Providers: what carries out a probe or an action.

An experiment is a file from anywhere, and `python` in it would be arbitrary code: only the functions that MODULES export
in `__all__` are called. `process` is arbitrary code as well: whoever runs the experiment allows it, or it is refused.
"""

from __future__ import annotations

import importlib
import inspect
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from supervisor.chaos import program, web
from supervisor.chaos.reading import named
from supervisor.problems import nearest, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.chaos.activities import Activity
    from supervisor.chaos.reading import Spot
    from supervisor.chaos.variables import Variables

MODULES = ("supervisor.chaos.actions", "supervisor.chaos.probes")
OFFERED = ("configuration", "secrets")  # given to a function that takes them
_KEYS = ("type", "module", "func", "arguments", "secrets")


class Failed(Exception):
    """An activity did not succeed: the sentence says why, `__cause__` has what was raised."""


@dataclass(frozen=True, slots=True)
class Providers:
    """What an experiment may use. modules: the Python modules that may be called; imported: name -> module."""

    allow_process: bool = False
    modules: tuple[str, ...] = MODULES
    imported: Callable[[str], Any] = importlib.import_module
    programs: program.Programs = field(default_factory=program.Programs)

    def check(self, provider: dict[str, Any], spot: Spot, variables: Variables, given: tuple[str, ...] = ()) -> None:
        """Tell `spot` all that is wrong with a provider; `given`: arguments it will have beside its own."""
        match provider["type"]:
            case "python":
                self._check_python(provider, spot, variables, given)
            case "process":
                if not self.allow_process:
                    spot.wrong("runs a program of the experiment's choice", "allow it with --allow-process")
                program.check(provider, spot, variables)
            case "http":
                web.check(provider, spot, variables)

    def call(self, activity: Activity, variables: Variables, **given: Any) -> Any:
        """Carry out an activity and return its output; Failed. given: arguments beside its own."""
        provider = activity.provider
        try:
            match provider["type"]:
                case "python":
                    return self._call_python(provider, variables, given)
                case "process":
                    return self.programs.call(provider, variables)
                case _:
                    return web.call(provider, variables)
        except (
            Exception
        ) as error:  # whatever a provider raises is its activity's failure, and the journal has all of it
            raise Failed(said(error)) from error

    def judge(self, activity: Activity, variables: Variables, value: Any) -> str | None:
        """Have a tolerance's probe look at a value: None, or why that was not to its liking."""
        try:
            output = self.call(activity, variables, value=value)
        except Failed as error:
            return f"answered {value!r:.80}, and {activity.name} failed: {error}"
        met = {
            "python": bool(output),
            "process": isinstance(output, dict) and output.get("status") == 0,
            "http": isinstance(output, dict) and int(output.get("status", 0)) < 400,
        }[activity.provider["type"]]
        return None if met else f"answered {value!r:.80}, which {activity.name} did not accept"

    def stop(self) -> None:
        """End what can be ended: programs. Functions are told by what they act through."""
        self.programs.kill()

    def open(self) -> None:
        """A run begins. The same providers serve one run after the other."""
        self.programs.open()

    def close(self) -> None:
        """The run is over: what was left behind of it must not begin anything either."""
        self.programs.close()

    # -- python --------------------------------------------------------------------------------------------------------

    def _check_python(self, provider: dict[str, Any], spot: Spot, variables: Variables, given: tuple[str, ...]) -> None:
        spot.keys(provider, _KEYS)
        arguments = spot.at("arguments").table(provider.get("arguments", {}))
        variables.check(arguments, spot.at("arguments"))
        self._check_secrets(provider.get("secrets", []), spot.at("secrets"), variables)
        there = dict.fromkeys(spot.needs(provider, ("module", "func")))
        function = self._function(provider, spot) if len(there) == 2 else None
        if function is not None:
            _check_arguments({*arguments}, {*given}, function, spot.at("arguments"))

    def _check_secrets(self, names: Any, spot: Spot, variables: Variables) -> None:
        for index, name in enumerate(spot.listed(names)):
            if name not in variables.secrets:
                spot.at(index).wrong(f"{named(name)} is the name of no secrets", nearest(str(name), variables.secrets))

    def _function(self, provider: dict[str, Any], spot: Spot) -> Callable[..., Any] | None:
        module, func = spot.at("module").text(provider["module"]), spot.at("func").text(provider["func"])
        if module is None or func is None:
            return None
        if module not in self.modules:
            spot.at("module").wrong(
                f"{text(module)} is not called: an experiment may come from anywhere, and only {' and '.join(self.modules)}"
                " are known to be harmless but for what they are for",
                nearest(module, self.modules) or "a program of your own can be a process provider (--allow-process)",
            )
            return None
        exported = _exported(self.imported(module))
        if func not in exported:
            spot.at("func").wrong(f"{module} has no function {text(func)}", nearest(func, exported))
        return exported.get(func)

    def _call_python(self, provider: dict[str, Any], variables: Variables, given: dict[str, Any]) -> Any:
        function = _exported(self.imported(provider["module"]))[provider["func"]]
        arguments = variables.fill(provider.get("arguments", {})) | given
        taken = inspect.signature(function).parameters
        if "secrets" in provider and "secrets" in taken:
            arguments["secrets"] = variables.of(provider["secrets"])
        if "configuration" in taken:
            arguments["configuration"] = dict(variables.configuration)
        return function(**arguments)


def said(error: BaseException) -> str:
    """An exception as a sentence: what it says, or, where it says nothing, what it is."""
    return str(error) or "".join(traceback.format_exception_only(error)).strip()


def _exported(module: Any) -> dict[str, Callable[..., Any]]:
    return {name: getattr(module, name) for name in module.__all__ if inspect.isroutine(getattr(module, name))}


def _check_arguments(names: set[str], given: set[str], function: Callable[..., Any], spot: Spot) -> None:
    parameters = inspect.signature(function).parameters
    anything = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    open_to_all = [name for name in parameters if name not in OFFERED]
    for name in sorted(names):
        if name not in parameters and not anything:
            spot.at(name).wrong(f"{function.__name__} has no such argument", nearest(name, open_to_all))
        elif name in given:
            spot.at(name).wrong("is given to it by the tolerance")
        elif name in OFFERED:
            spot.at(name).wrong("is handed over by whoever runs the experiment")
    for name in sorted(given - parameters.keys()):
        if not anything:
            spot.wrong(f"{function.__name__} takes no {text(name)}, which a tolerance's probe is given")
    for name, one in parameters.items():
        wanted = one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        if wanted and name not in {*names, *given, *OFFERED}:
            spot.at(name).wrong(f"is missing, and {function.__name__} needs it")
