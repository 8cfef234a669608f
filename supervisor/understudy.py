"""The worker of a rehearsal (`supervisor/rehearsal.py`): a module that a template imports again and again."""

from __future__ import annotations

from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.heart import Heart


def prepare(heart: Heart) -> None:
    """All that a heart is asked for while its worker is idle."""
    heart.ready()
    heart.beat(progress=1)
    heart.beat()
    heart.wait(0)


def main() -> None:
    """Never called: it would be the end of the process."""
