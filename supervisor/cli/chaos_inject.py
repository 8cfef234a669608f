"""`ninelives chaos inject`: one kind of fault, now; what came of it; and nothing left of it when it is over."""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from supervisor.chaos import blast, hit, outcome, timeline
from supervisor.chaos.binding import Binding
from supervisor.chaos.observer import Observer
from supervisor.chaos.session import Halted, Session
from supervisor.chaos.trace import Outcome, stamp
from supervisor.cli import client
from supervisor.cli.chaos_live import Progress
from supervisor.cli.paint import harmless

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from supervisor.chaos.trace import Traced

LISTED = 8


def main(args: argparse.Namespace) -> int:
    """0 all recovered and nobody else was hurt, 1 not so; 2, 3 as the service, 4 aborted; 130 after Ctrl-C."""
    require_yes(args)
    path = client.find(args.name, args.socket)
    seed = args.seed if args.seed is not None else secrets.randbits(32)
    with Session(path) as session:
        draw = random.Random(seed)  # noqa: S311 - repeatable is what it must be
        names = hit.targets(
            session.chaos(), args.kind, args.worker, draw,
            count=args.count, percent=args.percent, everyone=args.everyone,
        )  # fmt: skip
        what = f"{args.kind} into {harmless(', '.join(names)) or 'the service'} (seed {seed})"
        if args.dry_run:
            session.inject(args.kind, names, seconds=args.seconds, parameters=dict(args.parameters), dry_run=True)
            print(f"would inject {what}")
            return 0
        print(f"injecting {what}", file=sys.stderr)
        with Observer(session) as observer:
            binding = Binding(session, observer, draw, seed)
            return _inject(binding, names, args)


def require_yes(args: argparse.Namespace) -> None:
    """Refuse what a script, a pipe or a timer has not said it means."""
    if not (args.yes or getattr(args, "dry_run", False) or sys.stdin.isatty()):
        raise client.Denied("stdin is no terminal: say --yes if this is meant to hurt a service", 2)


def _inject(binding: Binding, names: Sequence[str], args: argparse.Namespace) -> int:
    session, observer = binding.session, binding.observer
    try:
        with Progress(binding):
            faults = binding.inject(args.kind, names, seconds=args.seconds, parameters=dict(args.parameters))
            traced = hit.wait(binding, faults, args.within)
            binding.check()
    except KeyboardInterrupt:
        undone = session.halt()
        print(f"interrupted; undone: {', '.join(undone) or 'nothing was left to undo'}", file=sys.stderr)
        return 130
    if any(each.undone is not None and each.undone.get("reason") == "asked" for each in traced):
        raise Halted("somebody halted it: what was injected is undone")
    observer.end()
    hurts = blast.blast(timeline.lay_out(binding.record()))
    over = all(hit.is_over(observer, each, time.monotonic()) for each in traced)
    if args.json:
        print(json.dumps(_as_json(binding, traced, hurts)))
    else:
        for line in _sentences(binding, traced, hurts):
            print(harmless(line))
    return 0 if over and not hurts else 1


def _sentences(binding: Binding, traced: Sequence[Traced], hurts: Sequence[blast.Hurt]) -> list[str]:
    lines = [f"{each.name}: {outcome.sentence(each)}" for each in traced] if len(traced) <= LISTED else _summary(traced)
    if hurts:
        return [*lines, *(f"{hurt.worker} was hurt too: it {hurt.what}" for hurt in hurts)]
    others = len(binding.observer.members_by_name) - len({each.fault.worker for each in traced} - {None})
    return [*lines, f"{others} neighbour{'s' if others != 1 else ''} untouched"] if others else lines


def _summary(traced: Sequence[Traced]) -> list[str]:
    """Of many faults: those that went well in a line, the others by name."""
    well = [each for each in traced if each.outcome in (Outcome.RECOVERED, Outcome.PASSED)]
    recovered = [each for each in well if each.ready is not None]
    lines = [f"{len(recovered)} recovered, {len(well) - len(recovered)} lived on"]
    if recovered:
        slowest = max(recovered, key=lambda each: stamp(each.ready or {}) - each.fault.at)
        lines[0] += f"; the slowest was {slowest.name}, which {outcome.sentence(slowest)}"
    return [*lines, *(f"{each.name}: {outcome.sentence(each)}" for each in traced if each not in well)]


def _as_json(binding: Binding, traced: Sequence[Traced], hurts: Sequence[blast.Hurt]) -> dict[str, Any]:
    return {
        "seed": binding.seed,
        "faults": [hit.told(each) for each in traced],
        "hurt": [{"worker": hurt.worker, "at": hurt.at, "what": hurt.what} for hurt in hurts],
    }
