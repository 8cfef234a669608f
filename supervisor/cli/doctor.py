"""`ninelives doctor`: what this machine offers, and what follows from it.

Where a thing can be tried it is tried, not deduced from a version number. Nothing is changed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

from supervisor import kernel, place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

Grade = Literal["ok", "note", "bad"]
FDS_PER_WORKER = 6  # held by the anchor: beats, stack, two outputs, a notify socket, with one to spare
COLOURS: dict[Grade, str] = {"ok": "32", "note": "33", "bad": "31"}


class Finding(NamedTuple):
    """One line: what was looked at, how good it is, what was found, what follows from it (empty: nothing)."""

    name: str
    grade: Grade
    found: str
    follows: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main` reads to a command's parser."""
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")


def main(args: argparse.Namespace) -> int:
    """Print the findings; 1 if one of them is bad."""
    findings = examine()
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        print(table(findings, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return int(any(finding.grade == "bad" for finding in findings))


def examine() -> list[Finding]:
    """Every finding, in the order in which they matter."""
    return [look() for look in LOOKS]


def table(findings: list[Finding], *, colour: bool) -> str:
    """Three columns for people; what follows stands on a line of its own."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for name, grade, found, follows in findings:
        mark = f"\033[{COLOURS[grade]}m{grade:4}\033[0m" if colour else f"{grade:4}"
        lines.append(f"{mark}  {name:{width}}  {found}")
        if follows:
            lines.append(f"{'':6}{'':{width}}  -> {follows}")
    return "\n".join(lines)


def python() -> Finding:
    """3.11 is the floor: TOML, task groups and timeouts of the standard library."""
    found = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    if sys.version_info >= (3, 11):  # noqa: UP036 - whoever runs it on something older is to be told
        return Finding("python", "ok", found)
    return Finding("python", "bad", found, "3.11 or newer is needed")


def package_clash() -> Finding:
    """Supervisord's package is called `supervisor` as well: in one environment they overwrite each other."""
    try:
        version = importlib.metadata.version("supervisor")
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec("supervisor.supervisord") is None:
            return Finding("package clash", "ok", "supervisord is not in this environment")
        version = "unknown"
    found = f"supervisord {version} is in this environment too"
    return Finding(
        "package clash", "bad", found, "both are called `supervisor`: use a virtual environment for each"
    )


def pidfds() -> Finding:
    """Signals go through pidfds, so that none can hit a process that was given the number later."""
    try:
        pidfd = os.pidfd_open(os.getpid())
        try:
            signal.pidfd_send_signal(pidfd, 0)
        finally:
            os.close(pidfd)
    except OSError as error:
        return Finding(
            "pidfd", "bad", str(error), "Linux 5.3 or newer is needed, and a sandbox that allows pidfds"
        )
    return Finding("pidfd", "ok", f"open and send work (Linux {platform.release()})")


def brand() -> Finding:
    """Tried in a child of ours, and read back through an exec: that is what it has to survive."""
    wanted = kernel.brand(0x5EED, 7)
    code = f"import os, supervisor.kernel as k; k.set_brand({wanted}); os.execlp('sleep', 'sleep', '9')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as child:
        try:
            seen = _until_exec(child, wanted)
        finally:
            child.kill()
    if seen:
        return Finding("brand", "ok", "RLIMIT_RTTIME is kept through exec and can be read from outside")
    return Finding(
        "brand", "bad", "RLIMIT_RTTIME cannot be set or read", "orphans of dead workers would not be found"
    )


def subreaper() -> Finding:
    """Whether orphans can be made ours; asked, not set: nobody expects doctor to change a process."""
    answer = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(37, ctypes.byref(answer), 0, 0, 0) == 0:  # PR_GET_CHILD_SUBREAPER
        return Finding("subreaper", "ok", "orphans can be adopted")
    return Finding("subreaper", "bad", os.strerror(ctypes.get_errno()), "orphans of workers would go to init")


def proc_children() -> Finding:
    """CONFIG_PROC_CHILDREN: who was left behind, without a walk over all of /proc."""
    if os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return Finding("/proc children", "ok", "the kernel lists children")
    return Finding("/proc children", "bad", "the kernel does not list children", "orphans cannot be swept")


def schedstat() -> Finding:
    """Tells a starved worker from a hung one."""
    waited = kernel.run_delay_s(os.getpid())
    if waited is not None:
        return Finding("schedstat", "ok", "waiting for a CPU is counted")
    return Finding(
        "schedstat", "note", "/proc/PID/schedstat says nothing", "a starved worker is judged like a hung one"
    )


def memfd_splice() -> Finding:
    """The pump moves output into memory that outlives it."""
    read, write = os.pipe()
    try:
        memory = os.memfd_create("ninelives-doctor", os.MFD_CLOEXEC)
        try:
            os.write(write, b"x")
            moved = os.splice(read, memory, 1)
        finally:
            os.close(memory)
    except OSError as error:
        return Finding("memfd, splice", "note", str(error), "output is copied instead of moved")
    finally:
        os.close(read)
        os.close(write)
    return Finding("memfd, splice", "ok" if moved == 1 else "note", "a pipe can be moved into memory")


def descriptors() -> Finding:
    """The hard limit counts: the anchor raises its soft limit to it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        return Finding("descriptors", "ok", "no limit")
    workers = max(hard - 64, 0) // FDS_PER_WORKER
    follows = "" if workers >= 1000 else "raise LimitNOFILE= or `ulimit -Hn` for more workers"
    return Finding(
        "descriptors", "ok" if workers >= 100 else "note", f"{hard}: enough for {workers} workers", follows
    )


def cgroups() -> Finding:
    """Version 2, the controllers in our own cgroup, and whether it was delegated to us."""
    mount = _cgroup2_mount()
    if mount is None:
        return Finding("cgroups", "note", "version 2 is not mounted", "workers cannot be limited by cgroup")
    try:
        with open("/proc/self/cgroup") as file:
            own = next((line[3:].strip() for line in file if line.startswith("0::")), "/")
        path = mount + own.rstrip("/")
        with open(f"{path}/cgroup.controllers") as file:
            controllers = file.read().split()
    except OSError as error:
        return Finding(
            "cgroups",
            "note",
            f"version 2 at {mount}: {error}",
            "workers cannot be limited by cgroup",
        )
    missing = sorted({"cpu", "memory", "pids"} - set(controllers))
    ours = os.access(f"{path}/cgroup.procs", os.W_OK) and os.access(path, os.W_OK)
    found = f"version 2 at {mount}, "
    found += f"controllers: {' '.join(controllers) or 'none'}; {'writable' if ours else 'read-only'}"
    if ours and not missing:
        return Finding("cgroups", "ok", found)
    why = (
        f"no {', '.join(missing)} here" if missing else "not delegated to us (Delegate= in a unit does that)"
    )
    return Finding("cgroups", "note", found, f"{why}: workers cannot be limited by cgroup")


def systemd() -> Finding:
    """Which version there is, and whether we run under it."""
    if shutil.which("systemctl") is None:
        return Finding(
            "systemd", "note", "not installed", "something else has to start the service after boot"
        )
    done = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False, timeout=10)
    words = done.stdout.split()
    version = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    booted = os.path.isdir("/run/systemd/system")
    found = f"version {version}, " + (
        "this machine runs on it" if booted else "but this machine does not run on it"
    )
    if version < 252:
        return Finding("systemd", "note", found, "the shipped units are made for 252 and newer")
    return Finding(
        "systemd", "ok" if booted else "note", found, "" if booted else "start with `ninelives run` instead"
    )


def runtime_folder() -> Finding:
    """Where the sockets go."""
    path = place.folder()
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there)
    why = place.distrust(path) if there == path else None
    if why is None and os.access(there, os.W_OK | os.X_OK):
        return Finding("runtime folder", "ok", path)
    return Finding(
        "runtime folder", "bad", why or f"{there}: not writable", "set XDG_RUNTIME_DIR to a folder of yours"
    )


def core_dumps() -> Finding:
    """Stacks of crashed workers come from faulthandler; a core is extra."""
    try:
        with open("/proc/sys/kernel/core_pattern") as file:
            pattern = file.read().strip()
    except OSError as error:
        return Finding("core dumps", "note", str(error))
    if pattern.startswith("|"):
        return Finding("core dumps", "ok", f"piped to {pattern[1:].split()[0]}")
    return Finding("core dumps", "ok", f"written as {pattern!r}, in the worker's own folder")


def extras() -> Finding:
    """What is optional."""
    there = [name for name in ("numpy", "rich") if importlib.util.find_spec(name)]
    missing = [name for name in ("numpy", "rich") if name not in there]
    follows = f"workers and commands that use {' and '.join(missing)} will say so" if missing else ""
    return Finding("extras", "note" if missing else "ok", f"present: {', '.join(there) or 'none'}", follows)


LOOKS: tuple[Callable[[], Finding], ...] = (
    python, package_clash, pidfds, brand, subreaper, proc_children, schedstat, memfd_splice, descriptors,
    cgroups, systemd, runtime_folder, core_dumps, extras,
)  # fmt: skip


def _until_exec(child: subprocess.Popen[bytes], wanted: int) -> bool:
    """Wait for the child to have become `sleep`, and say whether it still carries its brand."""
    while child.poll() is None:
        now = kernel.stat(child.pid)
        if now is not None and now.command == "sleep":
            return kernel.read_brand(child.pid) == wanted
        signal.sigtimedwait((), 0.002)  # a pause; the exec has no event to wait for
    return False


def _cgroup2_mount() -> str | None:
    with open("/proc/self/mounts") as file:
        return next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), None)
