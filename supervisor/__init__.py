"""ninelives: supervised workers, each in its own address space."""

__version__ = "0.1.0"
