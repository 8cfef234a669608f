"""The pump as a program: told by the anchor who it is, ended by `stop` or `leave` on its channel or by the anchor's death."""

from __future__ import annotations

import os
import signal
import sys
import time

from supervisor import kernel
from supervisor.pump.loop import BEAT, Pump


def main(argv: list[str]) -> int:
    """Run until told to stop (0), or until the anchor is dead (1)."""
    words = argv[next(place for place, word in enumerate(argv) if word.startswith("--")) :]
    options = dict(zip(words[::2], words[1::2], strict=True))  # argparse would cost a MiB for five words of our own
    nonce, anchor = int(options["--nonce"]), int(options["--anchor"])
    kernel.name_process("nl-pump")
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.set_blocking(BEAT, False)
    recent, fmt = int(options.get("--recent", 4 << 20)), options.get("--format", "auto")
    pump = Pump(options["--instance"], recent, fmt)
    while not pump.stopping:
        pump.turn()
        if pump.orphaned:
            _wait_for_new_parent(anchor)
        if os.getppid() != anchor:
            kernel.last_rites(nonce)
            return 1
        if pump.orphaned:
            return 1
    if not pump.leaving:  # what is not out, the next one finds in the journal
        pump.finish()
    return 0


def _wait_for_new_parent(anchor: int) -> None:
    """A dying process closes its descriptors before its children get another parent."""
    deadline = time.monotonic() + 1.0
    while os.getppid() == anchor and time.monotonic() < deadline:
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
