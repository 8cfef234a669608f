"""A program of its own, which `command` starts: `python3 -m workers.beacon`, with `ready = "beat"`.

It finds its heart in the environment, if there is one; without it, it is a program that does nothing.
"""

from __future__ import annotations

from workers.heart import Heart


def main(every: float = 0.1) -> None:
    """Ready, and a beat every so many seconds until it is asked to stop."""
    heart = Heart.from_environment()
    heart.ready("lit")
    beats = 0
    while not heart.wait(every):
        beats += 1
        heart.beat(progress=beats)


if __name__ == "__main__":
    main()
