"""Schema and reference are made from the table that reads, and the files in the repository are current."""

from __future__ import annotations

import os
import tomllib
from glob import glob

import pytest

from supervisor import keys
from supervisor.config import check
from supervisor.schema import reference, schema, schema_text

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIGS = sorted(glob(f"{ROOT}/config/*.toml"))


def _text(path: str) -> str:
    with open(f"{ROOT}/{path}") as file:
        return file.read()


def test_the_schema_in_the_repository_is_current() -> None:
    """`python -m supervisor.schema` writes it."""
    assert _text("config/ninelives.schema.json") == schema_text()


def test_the_reference_in_the_docs_is_current() -> None:
    """`python -m supervisor.schema` writes it."""
    assert _text("docs/config.md") == reference()


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("supervisor", keys.SUPERVISOR),
        ("templates", keys.TEMPLATE),
        ("workers", keys.WORKER),
        ("groups", keys.GROUP),
    ],
)
def test_schema_and_reader_know_the_same_keys(table: str, known: dict[str, object]) -> None:
    """A key an editor offers is a key `check` takes, and it is explained."""
    made = schema()["$defs"][table]
    assert made["properties"].keys() == known.keys()
    assert made["additionalProperties"] is False
    assert all(key["description"].endswith(".") for key in made["properties"].values())


@pytest.mark.parametrize("path", CONFIGS, ids=os.path.basename)
def test_every_example_is_sound_and_names_the_schema(path: str) -> None:
    """The configs that are shipped pass check, and editors find their keys."""
    config, problems = check(path)
    assert [str(problem) for problem in problems] == []
    assert config is not None
    with open(path) as file:
        assert file.readline() == "#:schema ./ninelives.schema.json\n"


def test_a_default_in_the_schema_is_what_an_absent_key_means() -> None:
    """Defaults are shown from the specs themselves, so writing one down changes nothing."""
    worker = schema()["$defs"]["workers"]["properties"]
    assert worker["grace"]["default"] == "10s"
    assert worker["backoff"]["default"]["multiplier"] == 2.0
    assert "default" not in worker["beat_within"]


def test_there_are_examples() -> None:
    """The demo and four more."""
    assert {"demo.toml", "web.toml", "programs.toml", "groups.toml", "notes.toml"} <= set(
        map(os.path.basename, CONFIGS)
    )
    with open(f"{ROOT}/config/demo.toml", "rb") as file:
        assert tomllib.load(file)["supervisor"]["name"] == "demo"
