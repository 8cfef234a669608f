"""The user's `__main__`, however it was started, and what a worker makes of it: programs run as people run them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

ASK = """
from supervisor.pool.mainmodule import MainModule
print("main:", MainModule.of_this_process())
"""
SCRIPT = f"""
def double(x):
    return 2 * x
if __name__ == "__main__":
    {ASK.strip().replace(chr(10), chr(10) + "    ")}
"""


def run(*words: str, cwd: Path, **keywords: Any) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=30, check=False, **keywords
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def adopted(main: str, then: str, *, cwd: Path) -> str:
    """What a process says that adopts a main module as a worker does."""
    program = f"""
import pickle, sys
from supervisor.pool import mainmodule
from supervisor.pool.mainmodule import MainModule
main = {main}
{then}
"""
    return run("-c", program, cwd=cwd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("work.py", "__main__.py"):
        (package / name).write_text(SCRIPT)
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "bare").write_text(SCRIPT)
    (tmp_path / "command").write_text("import os.path\n" + ASK)
    (tmp_path / "ipython").write_text(SCRIPT)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", SCRIPT)
    return tmp_path


@pytest.mark.parametrize("words", [("script.py", "-v", "7"), ("bare", "-v", "7"), ("-i", "script.py", "-v", "7")])
def test_a_script_is_run_by_workers_from_its_file(folder: Path, words: tuple[str, ...]) -> None:
    """Whatever it is called, and wherever we are by the time of asking; with its arguments."""
    file = next(word for word in words if word in {"script.py", "bare"})
    said = run(*words, cwd=folder, stdin=subprocess.DEVNULL)
    assert f"main: MainModule(path='{folder / file}', name=None, argv=('{file}', '-v', '7'))" in said


def test_a_module_run_with_m_is_run_by_workers_by_its_name(folder: Path) -> None:
    """Its package is imported then, so that it can import its neighbours."""
    path = folder / "package/work.py"
    assert run("-m", "package.work", "a", cwd=folder) == (
        f"main: MainModule(path='{path}', name='package.work', argv=('{path}', 'a'))"
    )


@pytest.mark.parametrize("words", [("-m", "package"), ("package",), ("app.zip",)])
def test_a_main_file_is_the_program_and_is_not_run_again(folder: Path, words: tuple[str, ...]) -> None:
    """Of a package, a directory, a zip file: most have no `if`, and would start all over."""
    assert run(*words, cwd=folder) == "main: None"


def test_what_was_typed_or_read_from_a_pipe_cannot_be_run_again(folder: Path) -> None:
    """There is no file."""
    assert run("-c", ASK, cwd=folder) == "main: None"
    assert run("-", cwd=folder, input=ASK) == "main: None"
    assert "main: None" in run("-i", cwd=folder, input=ASK)


def test_an_installed_command_has_nothing_to_give(folder: Path) -> None:
    """pytest, say: importing it again would take each worker a quarter of a second."""
    assert run("command", cwd=folder) == "main: None"
    assert run("ipython", cwd=folder) == "main: None"


def test_under_pytest_there_is_no_main_to_run() -> None:
    """What is tested stands in modules."""
    from supervisor.pool.mainmodule import MainModule, is_out_of_reach  # noqa: PLC0415 of this very process

    assert MainModule.of_this_process() is None
    assert is_out_of_reach()


def test_an_adopted_script_is_main_without_what_is_under_the_if(folder: Path) -> None:
    """Functions and classes are found by both its names, and a dataclass finds its module while it is made."""
    (folder / "script.py").write_text("""
import dataclasses, sys
@dataclasses.dataclass
class Point:
    x: "int"
    y: "dataclasses.InitVar[int]" = 0
seen = sys.argv[1:]
def double(x):
    return 2 * x
if __name__ == "__main__":
    raise SystemExit("ran as main")
""")
    said = adopted(
        f"MainModule({str(folder / 'script.py')!r}, None, ('script.py', 'a', 'b'))",
        r"""
assert not main.adopted
main.adopt()
main.adopt()
assert main.adopted and not mainmodule.adopting()
import __main__
double = pickle.loads(b"\x80\x05\x8c\x08__main__\x8c\x06double\x93.")
print(double(21), __main__.seen, __main__.Point(3), double.__module__, pickle.dumps(double) == pickle.dumps(__main__.double))
print(pickle.loads(pickle.dumps(__main__.Point(4))).x, __main__.__file__, MainModule.of_this_process() == main)
""",
        cwd=folder,
    )
    assert said.splitlines() == [
        "42 ['a', 'b'] Point(x=3) __mp_main__ True",
        f"4 {folder / 'script.py'} True",
    ]


def test_an_adopted_module_has_its_package(folder: Path) -> None:
    """Relative imports work as they did."""
    (folder / "package/near.py").write_text("value = 7\n")
    (folder / "package/work.py").write_text("from .near import value\ndef seven():\n    return value\n")
    said = adopted(
        f"MainModule({str(folder / 'package/work.py')!r}, 'package.work')",
        "main.adopt()\nimport __main__\nprint(__main__.seven(), __main__.__spec__.name, __main__.__package__)",
        cwd=folder,
    )
    assert said == "7 package.work package"


def test_a_compiled_script_is_run_too(folder: Path) -> None:
    """python script.pyc is rare, and possible."""
    run("-c", "import py_compile; py_compile.compile('script.py', 'script.pyc', doraise=True)", cwd=folder)
    said = adopted(
        f"MainModule({str(folder / 'script.pyc')!r})",
        "main.adopt(); import __main__; print(__main__.double(2))",
        cwd=folder,
    )
    assert said == "4"


def test_a_script_without_the_if_is_adopted_as_far_as_it_comes(folder: Path) -> None:
    """It ends where it makes a Pool, which sees that this is no place for one; what stands above is there."""
    (folder / "script.py").write_text("""
