"""workers.hints is typing to a type checker; at run time its named tuples are what typing's are."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing
from pathlib import Path

from workers import hints

ROOT = Path(__file__).parents[2]


class Ours(hints.NamedTuple):
    """One of ours."""

    pid: int
    name: str = "nobody"

    def shout(self) -> str:
        return self.name.upper()

    @classmethod
    def made(cls, pid: int) -> Ours:
        return cls(pid, "made")

    @property
    def twice(self) -> int:
        return 2 * self.pid


class Theirs(typing.NamedTuple):
    """One of theirs."""

    pid: int
    name: str = "nobody"


def test_a_named_tuple_is_like_one_of_typing() -> None:
    """Fields, defaults, words, module, pickles; and methods."""
    one = Ours(3)
    assert one == (3, "nobody") == Theirs(3)
    assert repr(one) == repr(Theirs(3)).replace("Theirs", "Ours")
    assert (Ours._fields, Ours._field_defaults) == (Theirs._fields, Theirs._field_defaults)
    assert (Ours.__doc__, Ours.__module__, Ours.__qualname__) == ("One of ours.", __name__, "Ours")
    assert pickle.loads(pickle.dumps(one)) == one
    assert (one.shout(), Ours.made(4).name, one.twice, one._replace(pid=9).pid) == ("NOBODY", "made", 6, 9)


def test_what_a_pool_starts_with_does_not_import_typing() -> None:
    """Nor other modules that take milliseconds and are not needed before its first worker."""
    slow = {"typing", "argparse", "shutil", "traceback", "threading", "dataclasses", "inspect", "subprocess"}
    slow |= {"socket", "ctypes", "pickle", "weakref", "json"}
    imports = "import sys, supervisor.pool.root, supervisor.pool.mainmodule, supervisor.pool.worker"
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {imports}; print({slow} & sys.modules.keys())"
    found = subprocess.run(
        [sys.executable, "-S", "-s", "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_a_program_that_imports_the_pool_does_not_pay_for_inspect() -> None:
    """Nor for dataclasses, which imports it: a fifth of what `from supervisor import Pool` would take."""
    slow = {"dataclasses", "inspect", "ast", "asyncio", "multiprocessing", "argparse", "shutil", "json", "ctypes"}
    program = f"import sys; from supervisor import Pool; print({slow} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
