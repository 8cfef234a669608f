"""What faults do to a heart: what it says, and how that gets into its pipe, goes through layers, one a fault.

They are put on and taken off in any order. A heart is tampered with by changing its class, so that one that
nobody tampers with pays nothing. Nothing here takes a lock: all of it may happen at any instruction of the
heart's own methods.
"""

from __future__ import annotations

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.heart import Heart


class Layer:
    """What one fault changes."""

    def says(self, kind: str) -> bool:  # noqa: ARG002 - for those who are choosy
        """Whether a message of this kind is said at all."""
        return True

    def sends(self, data: bytes, onward: Callable[[bytes], None]) -> None:
        """Send whole lines onward. May raise what os.write does: BlockingIOError keeps them for the next time."""
        onward(data)


_layers: tuple[Layer, ...] = ()  # the one next to the pipe first
_plain: Any = None  # the class of the heart before; kept, for a method of ours may be under way when it is restored


def put_on(heart: Heart, layer: Layer) -> None:
    """From now on all it says goes through this too."""
    global _layers, _plain  # noqa: PLW0603 - one heart a process
    _layers = (*_layers, layer)
    if not isinstance(heart, _Tampered):
        _plain = type(heart)
        tampered: Any = type(_plain.__name__, (_Tampered, _plain), {"__slots__": ()})
        heart.__class__ = tampered


def take_off(heart: Heart, layer: Layer) -> None:
    """As if it had never been there; nothing if it is not."""
    global _layers  # noqa: PLW0603 - as above
    _layers = tuple(each for each in _layers if each is not layer)
    if not _layers and isinstance(heart, _Tampered):
        heart.__class__ = _plain


class _Tampered:
    """Nothing of ours is looked up in the heart once a method runs: it may be a plain one again at any instruction."""

    __slots__ = ()

    def _say(self, kind: str, **fields: Any) -> None:
        if all(layer.says(kind) for layer in _layers):
            _plain._say(self, kind, **fields)  # noqa: SLF001 - Heart's, which stands behind us

    def _write(self, data: bytes) -> None:
        _through(self, _layers, data)


def _through(heart: _Tampered, layers: tuple[Layer, ...], data: bytes) -> None:
    if layers:
        layers[-1].sends(data, lambda sent: _through(heart, layers[:-1], sent))
    else:
        _plain._write(heart, data)  # noqa: SLF001 - as above
