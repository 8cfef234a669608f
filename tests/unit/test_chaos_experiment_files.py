"""Experiments in files: JSON, or the same tree in TOML."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.chaos import experiment
from supervisor.chaos.reading import BadExperiment
from tests.unit.chaos_files import of_functions

if TYPE_CHECKING:
    from pathlib import Path


def rest(seconds: float = 0.0) -> None:
    """Stands for an action."""


def all_ready(worker: str = "*", *, configuration: dict[str, Any] | None = None) -> bool:
    """Stands for a probe."""
    return bool(worker or configuration)


OURS = of_functions(rest, all_ready)

TOML = """
version = "1.0.0"
title = "one"
description = "two"
[configuration]
worker = "w-1"
[steady-state-hypothesis]
title = "all is well"
[[steady-state-hypothesis.probes]]
type = "probe"
name = "all_ready"
tolerance = true
provider = { type = "python", module = "acts", func = "all_ready", arguments = { worker = "${worker}" } }
[[method]]
type = "action"
name = "rest"
background = true
pauses = { after = 0.5 }
provider = { type = "python", module = "acts", func = "rest" }
"""


def test_a_file_in_toml_is_the_same_experiment_as_in_json(tmp_path: Path) -> None:
    """The same tree, key for key."""
    (tmp_path / "x.toml").write_text(TOML)
    (tmp_path / "x.json").write_text(json.dumps(tomllib.loads(TOML)))
    one, other = (experiment.load(str(tmp_path / name), OURS.check) for name in ("x.toml", "x.json"))
    assert one.tree == other.tree
    assert (one.method, one.hypothesis, one.variables) == (other.method, other.hypothesis, other.variables)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.json", "{", "is no JSON: Expecting property name"),
        ("x.json", '{"a": 1, "a": 2}', 'is no JSON: the key "a" is there twice in one object'),
        ("x.json", '{"a": NaN}', "is no JSON: NaN is nothing JSON can say"),
        ("x.json", "[" * 100_000, "is no JSON: "),
        ("x.toml", "a = ", "is no TOML: "),
        ("x.toml", "a = [{b = 2020-01-01}]", "a[0].b: dates and times are nothing JSON can say; write it as a string"),
        ("x.toml", "a = inf", "a: inf is nothing JSON can say"),
        ("x.yaml", "a: 1", "YAML is not read here; write the same tree in JSON or TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path, name: str, text: str, why: str) -> None:
    """Not with a traceback."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadExperiment) as refused:
        experiment.load(str(path), OURS.check)
    assert str(refused.value).startswith(f"{path}: {why}")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """Whatever is in it."""
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(BadExperiment, match="is no JSON"):
        experiment.load(str(path), OURS.check)
