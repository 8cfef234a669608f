"""All figures, one after the other: a table here, and bench/out/results.json, two plots beside it, docs/benchmarks.md.

python bench/run.py [--quick] [--only FIGURE …] [--alone] [--pools POOL …] [--lock FILE] [--no-docs]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
sys.path[:] = [path for path in sys.path if path != os.path.join(ROOT, "bench")]

from bench import peers, plot, report  # noqa: E402 as a script this file finds the rest only now
from bench.figures import QUICK, Effort, fleet, hang, kill, memory, output, pool, pump  # noqa: E402
from bench.pools import adapters, environment  # noqa: E402
from supervisor import kernel  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.rows import Row

FIGURES: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "kill-standby": kill.standby,
    "kill-preloaded": kill.preloaded,
    "kill-program": kill.program,
    "start-500": fleet.start,
    "start-2000": fleet.start_many,
    "start-programs": fleet.programs,
    "cpu": fleet.cpu,
    "memory": memory.ten,
    "hang": hang.hang,
    "output": output.output,
    "pump": pump.pump,
    **pool.FIGURES,
}


def main(argv: list[str]) -> int:
    """Exit code 1 when a figure could not be measured; a figure that misses its reach is no error."""
    options = _options(argv)
    kernel.become_subreaper()
    effort = _effort(options)
    rows: list[Row] = []
    failed = False
    for name in options.only:
        began = time.monotonic()
        try:
            for row in FIGURES[name](effort):
                rows.append(row)
                print(
                    f"  {row.key} {row.who}: {report.number(row.median)} (load {row.load:.1f}) {row.note}", flush=True
                )
        except Exception as error:  # noqa: BLE001 it is said, and the other figures are measured all the same
            failed = True
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        report.to_json(_results(), rows, report.machine())  # now: whatever comes next, this was not measured in vain
    _write(rows, docs=not options.no_docs)
    return int(failed)


def _effort(options: argparse.Namespace) -> Effort:
    """How much is to be measured, against those that can be had."""
    effort = (QUICK if options.quick else Effort())._replace(lock=options.lock)
    missing: dict[str, str] = {}
    if any(name in pool.FIGURES for name in options.only):
        missing |= environment.install()
        named = ("ninelives",) if options.alone else options.pools or environment.there()
        effort = effort._replace(pools=tuple(name for name in named if name not in missing))
    if not options.alone and any(name not in pool.FIGURES for name in options.only):
        missing |= peers.install()
        effort = effort._replace(peers=tuple(peer for peer in peers.PEERS if peer.is_there()))
    for name, why in missing.items():
        print(f"{name}: {why}")
    return effort


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="The figures of ninelives, beside other supervisors and pools."
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=FIGURES,
        default=list(FIGURES),
        help="measure these figures; the others stay as they were",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs; docs are left alone")
    parser.add_argument("--alone", action="store_true", help="without anybody else; what is known of them stays")
    parser.add_argument("--pools", nargs="+", choices=(*adapters.POOLS,), help="of the pools only these")
    parser.add_argument("--lock", default="", help="a file to hold locked (flock) while pools are measured")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/benchmarks.md alone")
    options = parser.parse_args(argv)
    options.no_docs |= options.quick
    return options


def _results() -> str:
    os.makedirs(peers.OUT, exist_ok=True)
    return os.path.join(peers.OUT, "results.json")


def _write(rows: list[Row], *, docs: bool) -> None:
    """What was measured now, and what earlier runs have found about the rest."""
    facts = report.machine()
    report.to_terminal(rows)
    everything = report.from_json(_results())
    plot.draw(os.path.join(peers.OUT, "kill.svg"), everything)
    plot.draw_pools(os.path.join(peers.OUT, "pools.svg"), everything)
    if docs:
        plot.draw(os.path.join(ROOT, "docs", "benchmarks.svg"), everything)
        plot.draw_pools(os.path.join(ROOT, "docs", "benchmarks-pools.svg"), everything)
        versions = (peers.versions(), environment.versions())
        report.to_markdown(os.path.join(ROOT, "docs", "benchmarks.md"), everything, facts, *versions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
