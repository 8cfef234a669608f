"""ninelives: supervised workers, each in its own address space."""

from __future__ import annotations

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.pool import Pool

__all__ = ["Pool", "__version__"]
__version__ = "0.1.0"


def discover(discover_system: bool = True) -> dict[str, Any]:
    """Tell the Chaos Toolkit what there is; it looks for this name in a distribution's package (supervisor.chaos.toolkit)."""
    from supervisor.chaos import toolkit  # noqa: PLC0415 - for it alone

    return toolkit.discover(discover_system)


def __getattr__(name: str) -> Any:
    # On demand: the service's own processes import this package and have no use for the pool.
    if name == "Pool":
        from supervisor.pool import Pool  # noqa: PLC0415

        return Pool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
