"""Improved responsiveness: a loop that wants to do something every millisecond, while other work is being done.

A window that redraws, a server that answers: what counts is how late they are. The same work is done by the loop itself
between two ticks, by a thread, and by a worker.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from supervisor.demo import work
from supervisor.demo.frame import Bar, Bars, Claim, Figure, Outcome, Pace, Side, answer
from supervisor.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 0.001  # seconds between two ticks
TASK = 0.03  # seconds of work in one piece
BETTER = 2.0  # times less late, at the median, than beside a thread or with the work in the loop: less would be luck
CLAIM = Claim(
    title="Improved responsiveness",
    sentence="prevents blocking or slowing down the main program's execution",
    done="A loop ticks every millisecond while the same work is done by itself, by a thread, and by a worker.",
)


class Late(NamedTuple):
    """How late the ticks came, in seconds: the median, all but one in a hundred, the worst."""

    p50: float
    p99: float
    worst: float


class Seen(NamedTuple):
    """The loop's lateness with no work at all, and with the work in three places."""

    nothing: Late
    itself: Late
    thread: Late
    worker: Late


def measure(pace: Pace) -> Seen:
    """Tick until the work is done, four times."""
    rounds, times = work.rounds_for(TASK), int(pace.seconds(1.5) / TASK)
    quiet = time.monotonic() + pace.seconds(1.0)
    nothing = tick(lambda: time.monotonic() > quiet)
    left = iter([rounds] * times)
    itself = tick(lambda: next((False for task in left if work.grind(task)), True))
    thread = threading.Thread(target=lambda: [work.grind(rounds) for _ in range(times)])
    thread.start()
    in_thread = tick(lambda: not thread.is_alive())
    with Pool(max_workers=1, preload=[__name__]) as pool:
        pool.submit(work.grind, 1).result()
        done = [pool.submit(work.grind, rounds) for _ in range(times)]
        in_worker = tick(done[-1].done)
    return Seen(nothing, itself, in_thread, in_worker)


def tick(over: Callable[[], bool]) -> Late:
    """Tick until it is over. Ticks that fell due while the loop was held up are as late as it is when it is back."""
    late, due = [], time.monotonic() + EVERY
    while not over():
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        while due <= now:
            late.append(now - due)
            due += EVERY
    late.sort()
    return Late(late[len(late) // 2], late[len(late) * 99 // 100], late[-1])


def judge(seen: Seen) -> Outcome:
    """With the work in a worker the loop is hardly ever late."""
    # Not p99 alone: on a machine with other things to do a loop is late now and then with no work of ours at all.
    median = seen.worker.p50 * BETTER <= min(seen.itself.p50, seen.thread.p50)
    return answer(
        median and seen.worker.p99 <= min(seen.itself.p99, seen.thread.p99),
        f"a tick was {_ms(seen.itself.p50)} late (median) with the work in the loop, {_ms(seen.thread.p50)} beside a thread, "
        f"{_ms(seen.worker.p50)} beside a worker; one in a hundred was "
        f"{_ms(seen.itself.p99)}, {_ms(seen.thread.p99)} and {_ms(seen.worker.p99)}",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms"


def show(seen: Seen) -> tuple[Figure, ...]:
    """Median, p99 and the worst, for each place."""
    places: tuple[tuple[str, Late, Side], ...] = (
        ("no work", seen.nothing, "neither"), ("in the loop", seen.itself, "neither"),
        ("in a thread", seen.thread, "threads"), ("in a worker", seen.worker, "processes"),
    )  # fmt: skip
    bars = tuple(
        Bar(label=f"{place}, {what}", value=round(value * 1e3, 4), side=side)
        for place, late, side in places
        for what, value in zip(("median", "p99", "worst"), late, strict=True)
    )
    return (Bars(title="how late a tick came", unit="ms", bars=bars, log=True),)
