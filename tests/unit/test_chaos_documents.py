"""docs/experiments.md is what the reader does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from supervisor.chaos import experiment
from supervisor.chaos.providers import MODULES, Providers
from tests.unit.chaos_files import read

PAGE = (Path(__file__).parents[2] / "docs/experiments.md").read_text()


def test_the_example_is_an_experiment_without_a_warning() -> None:
    """It can be copied."""
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    found = read(tomllib.loads(example), Providers())
    assert found.warnings == ()
    assert (len(found.hypothesis), len(found.method), len(found.rollbacks)) == (2, 1, 1)


def test_every_word_of_the_format_is_on_the_page() -> None:
    """Strategies, keys, and the modules that may be called."""
    words = [*experiment.ROLLBACKS, *experiment.KEYS, *MODULES, "during-method-only", "continuously"]
    assert [word for word in words if f"`{word}`" not in PAGE and f"`{word}." not in PAGE] == []
