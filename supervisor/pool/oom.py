"""How often the kernel has killed for want of memory, as far as that concerns us."""

from __future__ import annotations


def kills() -> int:
    """Kills in our control group and below it; where that is not told, on the whole machine."""
    for path, word in ((f"/sys/fs/cgroup{_group()}/memory.events", "oom_kill"), ("/proc/vmstat", "oom_kill")):
        try:
            with open(path) as file:
                for line in file:
                    name, _, value = line.partition(" ")
                    if name == word:
                        return int(value)
        except OSError:
            continue
    return 0


def _group() -> str:
    """Our control group's path (v2), "/" if there is none."""
    try:
        with open("/proc/self/cgroup") as file:
            for line in file:
                if line.startswith("0::"):
                    return line[3:].rstrip("\n")
    except OSError:
        pass
    return "/"
