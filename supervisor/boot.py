"""How every process of ours begins: `python -s -P …/supervisor/boot.py [--path=FOLDER …] MODULE ARGUMENT …`.

A file and not a -c text, so that `ps` and `systemctl status` show who is who. It is run by its path and imports nothing
of ours before it has said where ours is; it must be run with -P, or its own folder would come before everything.
"""

from __future__ import annotations

import gc
import os
import sys


def main(words: list[str]) -> None:
    """Run `main` of the module and leave with what it returns; folders given with --path come first in sys.path."""
    path = []
    while words[0].startswith("--path="):
        path.append(words.pop(0).removeprefix("--path="))
    module, *arguments = words
    # Ours stands behind the standard library and before what is installed: there may be another version of us there.
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    installed = (index for index, folder in enumerate(sys.path) if folder.endswith("-packages"))
    sys.path.insert(next(installed, len(sys.path)), ours)
    sys.path[:0] = path
    gc.disable()  # what an import makes is no garbage: to look for some takes a tenth of its time
    program = __import__(module, fromlist=["main"])
    gc.freeze()
    gc.enable()
    sys.exit(program.main(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
