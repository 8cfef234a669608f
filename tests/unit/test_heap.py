"""The holes of a heap are filled: what is made after lies side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from supervisor import heap
held = [bytes(100) for _ in range(20_000)]
del held[::7]
if {fills}:
    heap.fill()
made = [bytes(100) for _ in range(60)]
print(len({{id(one) >> 12 for one in made}}))
"""
ROOT = Path(__file__).parents[2]


def pages(*, fills: bool, **environment: str) -> int:
    """How many pages sixty objects lie in, when a heap full of holes was filled before, and when not."""
    argv = [sys.executable, "-c", SCRIPT.format(fills=fills)]
    return int(subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout)


def test_sixty_objects_lie_in_a_handful_of_pages() -> None:
    """144 bytes each: three pages, and one where a pool begins or ends; with holes it would be many more."""
    assert pages(fills=True) <= 5
    assert pages(fills=False) > 10


def test_an_allocator_without_pools_is_left_alone() -> None:
    """PYTHONMALLOC=malloc: nothing is filled for ever."""
    assert pages(fills=True, PYTHONMALLOC="malloc") > 0
