"""Facts under names, which never change: what a frozen dataclass is, and a named tuple is not quite.

A named tuple has a length and an order, is equal to any tuple of the same things and becomes a list in JSON: nothing that a
report should do. A dataclass imports inspect, a fifth of what `import Pool` takes.
"""

from __future__ import annotations

from typing import Any, NoReturn


class Value:
    """A subclass names its facts, in the order of its constructor's parameters, in __slots__ and in __match_args__."""

    __slots__: tuple[str, ...] = ()
    __match_args__: tuple[str, ...] = ()

    def _facts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def _hold(self, *facts: object) -> None:
        """For the constructor: these they are."""
        for name, fact in zip(self.__match_args__, facts, strict=True):
            object.__setattr__(self, name, fact)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name}: what a {type(self).__name__} says cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name}: what a {type(self).__name__} says cannot be taken away")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((type(self), self._facts()))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({said})"

    def __reduce__(self) -> tuple[type[Value], tuple[Any, ...]]:
        return type(self), self._facts()
