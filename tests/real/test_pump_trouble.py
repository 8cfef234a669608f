"""The pump when its surroundings misbehave: stopped readers, full disks, floods, dead anchors, slow clients."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from typing import Any

import pytest

from tests.real.pump_rig import Rig  # noqa: TC001  (with the others)
from tests.real.test_pump import (
    MAKE,
    Drain,
    assert_gapless,
    beats,
    file_stdout,
    hang_up,
    make,
    parsed,
    read_lines,
    wait_until,
)

__all__ = ["make"]


def ask(rig: Rig, enough: Any, **wanted: Any) -> list[dict[str, Any]]:
    """What a `logs -f` client sees, until it is enough."""
    client = rig.follow(follow=True, **wanted)
    with client:
        return read_lines(client.fileno(), enough)


def flood(worker: int, *, lines: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", f"yes {'x' * 99} | head -n {lines}"], stdout=worker)


def fill(worker: int) -> int:
    """Write whole lines of 100 bytes until the pipe takes no more for half a second; how many went."""
    os.set_blocking(worker, False)
    count = 0
    while select.select([], [worker], [], 0.5)[1]:
        try:
            count += os.write(worker, b"y" * 99 + b"\n") == 100
        except BlockingIOError:
            select.select([], [], [], 0.01)
    return count


def test_a_stopped_reader_stops_only_the_flooding_worker(make: MAKE) -> None:
    """Nobody reads stdout: the flooding worker waits in its own pipe, the pump beats; then nothing is missing."""
    reader, out = os.pipe()
    rig = make(out)
    worker = rig.add("flood#1/out")
    sent = fill(worker)
    rig.event("worker.hung")
    beats(rig)
    assert ask(rig, bool, events="worker.hung")[0]["event"] == "worker.hung"
    drain = Drain(reader)
    os.close(worker)
    rig.wait_ended("flood#1/out")
    assert rig.stop() == 0
    hang_up(out)
    lines = drain.lines()
    assert_gapless(lines)
    assert len(lines) == sent + 1


def test_dropped_lines_are_counted(make: MAKE) -> None:
    """With when_full = drop a worker never waits; the lines that came and those said to be lost are all it wrote."""
    reader, out = os.pipe()
    rig = make(out, recent=1 << 20)
    worker = rig.add("flood#1/out", when_full="drop")
    writer = flood(worker, lines=50_000)
    os.close(worker)
    assert writer.wait(20) == 0
    rig.wait_ended("flood#1/out")
    drain = Drain(reader)
    assert rig.stop() == 0
    hang_up(out)
    lines = drain.lines()
    assert_gapless(lines)
    came = sum(line["event"] == "worker.output" for line in lines)
    lost = sum(line["count"] for line in lines if line["event"] == "log.dropped")
    assert lost > 0
    assert came + lost == 50_000


@pytest.mark.parametrize("kind", ["full", "closed"])
def test_a_stdout_that_fails_stops_nobody(make: MAKE, kind: str) -> None:
    """/dev/full or a pipe without a reader: workers write on, the pump beats, `logs` shows the newest lines."""
    if kind == "full":
        out = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    else:
        reader, out = os.pipe()
        os.close(reader)
    rig = make(out, recent=1 << 20)
    worker = rig.add("flood#1/out")
    writer = flood(worker, lines=50_000)
    assert writer.wait(20) == 0
    os.write(worker, b"the end\n")
    os.close(worker)
    rig.wait_ended("flood#1/out")
    assert ask(rig, bool, grep="^the end$")
    beats(rig)


@pytest.mark.root
def test_a_full_disk_loses_exactly_what_it_says(make: MAKE, tmp_path: Any) -> None:
    """A disk fills up and gets room again: the file has whole lines only, and log.dropped explains the gap in seq."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = str(tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], check=True)
    out = file_stdout(f"{folder}/log")
    try:
        with open(f"{folder}/ballast", "wb") as ballast:
            ballast.write(b"x" * 150_000)
        rig = make(out, recent=1 << 20)
        worker = rig.add("flood#1/out")
        writer = flood(worker, lines=20_000)
        os.close(worker)
        assert writer.wait(20) == 0
        rig.wait_ended("flood#1/out")
        rig.kill()
        rig.start()
        subprocess.run(["mount", "-o", "remount,size=100m", folder], check=True)
        os.truncate(f"{folder}/ballast", 0)
        wait_until(lambda: b"log.dropped" in read_all(f"{folder}/log"))
        assert rig.stop() == 0
        lines = parsed(read_all(f"{folder}/log"))
    finally:
        hang_up(out)
        subprocess.run(["umount", folder], check=True)
    seqs = [line["seq"] for line in lines]
    assert seqs == sorted(set(seqs))
    lost = sum(line["count"] for line in lines if line["event"] == "log.dropped")
    assert lost > 0
    assert seqs[-1] == len(seqs) + lost


