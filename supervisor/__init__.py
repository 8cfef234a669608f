"""ninelives: supervised workers, each in its own address space."""

from __future__ import annotations

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.pool import Pool

__all__ = ["Pool", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On demand: the service's own processes import this package and have no use for the pool.
    if name == "Pool":
        from supervisor.pool import Pool  # noqa: PLC0415

        return Pool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
