"""The catalogue of faults: every kind has what its place demands, and parameters are read as the config's are."""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor.chaos import catalogue
from supervisor.chaos.fault import ENDING, INSIDE, MAYBE, NEVER, OUTSIDE, PART, Fault, Parameter, read_parameters

KINDS = catalogue.kinds()
PARAMETER_KINDS = {"number", "count", "seconds", "size", "flag", "text", "word"}
ODD = Fault(
    kind="odd",
    place=OUTSIDE,
    summary="",
    ends=NEVER,
    detected="",
    parameters=(
        Parameter("percent", "number", 50.0, "", low=0, high=100),
        Parameter("times", "count", 3, "", low=1, high=10),
        Parameter("delay", "seconds", 1.0, "", high=3600),
        Parameter("rate", "size", 1024, ""),
        Parameter("hard", "flag", False, ""),
        Parameter("how", "word", "loop", "", words=("loop", "gil")),
        Parameter("said", "text", "", ""),
    ),
)
DEFAULTS = {"percent": 50.0, "times": 3, "delay": 1.0, "rate": 1024, "hard": False, "how": "loop", "said": ""}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, {}),
        ({"percent": "12.5"}, {"percent": 12.5}),
        ({"percent": 100}, {"percent": 100.0}),
        ({"times": "7"}, {"times": 7}),
        ({"delay": "250ms"}, {"delay": 0.25}),
        ({"delay": "2"}, {"delay": 2.0}),
        ({"delay": "0.5"}, {"delay": 0.5}),
        ({"delay": 3}, {"delay": 3.0}),
        ({"delay": "1m30s"}, {"delay": 90.0}),
        ({"rate": "4KiB"}, {"rate": 4096}),
        ({"rate": "4096"}, {"rate": 4096}),
        ({"hard": "true"}, {"hard": True}),
        ({"hard": True}, {"hard": True}),
        ({"hard": "False"}, {"hard": False}),
        ({"how": "gil"}, {"how": "gil"}),
        ({"said": 12}, {"said": "12"}),
    ],
)
def test_what_is_read(given: dict[str, Any], read: dict[str, Any]) -> None:
    """Numbers and units as in a config, as text from a command line or as themselves; the rest is as it is by default."""
    assert read_parameters(ODD, given) == DEFAULTS | read


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"dealy": 1}, "odd has no parameter 'dealy': did you mean 'delay'?"),
        ({"zzz": 1}, "odd has no parameter 'zzz': there are percent, times, delay, rate, hard, how, said"),
        ({"percent": 101}, "percent: must lie between 0 and 100, 101 does not"),
        ({"percent": "many"}, "percent: must be a number, not 'many'"),
        ({"percent": "nan"}, "percent: must lie between 0 and 100, nan does not"),
        ({"percent": True}, "percent: must be a number, not True"),
        ({"percent": None}, "percent: must be a number, not None"),
        ({"times": "1.5"}, "times: must be a whole number, not '1.5'"),
        ({"times": 1.5}, "times: must be a whole number, not 1.5"),
        ({"times": math.inf}, "times: must be a whole number, not inf"),
        ({"times": 0}, "times: must lie between 1 and 10, 0 does not"),
        ({"delay": "1h1s"}, "delay: must lie between 0 and 3600, 1h1s does not"),
        ({"delay": "soon"}, "delay: 'soon' is not a duration"),
        ({"delay": "1m 30s"}, 'or "1h30m"; did you mean "1m30s"?'),
        ({"delay": -1}, "delay: a duration lies between 0 and 3650d"),
        ({"rate": "4 parsecs"}, "rate: '4 parsecs' is not a size"),
        ({"hard": "yes"}, "hard: must be true or false, not 'yes'"),
        ({"how": "lop"}, "how: must be one of loop, gil, not 'lop'"),
        ({"how": ["loop"]}, "how: must be one of loop, gil, not ['loop']"),
    ],
)
def test_what_is_not_read(given: dict[str, Any], why: str) -> None:
    """A sentence with the parameter's name, and what would have been right."""
    with pytest.raises(ValueError, match=re.escape(why)):
        read_parameters(ODD, given)


