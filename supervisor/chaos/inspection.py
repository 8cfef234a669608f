"""What /proc says of a service's processes, from outside: its own programs, and what is below the anchor that should not be.

A process belongs to a service when it carries a brand of it, or when one that does is its ancestor: workers may start what
they like. What has outlived its life carries the brand of a life that is over. Between two looks a process may be on its way
out, so only what several looks agree on is told; and nobody is called a stranger whose life is just not yet told of.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Self

from supervisor import kernel
from supervisor.chaos.record import Inspection, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

AGREE_AFTER_S = 0.4  # seconds between two looks: a sweep takes less, and so does a template's midwife
AGAIN = 4  # looks at most that have to agree: on a machine with too much to do, everything takes longer
YOUNG_S = 15.0  # a process of that age may be of a life that was not told of: it is being prepared as a standby
OWN_PROGRAMS = {"nl-supervisor": "supervisor", "nl-pump": "pump"}


def inspect(
    anchor: int,
    status: Mapping[str, Any] | None = None,
    events: Iterable[Mapping[str, Any]] = (),
    *,
    is_well: Callable[[Inspection], bool] = lambda _seen: True,
) -> Inspection:
    """What is to be seen of the service of this anchor now; takes up to two seconds if there is something odd.

    status: the answer to the verb `status`, events: those of the service, read anew for each look. Both tell which lives are
    over; without them only what carries no brand of this service at all is a stranger.
    is_well: whether a look at its own programs is nothing odd.
    """
    look = _Look(anchor, _Known(status, events))
    seen = look.told()
    for _ in range(AGAIN):
        if not look.is_odd and is_well(seen):
            break
        time.sleep(AGREE_AFTER_S)
        look = _Look(anchor, _Known(status, events)).agreeing_with(look)
        seen = look.told()
    return seen


def process(pid: int | None) -> Process | None:
    """One process: its descriptors, threads and memory, as far as we may look; None if it is gone."""
    now = kernel.stat(pid) if pid is not None else None
    if pid is None or now is None or now.state in "ZX":
        return None
    return Process(
        pid=pid,
        fds=_count(f"/proc/{pid}/fd"),
        threads=_count(f"/proc/{pid}/task"),
        rss_bytes=now.rss_bytes,
        pss_bytes=_pss(pid),
    )


def _count(folder: str) -> int | None:
    try:
        return len(os.listdir(folder))
    except OSError:
        return None


def _pss(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class _Known:
    """Which life carries which number, and which are over. The number of `forecast-0#17` is 17, in its brand too."""

    def __init__(self, status: Mapping[str, Any] | None, events: Iterable[Mapping[str, Any]]) -> None:
        self.of: dict[int, str] = {}  # number -> worker, of lives; not of standbys
        self.over: set[int] = set()
        self.standbys: set[int] = set()
        self.unseen_standbys = 0
        for event in events:
            number = number_of(event.get("spawn_id"))
            if number is None:
                continue
            if event["event"] in {"worker.ended", "standby.ended"}:
                self.over.add(number)
                self.standbys.discard(number)
            elif event["event"] == "standby.ready":
                self.standbys.add(number)
            elif event["event"] == "worker.spawned":
                self.of[number] = event["worker"]
                self.standbys.discard(number)
        rows = status["workers"] if status is not None else ()
        for row in rows:
            number = number_of(row.get("spawn_id"))
            if number is not None:
                self.of[number] = row["worker"]
            self.unseen_standbys += row.get("standbys") or 0
        self.told = status is not None
        self.newest = max((*self.of, *self.over, *self.standbys), default=0)
        self.unseen_standbys = max(0, self.unseen_standbys - len(self.standbys))


def number_of(spawn_id: object) -> int | None:
    """17 of "forecast-0#17"; None of what is no spawn_id, and of 0, which never had a process."""
    _, mark, digits = str(spawn_id or "").rpartition("#")
    return int(digits) or None if mark and digits.isdigit() else None


class _Look:
    """One look at all below the anchor. zombies, strangers: (pid, start)."""

    def __init__(self, anchor: int, known: _Known) -> None:
        self._anchor, self._known = anchor, known
        self._nonce: int | None = None
        self._excused = known.unseen_standbys
        self._pids: dict[str, set[int]] = {}  # of each worker, the numbers of its lives that are alive
        self.own: dict[str, int] = {}
        self.zombies: set[tuple[int, int]] = set()
        self.strangers: set[tuple[int, int]] = set()
        self._numbers: set[int] = set()
        self._below(anchor)
        self.lives = len(self._numbers)
        self.doubles = {worker for worker, numbers in self._pids.items() if len(numbers) > 1}

    @property
    def is_odd(self) -> bool:
        """Whether there is somebody who should not be."""
        return bool(self.zombies or self.strangers or self.doubles)

    def agreeing_with(self, earlier: _Look) -> Self:
        """Only what both have seen is odd; of all else this one tells, which is the later."""
        self.zombies &= earlier.zombies
        self.strangers &= earlier.strangers
        self.doubles &= earlier.doubles
        return self

    def told(self) -> Inspection:
        """For a record, with what its own programs take now."""
        return Inspection(
            at=time.monotonic(),
            supervisor=process(self.own.get("supervisor")),
            pump=process(self.own.get("pump")),
            anchor=process(self._anchor),
            zombies=tuple(sorted(pid for pid, _ in self.zombies)),
            strangers=tuple(sorted(pid for pid, _ in self.strangers)),
            doubles=tuple(sorted(self.doubles)),
            workers=self.lives,
        )

    def _below(self, anchor: int) -> None:
        seen = [now for pid in kernel.children(anchor) if (now := kernel.stat(pid)) is not None]
        children = sorted(
            seen, key=lambda now: now.start
        )  # during an upgrade the newer supervisor is the one that is told
        for now in children:
            brand = kernel.read_brand(now.pid)
            if brand is None or brand & 0xFFFFFFFF or now.state in "ZX":
                continue
            self._nonce = brand >> 32 & 0xFFFFFF
            if now.command in OWN_PROGRAMS:
                self.own[OWN_PROGRAMS[now.command]] = now.pid
        for now in children:
            self._child(now)

    def _child(self, now: kernel.Stat) -> None:
        if now.state in "ZX":
            self.zombies.add((now.pid, now.start))
            return
        brand = kernel.read_brand(now.pid)
        if self._nonce is None:  # none of our own programs is there to say whose brand is ours
            return
        if brand is None or brand >> 32 & 0xFFFFFF != self._nonce:
            if brand is not None or kernel.stat(now.pid) is not None:  # gone meanwhile: nobody's stranger
                self.strangers.add((now.pid, now.start))
            return
        number = brand & 0xFFFFFFFF
        if number:
            self._branded(now, number)
        else:
            self._look_for_zombies(now.pid)

    def _branded(self, now: kernel.Stat, number: int) -> None:
        known = self._known
        leads = now.session == now.pid  # a life is born as the leader of its session
        if number in known.over:
            self.strangers.add((now.pid, now.start))
        if number in known.of and leads:
            self._pids.setdefault(known.of[number], set()).add(number)
        self._numbers.add(number)
        if number in known.of or number in known.standbys or number in known.over or not known.told:
            return
        # Numbers are given in order. A life may be younger than its process, which has been an embryo before.
        is_young = number > known.newest or _age_s(now.start) < YOUNG_S
        if leads and (is_young or self._excused > 0):
            self._excused -= not is_young
            return
        self.strangers.add((now.pid, now.start))

    def _look_for_zombies(self, parent: int) -> None:
        """Below our own programs: they reap what they start. What a worker does not reap is the worker's affair."""
        for pid in kernel.children(parent):
            now = kernel.stat(pid)
            if now is not None and now.state == "Z":
                self.zombies.add((now.pid, now.start))


def _age_s(start: int) -> float:
    with open("/proc/uptime", "rb") as file:
        up = float(file.read().split()[0])
    return up - start / os.sysconf("SC_CLK_TCK")
