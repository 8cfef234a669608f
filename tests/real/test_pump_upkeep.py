"""The pump over a long life: nothing piles up, nothing is done for nothing, labels change."""

from __future__ import annotations

import os
import signal

from supervisor.pump.journal import SLOTS, USED
from tests.real.pump_rig import Rig, add, cpu_s
from tests.real.test_pump import MAKE, Drain, beats, hang_up, make, read_lines

__all__ = ["make"]


def test_nothing_is_left_of_a_thousand_sources(make: MAKE) -> None:
    """After 1,000 sources came and went, the pump has as many descriptors and as much memory as before."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC))

    def weigh() -> tuple[int, int]:
        with open(f"/proc/{rig.pid}/smaps_rollup") as file:
            pss = next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon"))
        return len(os.listdir(f"/proc/{rig.pid}/fd")), pss

    def rounds(first: int, last: int) -> None:
        for number in range(first, last):
            worker = rig.add(f"w#{number}/out")
            os.write(worker, b"hello\n")
            os.close(worker)
            rig.wait_ended(f"w#{number}/out")
            rig.event("worker.ended", spawn_id=f"w#{number}")

    rounds(0, 100)
    before = weigh()
    rounds(100, 1100)
    after = weigh()
    assert after[0] == before[0]
    assert after[1] - before[1] < 512, "KiB"


def test_who_ends_while_a_fork_has_its_pipe_is_forgotten_at_the_end_of_that_pipe(make: MAKE) -> None:
    """An ending told before the pipes are at their ends (a sibling forked meanwhile has them) leaves no slot behind."""
    reader, out = os.pipe()
    rig = make(out)
    forks = [rig.add(f"w#{number}/out") for number in range(3)]
    for number in range(3):
        rig.event("worker.ended", spawn_id=f"w#{number}")
    read_lines(reader, lambda lines: len(lines) == 3)
    assert slots_used(rig) == 1 + 3
    for fork in forks:
        os.close(fork)
    rig.wait_ended(*(f"w#{number}/out" for number in range(3)))
    assert slots_used(rig) == 1, "the events'"
    os.close(reader)


def slots_used(rig: Rig) -> int:
    """By the journal's own account."""
    return SLOTS - os.pread(rig.journal, SLOTS, USED).count(b"\0")


def test_it_sleeps_when_there_is_nothing_to_do(make: MAKE) -> None:
    """An idle pump wakes once a second, for its beat."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC))
    worker = rig.add("a#1/out")
    beats(rig)

    def switches() -> int:
        with open(f"/proc/{rig.pid}/status") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("voluntary"))

    before, cpu = switches(), cpu_s(rig.pid)
    beats(rig)
    assert switches() - before <= 6
    assert cpu_s(rig.pid) - cpu <= 0.02
    os.close(worker)


def test_a_source_can_be_added_again_and_given_a_new_label(make: MAKE) -> None:
    """A resumed supervisor adds what the pump has; a standby that becomes a worker gets its name."""
    reader, out = os.pipe()
    rig = make(out)
    worker = rig.add("standby#1/out")
    os.write(worker, b"half a li")
    label, fd = rig.sources["standby#1/out"]
    rig.tell(add(label), [fd])
    rig.tell(
        {"kind": "label", "sources": [["standby#1/out", "stdout"]], "worker": "web-0", "spawn_id": "web-0#7", "pid": 7},
        [],
    )
    rig.tell({"kind": "nonsense"}, [])
    rig.event("worker.ready")
    read_lines(reader, bool)
    os.write(worker, b"ne\n")
    os.close(worker)
    rig.wait_ended("standby#1/out")
    assert rig.stop() == 0
    hang_up(out)
    lines = Drain(reader).lines()
    assert "".join(line["msg"] for line in lines) == "half a line"
    assert (lines[-1]["worker"], lines[-1]["spawn_id"], lines[-1]["pid"]) == ("web-0", "web-0#7", 7)


def test_output_goes_under_the_name_given_before_it_was_written(make: MAKE) -> None:
    """A standby that takes over is renamed before its go: what both wait for is dealt with in that order."""
    reader, out = os.pipe()
    rig = make(out)
    worker = rig.add("standby#1/out")
    beats(rig)
    os.kill(rig.pid, signal.SIGSTOP)
    rig.tell({"kind": "label", "sources": [["standby#1/out", "stdout"]], "worker": "web-0", "pid": 7}, [])
    os.write(worker, b"first words\n")
    os.kill(rig.pid, signal.SIGCONT)
    os.close(worker)
    rig.wait_ended("standby#1/out")
    assert rig.stop() == 0
    hang_up(out)
    assert [(line["worker"], line["msg"]) for line in Drain(reader).lines()] == [("web-0", "first words")]