def read_all(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_a_flood_does_not_delay_the_quiet(make: MAKE) -> None:
    """Beside a worker that writes as fast as it can, a quiet one's line is out within half a second."""
    reader, out = os.pipe()
    rig = make(out)
    loud, quiet = rig.add("loud#1/out"), rig.add("quiet#1/out")
    writer = subprocess.Popen(["yes", "x" * 99], stdout=loud)
    drain = Drain(reader)
    wait_until(lambda: len(drain.chunks) > 20)
    os.write(quiet, b"psst\n")
    wait_until(lambda: any(b"psst" in chunk for chunk in drain.chunks[-50:]), seconds=0.5)
    os.close(quiet)
    os.close(loud)
    writer.kill()
    writer.wait()
    rig.wait_ended("loud#1/out", "quiet#1/out")
    assert rig.stop() == 0
    hang_up(out)
    drain.join(10)


def test_a_rate_is_kept(make: MAKE) -> None:
    """rate = 100 with drop: in a flood about 100 lines come, the rest is counted, once a second at most."""
    reader, out = os.pipe()
    rig = make(out)
    drain = Drain(reader)
    worker = rig.add("chatty#1/out", when_full="drop", rate=100.0)
    writer = flood(worker, lines=5_000)
    os.close(worker)
    assert writer.wait(20) == 0
    rig.wait_ended("chatty#1/out")
    assert rig.stop() == 0
    hang_up(out)
    lines = drain.lines()
    came = [line for line in lines if line["event"] == "worker.output"]
    said = [line for line in lines if line["event"] == "log.dropped"]
    assert 90 <= len(came) <= 300
    assert len(came) + sum(line["count"] for line in said) == 5_000
    assert said[0]["worker"] == "chatty"


def test_a_prompt_is_shown(make: MAKE) -> None:
    """A line without a newline is shown after 200 ms, marked as unfinished; its rest is part 2."""
    reader, out = os.pipe()
    rig = make(out)
    worker = rig.add("asker#1/out")
    os.write(worker, b"Password: ")
    first = read_lines(reader, bool)[0]
    os.write(worker, b"no\n")
    second = read_lines(reader, bool)[0]
    assert (first["msg"], first["part"], first["more"]) == ("Password: ", 1, True)
    assert (second["msg"], second["part"], second.get("more")) == ("no", 2, None)
    os.close(worker)
    os.close(reader)


def test_followers_get_what_they_asked_for(make: MAKE) -> None:
    """History and new lines, filtered by worker, level, pattern and number; without follow the connection ends."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC))
    worker = rig.add("a#1/out")
    for number in range(10):
        os.write(worker, b"line %d\n" % number)
    rig.event("worker.hung", level="error", worker="a")
    os.close(worker)
    rig.wait_ended("a#1/out")

    def history(**wanted: Any) -> list[Any]:
        with rig.follow(**wanted) as client, client.makefile("rb") as file:
            return [json.loads(line)["msg"] or json.loads(line)["event"] for line in file]

    assert history(events="worker.o*", last=2) == ["line 8", "line 9"]
    assert history(level="error") == ["worker.hung"]
    assert history(worker="b*") == []
    assert history(grep="[37]$") == ["line 3", "line 7"]
    assert history(since=time.time() + 60) == []
    assert "bad filter" in history(grep="(")[0]
    with rig.follow(follow=True, events="worker.ready") as client:
        rig.event("worker.ready")
        assert read_lines(client.fileno(), bool)[0]["event"] == "worker.ready"


def test_a_client_that_does_not_read_hurts_nobody(make: MAKE) -> None:
    """A follower that sleeps through a flood is told how many lines it missed; the flood takes no longer."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), recent=1 << 20)
    client = rig.follow(follow=True)
    worker = rig.add("loud#1/out")
    writer = flood(worker, lines=50_000)
    os.close(worker)
    rig.wait_ended("loud#1/out")
    assert writer.wait() == 0
    lines = read_lines(client.fileno(), lambda lines: bool(lines) and lines[-1].get("seq") == 50_000)
    client.close()
    missed = sum(line["count"] for line in lines if line["event"] == "log.dropped")
    assert missed > 0
    assert missed + sum(line["event"] == "worker.output" for line in lines) == 50_000


def test_it_outlives_signals_but_not_its_anchor(make: MAKE) -> None:
    """SIGTERM and SIGINT are for the anchor to judge; when both ends of the channel's other side go, the pump goes."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC))
    beats(rig)
    os.kill(rig.pid, signal.SIGTERM)
    os.kill(rig.pid, signal.SIGINT)
    beats(rig)
    rig.channel.shutdown(socket.SHUT_RDWR)
    assert os.waitstatus_to_exitcode(os.waitpid(rig.pid, 0)[1]) == 1
    rig.pid = 0