def test_a_kind_that_takes_none() -> None:
    """Says so."""
    with pytest.raises(ValueError, match="kill has no parameter 'signal': it takes none"):
        read_parameters(catalogue.fault("kill"), {"signal": "TERM"})


def test_a_kind_there_is_not() -> None:
    """Did you mean …?"""
    with pytest.raises(KeyError, match="no kind of fault is called 'frezee': did you mean 'freeze'"):
        catalogue.fault("frezee")
    with pytest.raises(KeyError, match=f"there are {', '.join(KINDS[:3])}"):
        catalogue.fault("earthquake")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_described_in_full(kind: str) -> None:
    """Its file has its name, and the sentences by which an operator knows it; they begin small and end without a full stop."""
    fault = catalogue.fault(kind)
    assert fault.kind == kind
    assert fault.place in {OUTSIDE, INSIDE, PART}
    assert fault.ends in {ENDING, MAYBE, NEVER}
    assert bool(fault.undone) == fault.lasting, "what lasts is undone, and nothing else"
    for sentence in (fault.summary, fault.detected):
        assert len(sentence.split()) >= 3, sentence
    for sentence in filter(None, (fault.summary, fault.detected, fault.undone)):
        assert not sentence.endswith("."), sentence
        assert not sentence[0].isupper() or sentence.split()[0].isupper(), sentence
        assert "  " not in sentence
    names = [parameter.name for parameter in fault.parameters]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_its_parameters_are_sound(kind: str) -> None:
    """Each is of a kind there is, and its default is one it would take."""
    fault = catalogue.fault(kind)
    for parameter in fault.parameters:
        assert parameter.kind in PARAMETER_KINDS
        assert parameter.summary
        assert bool(parameter.words) == (parameter.kind == "word")
        assert re.fullmatch(r"[a-z][a-z_]*", parameter.name)
        if parameter.default is not None:
            assert read_parameters(fault, {parameter.name: parameter.default})[parameter.name] == parameter.default


@pytest.mark.parametrize("kind", KINDS)
def test_its_file_has_what_its_place_demands(kind: str) -> None:
    """By those names, and called with as much."""
    fault, module = catalogue.fault(kind), catalogue.module(kind)
    public = {
        name
        for name, found in vars(module).items()
        if inspect.isfunction(found) and found.__module__ == module.__name__ and not name.startswith("_")
    }
    if fault.place == INSIDE:
        wanted = {"begin"} | ({"end"} if fault.lasting else set())
        known = {"begin": 1, "end": 1, "seen": 1}
    else:
        wanted = {"inject"} | ({"undo"} if fault.lasting else set())
        known = {"inject": 2, "undo": 2, "look": 1}
    assert wanted <= public
    for name in public & known.keys():
        assert len(inspect.signature(getattr(module, name)).parameters) == known[name], name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if catalogue.fault(kind).place == INSIDE])
def test_what_is_done_inside_is_light(kind: str) -> None:
    """A worker imports it: the standard library, `workers`, and the small modules made for faults; no lock of `threading`."""
    tree = ast.parse(Path(catalogue.module(kind).__file__).read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            names |= (
                {node.module}
                if node.module != "supervisor.chaos"
                else {f"supervisor.chaos.{a.name}" for a in node.names}
            )
    ours = {name for name in names if name.startswith("supervisor")}
    assert ours <= {"supervisor.chaos.fault", "supervisor.chaos.aside", "supervisor.chaos.tamper"}
    others = {name.split(".")[0] for name in names - ours} - {"workers"}
    assert others <= set(sys.stdlib_module_names)
    assert not others & {"asyncio", "subprocess", "multiprocessing", "logging"}
    assert "threading" not in others or kind == "hang", "a lock of its own is held by whoever the order interrupts"


def test_naming_all_kinds_imports_none() -> None:
    """A completion of the command line asks for no more than their names."""
    code = "import sys; from supervisor.chaos import catalogue; catalogue.kinds(); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20).stdout
    assert not [name for name in said.split() if name.startswith("supervisor.chaos.faults.")]


def test_the_reference_in_the_docs_is_current() -> None:
    """`python -m supervisor.chaos.catalogue` writes it."""
    assert (Path(__file__).parents[2] / "docs/faults.md").read_text() == catalogue.reference()
