"""How many lines of 100 bytes a second the pump takes, to a pipe with a reader, to /dev/null and to a file.

python bench/pump_throughput.py [LINES]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests.real.pump_rig import Rig, cpu_s


def _writer(fd: int, lines: int) -> int:
    """A worker as fast as can be: one child, writing blocks of finished lines."""
    pid = os.fork()
    if pid == 0:
        block = (b"x" * 99 + b"\n") * 655
        for _ in range(lines // 655):
            os.write(fd, block)
        os._exit(0)
    os.close(fd)
    return pid


def _reader(fd: int, answer: int) -> int:
    pid = os.fork()
    if pid == 0:
        found = 0
        while data := os.read(fd, 1 << 18):
            found += data.count(b"worker.output")
        os.write(answer, str(found).encode())
        os._exit(0)
    os.close(fd)
    return pid


def measure(name: str, stdout: int, lines: int) -> None:
    """One run; the pump's own CPU is said as well, because all of them share the machine."""
    rig = Rig(stdout)
    os.close(stdout)
    worker = rig.add("flood#1/out")
    start, cpu = time.monotonic(), cpu_s(rig.pid)
    pid = _writer(worker, lines)
    rig.wait_ended("flood#1/out", seconds=120)
    took, used = time.monotonic() - start, cpu_s(rig.pid) - cpu
    os.waitpid(pid, 0)
    lines = lines // 655 * 655
    print(f"{name:10} {lines / took:10,.0f} lines/s   {lines / used:10,.0f} lines per second of the pump's CPU")
    assert rig.stop() == 0
    rig.close()


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    out_r, out_w = os.pipe()
    answer_r, answer_w = os.pipe()
    os.set_inheritable(out_r, False)
    pid = os.fork()
    if pid == 0:
        os.close(out_w)
        _reader(out_r, answer_w)
        os.wait()
        os._exit(0)
    os.close(out_r)
    measure("pipe", out_w, lines)
    os.waitpid(pid, 0)
    print(f"{'':10} read: {os.read(answer_r, 100).decode()} of {lines // 655 * 655}")
    measure("/dev/null", os.open("/dev/null", os.O_WRONLY), lines)
    with tempfile.TemporaryDirectory() as folder:
        measure("file", os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), lines)


if __name__ == "__main__":
    main()
