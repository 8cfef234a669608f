"""python -m bench.pools.measure POOL FIGURE: one measurement of one pool, as one line of JSON on stdout.

Run in an interpreter of its own and without mercy by bench.pools.trial. What is imported here at the top is imported again
by pools that start interpreters, so it is next to nothing. The line is printed before the pool is closed: a pool that
cannot close has measured all the same.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import time
from importlib import import_module

STACKS_AFTER = 40.0  # seconds; who hangs has its stacks in bench/out, shortly before it is killed
CLOSE_WITHIN = 5.0  # seconds; what is not closed then exits with 1 and its stacks
FIGURES = {
    "map": "rates:maps",
    "submit": "rates:submits",
    "chunks": "rates:chunks",
    "latency": "rates:latency",
    "in": "transfer:arrays_in",
    "out": "transfer:arrays_out",
    "shared": "transfer:shared",
    "crash": "deaths:crash",
    "survive": "deaths:survive",
    "survive-map": "deaths:survive_map",
    "cold": "opened:cold",
}


def main(argv: list[str]) -> int:
    """Raises whatever the pool raises: the trial tells the last line of it."""
    name, figure = argv
    kind = import_module("bench.pools.adapters").POOLS[name]
    began = time.perf_counter()
    kind.load()
    imported = (time.perf_counter() - began) * 1000
    bench = import_module("bench.pools.opened").Bench(kind)
    module, _, function = FIGURES[figure].partition(":")
    faulthandler.dump_traceback_later(STACKS_AFTER)
    values = getattr(import_module(f"bench.pools.{module}"), function)(bench)
    if figure == "cold":
        values["pool-import"] = [imported]
    print(json.dumps({"values": values, "notes": bench.notes}), flush=True)
    faulthandler.dump_traceback_later(CLOSE_WITHIN, exit=True)
    bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
