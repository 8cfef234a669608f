"""reload-bad: a reload of a config that is damaged. The service goes on with the one it has.

The damaged copy is in memory only; the file is not touched.
"""

from __future__ import annotations

import contextlib
import os

from supervisor import config
from supervisor.chaos.fault import NEVER, PART, Fault, Impossible, Parameter, Scene
from supervisor.requests import Failed

FAULT = Fault(
    kind="reload-bad",
    place=PART,
    summary="the service is told to reload a damaged copy of its config",
    ends=NEVER,
    detected="config.rejected, which says all that is wrong; nothing changes",
    parameters=(
        Parameter("how", "word", "truncated",
                  "garbage: no text at all; truncated: the end is missing; unknown-key: a key nobody knows; "
                  "cycle: two workers that need each other",
                  words=("garbage", "truncated", "unknown-key", "cycle")),
    ),
)  # fmt: skip
UNKNOWN_KEY = """
[workers.ninelives-chaos]
command = ["true"]
no_such_key = true
"""
CYCLE = """
[workers.ninelives-chaos-a]
command = ["true"]
needs = ["ninelives-chaos-b"]
[workers.ninelives-chaos-b]
command = ["true"]
needs = ["ninelives-chaos-a"]
"""


async def inject(scene: Scene, _kept: dict[str, object]) -> None:
    """Not done where the damage does not show: then the reload would go through."""
    text = _text(scene.service.config.source)
    fd = os.memfd_create("damaged config")
    try:
        path = f"/proc/self/fd/{fd}"
        for damaged in damages(text, scene.parameters["how"]):
            os.ftruncate(fd, 0)
            os.pwrite(fd, damaged, 0)
            if config.check(path)[0] is None:
                break
        else:
            raise Impossible("no damage of this kind makes the config a bad one")
        with contextlib.suppress(Failed):
            await scene.service.reload(diff=False, source=path)
    finally:
        os.close(fd)


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Impossible(f"the config cannot be read: {error}") from error


def damages(text: bytes, how: str) -> list[bytes]:
    """Copies with this damage, the likeliest to be a bad config first: what is cut within a comment is not."""
    match how:
        case "garbage":
            return [b"\xff\x00\xfe" + text[::-1]]
        case "unknown-key":
            return [text + UNKNOWN_KEY.encode()]
        case "cycle":
            return [text + CYCLE.encode()]
        case _:
            ends = [at + 1 for at, byte in enumerate(text) if byte == ord("=")]
            return [text[:end] for end in reversed(ends[-100:])]
