"""What is shown of chaos while it goes on: a line for each fault, and on a terminal one that lives until the fault is over.

A thread draws; who injects, and who hears events, only leaves word. All of it goes to stderr: stdout is the report's.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from supervisor.chaos import glance, hit, outcome
from supervisor.chaos.trace import Outcome, stamp
from supervisor.cli.paint import cut, duration, harmless, paint

if TYPE_CHECKING:
    from types import TracebackType

    from supervisor.chaos.binding import Binding
    from supervisor.chaos.record import Injected
    from supervisor.chaos.trace import Traced

_EVERY_S = 0.1
_NOW_AND_THEN_S = 10.0
_AT_ONCE = 8  # living lines; of more faults only the number is told
_COLOURS = {Outcome.RECOVERED: "green", Outcome.PASSED: "green", Outcome.OPEN: "yellow"}


class Progress:
    """A context. lasting: seconds it is expected to take, None if nobody knows.

    each: a line for every fault; else only for those that were not got over, and now and then one that says how it goes.
    """

    def __init__(self, binding: Binding, *, lasting: float | None = None, each: bool = True) -> None:
        self._binding, self._lasting, self._each = binding, lasting, each
        self._told_at = time.monotonic()
        self._began = time.monotonic()
        self._open: dict[str, Injected] = {}
        self._done = 0
        self._bad = 0
        self._said: list[str] = []
        self._drawn = 0  # living lines on the terminal
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live = sys.stderr.isatty()
        self._colour = self._live and not os.environ.get("NO_COLOR")
        self._thread = threading.Thread(target=self._draw_on, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._binding.observer.listen(self._hear)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def say(self, line: str) -> None:
        """A line that stays."""
        with self._lock:
            self._said.append(harmless(line))

    # -- in the observer's thread

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("monotonic_s", 0.0) < self._binding.observer.began:
            return  # somebody else's, before us
        if event["event"] == "chaos.injected":
            fault = glance.injected(event)
            with self._lock:
                self._open[fault.chaos_id] = fault
                if not self._live and self._each:
                    self._said.append(f"{self._clock(fault.at)} {_named(fault)} injected")
        elif event["event"] == "chaos.aborted":
            self.say(f"{self._clock(event['monotonic_s'])} {event.get('msg', event['event'])}")

    # -- in our own

    def _draw_on(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._draw(last=False)
        self._draw(last=True)

    def _draw(self, *, last: bool) -> None:
        with self._lock:
            pending = list(self._open.values())
        now = time.monotonic()
        traced = hit.traced(self._binding.observer, pending)
        finished = [each for each in traced if hit.is_over(self._binding.observer, each, now) or last]
        lines = [line for each in finished if (line := self._finished(each)) is not None]
        living = [each for each in traced if each.fault.chaos_id in self._open]
        with self._lock:
            said, self._said = self._said, []
            if not self._live and not self._each and (last or now - self._told_at > _NOW_AND_THEN_S):
                self._told_at = now
                said.append(self._status(len(living)))
        self._put([*said, *lines], [] if last or not self._live else self._living(living, now))

    def _put(self, stay: list[str], live: list[str]) -> None:
        text = "".join(f"{line}\n" for line in stay)
        if self._live:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            back = f"\x1b[{self._drawn}A" if self._drawn else ""
            text = f"{back}\r\x1b[J{text}" + "".join(f"{cut(line, columns - 1)}\n" for line in live)
            self._drawn = len(live)
        if text:
            sys.stderr.write(text)
            sys.stderr.flush()

    def _finished(self, traced: Traced) -> str | None:
        """Its last line; None if it is not worth one."""
        with self._lock:
            self._open.pop(traced.fault.chaos_id, None)
        good = traced.outcome in (Outcome.RECOVERED, Outcome.PASSED)
        self._done += 1
        self._bad += not good
        if good and not self._each:
            return None
        seen = "" if traced.sign is None else f"noticed after {_after(traced, stamp(traced.sign))}, "
        said = paint(harmless(outcome.sentence(traced)), _COLOURS.get(traced.outcome, "red"), on=self._colour)
        return f"{self._clock(time.monotonic())} {harmless(_named(traced.fault))} {seen}{said}"

    def _living(self, going_on: list[Traced], now: float) -> list[str]:
        lines = []
        for each in going_on[:_AT_ONCE]:
            fault = each.fault
            left = "" if fault.until is None or fault.until < now else f", {duration(fault.until - now)} left"
            seen = "not noticed yet" if each.sign is None else f"noticed after {_after(each, stamp(each.sign))}"
            whom = harmless(fault.worker or "the service")
            text = f"{self._clock(fault.at)} {fault.kind} {whom}: {duration(now - fault.at)}{left}, {seen} …"
            lines.append(paint(text, "yellow", on=self._colour))
        if len(going_on) > _AT_ONCE:
            lines.append(f"… and {len(going_on) - _AT_ONCE} more")
        return [*lines, paint(self._status(len(going_on)), "bold", on=self._colour)]

    def _status(self, going_on: int) -> str:
        binding = self._binding
        took = duration(time.monotonic() - self._began)
        until = "" if self._lasting is None else f" of {duration(self._lasting)}"
        bad = f", {self._bad} of them not recovered" if self._bad else ""
        faults = f"{self._done} over{bad}, {going_on} going on"
        return f"{took}{until} · {binding.observer.sentence} · {faults} · seed {binding.seed}"

    def _clock(self, at: float) -> str:
        return f"{max(0.0, at - self._began):8.3f} s"


def _named(fault: Injected) -> str:
    """Kill w-1 (w-1#4, pid 9335)."""
    if fault.worker is None:
        return f"{fault.kind} the service"
    if fault.spawn_id is None:
        return f"{fault.kind} {fault.worker}"
    return f"{fault.kind} {fault.worker} ({fault.spawn_id}, pid {fault.pid})"


def _after(traced: Traced, moment: float) -> str:
    return outcome.milliseconds(max(0.0, moment - traced.fault.at))
