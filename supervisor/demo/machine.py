"""The machine the experiments run on: what it is, and what its CPUs were busy with."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Cores(NamedTuple):
    """Ticks of some CPUs since boot: all of them, and those nobody wanted."""

    total: int
    idle: int

    def idle_since(self, earlier: Cores) -> float:
        """The share of the time since that they stood idle, 0 to 1."""
        total = self.total - earlier.total
        return (self.idle - earlier.idle) / total if total > 0 else 0.0


def cores(cpus: Sequence[int]) -> Cores:
    """Read /proc/stat for these CPUs."""
    wanted = {f"cpu{cpu}" for cpu in cpus}
    total = idle = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *ticks = line.split()
            if name in wanted:
                spent = [int(tick) for tick in ticks[:8]]  # those after it are counted in the first two already
                total += sum(spent)
                idle += spent[3] + spent[4]
    return Cores(total, idle)


def allowed() -> tuple[int, ...]:
    """The CPUs this process may use, which may be fewer than there are."""
    return tuple(sorted(os.sched_getaffinity(0)))


def facts() -> dict[str, str]:
    """For the head of the page."""
    quota = _quota()
    return {
        "processor": _model(),
        "cpus": f"{len(allowed())} of {os.cpu_count()}" + ("" if quota is None else f", with a quota of {quota:g}"),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {gil()}",
    }


def gil() -> str:
    """Whether threads take turns in this interpreter."""
    enabled = getattr(sys, "_is_gil_enabled", None)  # from 3.13 on
    return "with a GIL" if enabled is None or enabled() else "free-threaded"


def _quota() -> float | None:
    """How many CPUs' time a container is given, None if nobody says; more workers than that are no faster."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next((line[3:].strip() for line in file if line.startswith("0::")), "/")
        with open(f"/sys/fs/cgroup{own.rstrip('/')}/cpu.max", encoding="ascii") as file:
            most, period = file.read().split()
    except OSError:
        return None
    return None if most == "max" else int(most) / int(period)


def _model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def listed(cpus: frozenset[int]) -> str:
    """CPUs as people write them: 0-3,6."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
