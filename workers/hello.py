"""The notes' Alice: a plain function in a process of its own. It says its line and is done."""

from __future__ import annotations


def process_function(name: str) -> None:
    """Greet somebody."""
    print(f"Hello, {name}!")


def main(name: str = "Alice") -> None:
    """Greet, once."""
    process_function(name)
