"""The notes' print_number: a plain function that knows nothing of ninelives and needs not to."""

from __future__ import annotations


def print_number(number: int) -> None:
    """Print one number."""
    print(f"Number: {number}")


def main(number: int = 1) -> None:
    """Print, once."""
    print_number(number)
