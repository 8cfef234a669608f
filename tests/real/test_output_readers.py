"""A flood, and readers of the log that hurt: each costs only itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from supervisor.cli.stream import Stream
from tests.real.elsewhere import STEADY, WORDS, Drain, Elsewhere, assert_told_once, kill_and_recover, wchan
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# -- a flood


def test_a_flood_costs_only_itself(tmp_path: Path) -> None:
    """Beside a worker that writes as fast as it can, deaths are detected within 20 ms and others' lines arrive."""
    reader, out = os.pipe()
    drain = Drain(reader, keep=False)
    config = STEADY + '[workers.flood]\ntarget = "words:flood"\n'
    with Elsewhere(tmp_path, config, out) as service:
        os.close(out)
        service.wait_for("worker.ready", worker="flood")
        service.wait_for("worker.ready", worker="steady")
        service.until(lambda: drain.size > 5_000_000, "the flood is on")
        seen = [kill_and_recover(service, "steady") for _ in range(7)]
        with_words = [ended["last_lines"][-1].isdecimal() for ended, _ in seen if ended.get("last_lines")]
        own = Stream(service.socket, {"worker": "steady", "events": "worker.output", "last": 0}).followed()
        began = time.monotonic()
        for _ in range(5):
            assert next(own).record["msg"].isdecimal()
        del own
        assert time.monotonic() - began < 2.0
        row = service.worker("flood")
        assert (row["phase"], row["restarts"]) == ("ready", 0)
    drain.join(20)
    assert statistics.median(ended["detect_s"] for ended, _ in seen) < 0.02
    assert statistics.median(took for _, took in seen) < 0.1
    assert with_words
    assert all(with_words)


@pytest.mark.parametrize("policy", ["block", "drop"])
def test_what_a_worker_writes_while_nobody_reads(tmp_path: Path, policy: str) -> None:
    """block: it waits, and every line comes when somebody reads again. drop: it does not wait, and what is lost is counted."""
    reader, out = os.pipe()
    count = 60_000
    config = f"""
        [workers.loud]
        target = "words:lines"
        restart = "temporary"
        args = {{ count = {count} }}
        output = {{ when_full = "{policy}" }}
    """
    with Elsewhere(tmp_path, config, out) as service:
        os.close(out)
        service.wait_for("worker.ready", worker="loud")
        if policy == "drop":
            service.wait_for("worker.ended", worker="loud")
        else:
            service.until(lambda: b"pipe_write" in wchan(service.pid("loud")), "it waits in its own pipe")
        drain = Drain(reader, keep=True)
        service.wait_for("worker.ended", worker="loud")
    lines = drain.lines()
    assert_told_once(lines)
    said = [int(line["msg"]) for line in lines if line["event"] == "worker.output"]
    lost = sum(line["count"] for line in lines if line["event"] == "log.dropped" and line.get("worker") == "loud")
    assert said == sorted(said)
    assert len(said) + lost == count
    assert (lost > 0) == (policy == "drop")
    ended = next(line for line in lines if line["event"] == "worker.ended")
    assert "last_lines" not in ended  # it ended well


def test_a_rate_is_a_workers_own(tmp_path: Path) -> None:
    """rate = 50 with drop: some lines come, the others are counted, and together they are what it wrote."""
    config = """
        [workers.chatty]
        target = "words:lines"
        restart = "temporary"
        args = { count = 5000, code = 3 }
        output = { when_full = "drop", rate = 50 }
    """
    with Service(tmp_path, config, modules={"words": WORDS}) as service:
        ended = service.wait_for("worker.ended", worker="chatty")
    came = len(service.seen("worker.output", worker="chatty"))
    lost = sum(line["count"] for line in service.seen("log.dropped", worker="chatty"))
    assert 50 <= came <= 400
    assert came + lost == 5000
    assert [int(line) for line in ended["last_lines"]] == [4995, 4996, 4997, 4998, 4999]


# -- readers that hurt


@pytest.fixture
def outs(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Kinds of stdout, and what must be undone."""
    undo: list[Callable[[], object]] = []

    def make(kind: str) -> int:
        if kind == "full":
            return os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
        if kind == "disk":
            folder = tmp_path / "disk"
            folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
            undo.append(lambda: subprocess.run(["umount", "-l", folder], check=True))
            return os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        reader, out = os.pipe()
        if kind == "closed":
            os.close(reader)
        else:
            undo.append(lambda: os.close(reader))
        return out

    yield make
    for each in undo:
        each()


@pytest.mark.parametrize("kind", ["stopped", "full", "closed", pytest.param("disk", marks=pytest.mark.root)])
def test_no_reader_of_the_log_hurts_supervision(tmp_path: Path, outs: Callable[[str], int], kind: str) -> None:
    """A stopped reader, /dev/full, a closed pipe, a full disk: workers die and recover, and what was lost is counted."""
    out = outs(kind)
    config = "[supervisor]\nrecent = '1M'\n" + STEADY + '[workers.flood]\ntarget = "words:flood"\n'
    with Elsewhere(tmp_path, config, out) as service:
        os.close(out)
        service.wait_for("worker.ready", worker="steady")
        service.wait_for("worker.ready", worker="flood")
        if kind == "stopped":
            service.until(lambda: b"pipe_write" in wchan(service.pid("flood")), "the flood waits in its own pipe")
        else:
            lost = service.wait_for("log.dropped", count=2)
            assert lost["count"] > 0
            assert "cannot write to stdout" in lost["reason"]
        seen = [kill_and_recover(service, "steady")[0]["detect_s"] for _ in range(3)]
        assert statistics.median(seen) < 0.02
        assert not service.seen("pump.ended")
