"""The user's `__main__`: what workers can make of it, so that what is defined there works in them.

A script and a `python -m package.module` are run a second time in the template (or the worker), under the name
`__mp_main__`, as multiprocessing does: what stands under `if __name__ == "__main__":` is left out, and what pickle calls
`__main__.f` is found. An interactive session has no file to run; a `__main__.py` is the program, mostly without such an
`if`, and running it would start the program again: of both, functions travel by value (parcel.py).

Rules:
- What was defined before an adoption failed stays: a script without the `if` ends where it makes its Pool.
- Nothing is asked of `__main__` but its own variables; it may be any object by now.
"""

from __future__ import annotations

import io
import os
import sys
from functools import cache
from types import CodeType, FunctionType, ModuleType

from workers.hints import Any, NamedTuple

ALIAS = "__mp_main__"
GUARD = """A Pool was made while a worker was importing the main script, which would make workers without end.
Whatever starts the work belongs under this line, at the end of the script:

    if __name__ == "__main__":
"""
_SOURCES = (".py", ".pyw", ".pyc")
_BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "boot.py")
_SHELLS = {"ipython", "ipython3", "ptpython", "bpython"}

_displaced: list[
    ModuleType
] = []  # mains before: their functions are still in use, and a module that dies takes its variables along
_state: dict[str, MainModule | None] = {}


class MainModule(NamedTuple):
    """A main module workers can run: `name` if it is found by import (python -m), else by `path`; and its sys.argv."""

    path: str
    name: str | None = None
    argv: tuple[str, ...] = ()

    @classmethod
    def of_this_process(cls) -> MainModule | None:
        """Our own, or in a worker that of the process it works for; None if there is nothing workers could run.

        From now on our own is found under ALIAS too: that is what workers call what they make of it.
        """
        if "belongs" in _state:
            return _state["belongs"]
        main = sys.modules.get("__main__")
        spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if not isinstance(path, str):
            return None  # interactive, -c, stdin, a notebook
        name = getattr(spec, "name", None)
        if name is not None and (name == "__main__" or name.endswith(".__main__")):
            return None  # the program itself: a package's, a directory's or a zip file's __main__.py
        path = os.path.abspath(path)
        if path == _BOOT:
            return None  # a process of ours
        if name is None and (not os.path.isfile(path) or _is_command(path, vars(main))):
            return None
        sys.modules.setdefault(ALIAS, sys.modules["__main__"])
        return cls(path, name, tuple(sys.argv))

    @property
    def adopted(self) -> bool:
        """Whether this process has run it, whatever came of that."""
        return _state.get("adopted") == self

    def adopt(self) -> None:
        """Run it as this process's main, once. Raises what it raises; then what it has defined so far is there."""
        if self.adopted:
            return
        belong_to(self)
        _state["adopted"] = self
        module = ModuleType(ALIAS)
        if self.argv:
            sys.argv[:] = self.argv
        _displaced.append(sys.modules["__main__"])
        # Before it runs: a dataclass, say, looks for the module of its class while that is being made.
        sys.modules["__main__"] = sys.modules[ALIAS] = module
        _state["adopting"] = self
        try:
            exec(self._code(module), vars(module))  # noqa: S102 that is what running a script is
        finally:
            del _state["adopting"]

    def _code(self, module: ModuleType) -> CodeType:
        """What to run, and the module made ready for it as the interpreter would."""
        if self.name is None:
            vars(module).update(__file__=self.path, __cached__=None)
            return _compiled(self.path)
        from importlib.util import find_spec  # noqa: PLC0415 it takes a while, and scripts do not need it

        spec = find_spec(self.name)
        code: CodeType | None = getattr(spec and spec.loader, "get_code", lambda _: None)(self.name)
        if spec is None or code is None:
            raise ImportError(
                f"the main module {self.name} is not found, or has no code: sys.path is {sys.path}", name=self.name
            )
        values = {"__file__": spec.origin, "__cached__": spec.cached, "__package__": spec.parent}
        vars(module).update(values, __spec__=spec, __loader__=spec.loader)
        return code


def belong_to(main: MainModule | None) -> None:
    """In a worker, before anything of the user's runs: this is the main module of the process it works for."""
    _state["belongs"] = main
    is_out_of_reach.cache_clear()


def adopting() -> bool:
    """Whether the main module is being run in a worker just now: a Pool made then is a mistake (GUARD)."""
    return "adopting" in _state


@cache
def is_out_of_reach() -> bool:
    """Whether workers have nothing of this process's main module: what is defined there must travel by value."""
    return MainModule.of_this_process() is None


def was_typed_in(function: object) -> bool:
    """Whether it was typed at a prompt (python -i script.py): the script's file does not have it."""
    return isinstance(function, FunctionType) and function.__code__.co_filename.startswith(("<stdin", "<python-input"))


def _is_command(path: str, values: dict[str, Any]) -> bool:
    """Whether it is an installed command (pytest): it has nothing of its own to give, and imports much."""
    name, ending = os.path.splitext(os.path.basename(path))
    if name in _SHELLS:
        return True
    return ending not in _SOURCES and not any(_is_of_main(value) for value in list(values.values()))


def _is_of_main(value: object) -> bool:
    return isinstance(value, FunctionType | type) and value.__module__ == "__main__"


def _compiled(path: str) -> CodeType:
    with io.open_code(path) as file:
        source = file.read()
    if not path.endswith(".pyc"):
        return compile(source, path, "exec", dont_inherit=True)
    import marshal  # noqa: PLC0415

    code: CodeType = marshal.loads(source[16:])  # noqa: S302 the file that the user has just run
    return code