from supervisor.pool.mainmodule import GUARD, adopting
def double(x):
    return 2 * x
if adopting():  # as Pool does
    raise RuntimeError(GUARD)
def never():
    pass
""")
    said = adopted(
        f"MainModule({str(folder / 'script.py')!r})",
        """
try:
    main.adopt()
except RuntimeError as error:
    print('if __name__ == "__main__":' in str(error), mainmodule.adopting(), main.adopted)
import __main__
print(__main__.double(4), hasattr(__main__, "never"))
main.adopt()  # not again
""",
        cwd=folder,
    )
    assert said.splitlines() == ["True False True", "8 False"]


def test_a_main_module_that_is_not_found_is_a_sentence(folder: Path) -> None:
    """It was there when the parent began."""
    said = adopted(
        f"MainModule({str(folder / 'package/gone.py')!r}, 'package.gone')",
        "try:\n    main.adopt()\nexcept ImportError as error:\n    print(error)",
        cwd=folder,
    )
    assert said.startswith("the main module package.gone is not found, or has no code: sys.path is [")


def test_what_a_worker_makes_of_the_main_module_is_found_in_the_parent(folder: Path) -> None:
    """A class of the script comes back under the name the worker knows it by."""
    (folder / "script.py").write_text(
        SCRIPT
        + "    import pickle\n    print(pickle.loads(b'\\x80\\x05\\x8c\\x0b__mp_main__\\x8c\\x06double\\x93.') is double)\n"
    )
    assert run("script.py", cwd=folder).endswith("True")


def test_a_process_that_belongs_to_another_hands_its_main_on(folder: Path) -> None:
    """A pool within a worker: its workers need the same."""
    said = adopted(
        f"MainModule({str(folder / 'script.py')!r})",
        "mainmodule.belong_to(main)\nprint(MainModule.of_this_process() == main, mainmodule.is_out_of_reach(), main.adopted)",
        cwd=folder,
    )
    assert said == "True False False"


def test_at_a_prompt_functions_travel_by_value(folder: Path) -> None:
    """Their name would mean nothing in a worker; and what they call of `__main__` goes with them."""
    typed = r"""
from supervisor.pool.parcel import pack, pack_function
import pickle, subprocess, sys
def double(x):
    return 2 * x

def quadruple(x):
    return double(double(x))

class Point:
    x = 5

for data in (pack_function(quadruple)[0].data, pack((quadruple, 1)).data, pack(Point()).data):
    program = f"import pickle; got = pickle.loads({data!r})"
    program += "; got = got[0] if isinstance(got, tuple) else got; print('got', got(5) if callable(got) else got.x)"
    print(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)

print("is name", pack_function(quadruple)[1])
"""
    said = run("-i", cwd=folder, input=typed)
    assert (said.count("got 20"), said.count("got 5")) == (2, 1)
    assert "is name False" in said


def test_what_was_typed_after_a_script_travels_by_value(folder: Path) -> None:
    """python -i: workers have run the script, whose file has not got it."""
    pack = "from supervisor.pool.parcel import pack_function\npack_function(double)\n"
    (folder / "script.py").write_text(f"def double(x):\n    return 2 * x\n{pack}")
    typed = "def typed(x):\n    return x\n\nprint('names', pack_function(double)[1], pack_function(typed)[1])\n"
    assert "names True False" in run("-i", "script.py", cwd=folder, input=typed)


def test_without_cloudpickle_a_function_typed_at_a_prompt_is_refused_with_advice(folder: Path) -> None:
    """Before it is sent to anybody."""
    typed = "import sys\nsys.modules['cloudpickle'] = None\nfrom supervisor.pool.parcel import pack_function\n"
    typed += "def typed(x):\n    return x\n\ntry:\n    pack_function(typed)\nexcept Exception as error:\n    print(error)\n\n"
    said = run("-i", cwd=folder, input=typed)
    assert "is defined in a __main__ that workers cannot import: install cloudpickle, or define it" in said


def test_the_parts_a_worker_imports_are_few() -> None:
    """A worker begins with them: no NumPy, no cloudpickle, nothing that was not there for other reasons or is small."""
    program = """
import sys
from workers import wire, heart
from supervisor import kernel, function
before = set(sys.modules)
from supervisor.pool import arena, mainmodule, parcel, share
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("supervisor")))
"""
    new = set(run("-S", "-c", program, cwd=ROOT).split())
    allowed = "_compat_pickle _pickle _struct _weakrefset binascii errno fcntl linecache mmap resource struct textwrap"
    assert new <= set(f"{allowed} threading token tokenize traceback weakref".split()), new
