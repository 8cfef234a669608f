"""What our lean programs need of typing, without typing: its import takes 5 ms, an eighth of a pool's cold start.

To type checkers this is typing itself; at run time annotations are text, and nobody reads them.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Generic, NamedTuple, NoReturn, TypeVar
else:
    Any = NoReturn = object

    def TypeVar(name: str) -> object:  # noqa: N802 it stands for the class
        """Something to subscribe Generic with."""
        return name

    class Generic:
        """A base that may be subscribed."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    class _Named(type):
        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = list(body.get("__annotations__", ()))
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])  # noqa: PYI024 it makes them
            for key, value in body.items():
                if key not in {*fields, "__annotations__", "__module__"}:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Named):
        """A base whose children are named tuples, with methods if they have any; not grandchildren."""


__all__ = ["TYPE_CHECKING", "Any", "Generic", "NamedTuple", "NoReturn", "TypeVar"]
