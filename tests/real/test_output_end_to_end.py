"""Workers' words through the whole service: nothing lost, nobody hurt, and the reason of an end in its event."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

import pytest

from supervisor.cli import client, follow
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

WORDS = r"""
import json, os, sys, time

def write(fd, data):
    "All of it: a signal may cut a write short."
    while data:
        data = data[os.write(fd, data):]

def flood(heart):
    "As fast as it can, until it is stopped."
    heart.ready()
    block = b"".join(b"%-98d\n" % number for number in range(600))
    while not heart.stopping:
        write(1, block)
        heart.beat()

def lines(heart, *, count, code=0):
    "Numbered lines, as fast as it can, then the end with this code."
    heart.ready()
    for first in range(0, count, 100):
        write(1, b"".join(b"%-98d\n" % number for number in range(first, min(first + 100, count))))
    os._exit(code)

def steady(heart, every=0.02):
    "A numbered line now and then."
    heart.ready()
    number = 0
    while not heart.wait(every):
        number += 1
        os.write(1, b"%d\n" % number)
        heart.beat()

def say(heart, *, what):
    heart.ready()
    os.write(1, what["out"].encode("latin-1"))
    os.write(2, what["err"].encode("latin-1"))
    while not heart.wait(1.0):
        pass

def fail(heart):
    heart.ready()
    print("about to fail", flush=True)
    raise KeyError("no such thing")
"""
STEADY = """
[workers.steady]
target = "words:steady"
beat_within = "5s"
"""


class Elsewhere(Service):
    """A service whose stdout is `out` (owned by the caller); its events are heard as `ninelives events -f` hears them."""

    def __init__(self, folder: Path, config: str, out: int, modules: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, config, modules=modules or {"words": WORDS})
        self.out = out

    def start(self, *more: str) -> Self:
        """See Service."""
        with open(self.folder / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [*self.run, str(self.config), "--name", self.name, "--log-format", "json", *more],
                env=self.env, stdin=subprocess.DEVNULL, stdout=self.out, stderr=errors,
            )  # fmt: skip
        self._silent = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        """Until the service has gone."""
        while self.process.poll() is None:
            try:
                for line in follow._lines(self.socket, {"output": False}, follow=True):
                    with self._news:
                        self.events.append(json.loads(line))
                        self._news.notify_all()
            except (client.NoAnswer, client.Denied):
                select_nothing(0.02)
        with self._news:
            self._silent = True
            self._news.notify_all()


def select_nothing(seconds: float) -> None:
    threading.Event().wait(seconds)


class Drain(threading.Thread):
    """Reads a pipe to its end, as fast as it comes, and keeps what `keep` says."""

    def __init__(self, fd: int, *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.fd, self.keep = fd, keep
        self.data, self.size = bytearray(), 0
        self.start()

    def run(self) -> None:
        while chunk := os.read(self.fd, 1 << 18):
            self.size += len(chunk)
            if self.keep:
                self.data += chunk
        os.close(self.fd)

    def lines(self) -> list[dict[str, Any]]:
        self.join(20)
        return parsed(bytes(self.data))


def parsed(data: bytes) -> list[dict[str, Any]]:
    """Every line, each whole and none longer than journald bears."""
    assert data.endswith(b"\n") or not data
    raw = data.splitlines()
    assert all(len(line) < 4096 for line in raw)
    return [json.loads(line) for line in raw]


def assert_told_once(lines: list[dict[str, Any]]) -> None:
    """No gap and no repetition in seq; what log.dropped counts is a gap that is explained."""
    at = 0
    for line in lines:
        assert line["seq"] > at
        at = line["seq"]
    lost = at - len(lines)
    assert lost == sum(line["count"] for line in lines if line["event"] == "log.dropped" and "worker" not in line)


def kill_and_recover(service: Service, worker: str) -> tuple[dict[str, Any], float]:
    """SIGKILL it, see it ready again; its worker.ended, and how long after the kill that was written (wall clock)."""
    since, pid, killed_at = service.mark, service.pid(worker), time.time()
    service.kill(pid)
    ended = service.wait_for("worker.ended", since=since, worker=worker)
    service.until(lambda: (row := service.worker(worker))["phase"] == "ready" and row["pid"] != pid, "it is back")
    stamp = ended["timestamp"]
    second = time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")
    return ended, calendar_s(second) + float(stamp[19:-1]) - killed_at


def calendar_s(second: time.struct_time) -> float:
    return time.mktime(second) - time.mktime(time.gmtime(0))


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
        own = follow._lines(service.socket, {"worker": "steady", "events": "worker.output", "last": 0}, follow=True)
        began = time.monotonic()
        for _ in range(5):
            assert json.loads(next(own))["msg"].isdecimal()
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


def wchan(pid: int) -> bytes:
    """Where in the kernel it waits."""
    with open(f"/proc/{pid}/wchan", "rb") as file:
        return file.read()


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


# -- death of the pump


def test_kill_9_of_the_pump_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """While three workers write numbered lines and crash: each life's lines once, in order, before its ending, seq gapless."""
    path = tmp_path / "log"
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    config = """
        [workers.writer]
        target = "words:lines"
        replicas = 3
        args = { count = 1500, code = 3 }
        max_failures = 100000
        backoff = { first = "0s", initial = "1ms", max = "20ms", jitter = "5ms" }
    """
    chance = random.Random(3)
    with Elsewhere(tmp_path, config, out) as service:
        service.wait_for("worker.ended", count=10)
        for _ in range(9):  # a pump that dies young is given more and more time, so more would take long
            service.kill(service.pump)
            select_nothing(chance.random() * 0.3)
    os.close(out)
    lines = parsed(path.read_bytes())
    assert_told_once(lines)
    assert len([line for line in lines if line["event"] == "pump.ended"]) >= 9
    said: dict[str, list[int]] = defaultdict(list)
    ended: dict[str, int] = defaultdict(int)
    for line in lines:
        if line["event"] == "worker.output":
            assert not ended[line["spawn_id"]]
            said[line["spawn_id"]].append(int(line["msg"]))
        elif line["event"] == "worker.ended":
            ended[line["spawn_id"]] += 1
            if line["how"] == "exit code 3":
                assert [int(text) for text in line["last_lines"]] == [1495, 1496, 1497, 1498, 1499]
                assert len(said[line["spawn_id"]]) == 1500
    assert set(ended.values()) == {1}
    assert len(ended) > 12
    for numbers in said.values():
        assert numbers == list(range(len(numbers)))


def test_a_frozen_pump_is_replaced(tmp_path: Path) -> None:
    """SIGSTOP: another one goes on; supervision does not wait for it, and nothing is lost or doubled."""
    path = tmp_path / "log"
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    with Elsewhere(tmp_path, STEADY, out) as service:
        service.until(lambda: b'"msg":"9"' in path.read_bytes(), "it writes")
        frozen, since, began = service.pump, service.mark, time.monotonic()
        service.kill(frozen, number=signal.SIGSTOP)
        pid = service.pid("steady")
        service.kill(pid)
        service.until(lambda: service.worker("steady")["pid"] not in (pid, None), "a new life, though no event can be told")
        assert service.wait_for("pump.ended", since=since)["signal"] == "SIGKILL"
        assert time.monotonic() - began < 8.0
        assert service.wait_for("worker.ended", since=since)["last_lines"]
        assert service.pump != frozen
    os.close(out)
    lines = parsed(path.read_bytes())
    assert_told_once(lines)
    said: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if line["event"] == "worker.output":
            said[line["spawn_id"]].append(int(line["msg"]))
    assert len(said) == 2
    for numbers in said.values():
        assert numbers == list(range(1, len(numbers) + 1))


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


# -- forms of output


def test_every_form_of_output(tmp_path: Path) -> None:
    """A JSON line is kept as data, a traceback is one event, binary is marked; a file gets it raw; inherit passes by us."""
    out = 'plain\n{"level":"warning","msg":"disk","free":3}\n\xff\xfe\n' + "x" * 9000 + "\n"
    err = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'b'\nafter\n"
    text = json.dumps({"out": out, "err": err})
    modules = {"words": WORDS, "texts": f"import words\ndef say(heart):\n    words.say(heart, what={text})\n"}
    config = f"""
        [workers.captured]
        target = "texts:say"
        [workers.filed]
        target = "texts:say"
        output = {{ file = "{tmp_path}/raw", max = "1M", keep = 2 }}
        [workers.heir]
        command = ["sh", "-c", "echo '{{\\"event\\":\\"inherited\\"}}'; exec sleep 100"]
        output = "inherit"
        [workers.failing]
        target = "words:fail"
        restart = "temporary"
    """
    with Service(tmp_path, config, modules=modules) as service:
        service.wait_for("worker.output", worker="captured", stream="stderr", msg="after")
        service.wait_for("worker.output", worker="captured", part=3)
        service.wait_for("inherited")
        service.until(lambda: os.path.exists(tmp_path / "raw") and os.path.getsize(tmp_path / "raw") >= len(out + err), "filed")
        ended = service.wait_for("worker.ended", worker="failing")
    said = service.seen("worker.output", worker="captured", stream="stdout")
    assert (said[0]["msg"], said[0]["level"]) == ("plain", "info")
    assert (said[1]["msg"], said[1]["level"], said[1]["data"]["free"]) == ("disk", "warning", 3)
    assert (said[2]["msg"], said[2]["binary"]) == ("\\xff\\xfe", True)
    assert "".join(line["msg"] for line in said[3:]) == "x" * 9000
    traceback, after = service.seen("worker.output", worker="captured", stream="stderr")
    assert traceback["traceback"] == err.removesuffix("\nafter\n")
    assert traceback["msg"] == "KeyError: 'b'"
    assert after["msg"] == "after"
    assert not service.seen("worker.output", worker="filed")
    assert sorted((tmp_path / "raw").read_bytes().splitlines()) == sorted((out + err).encode("latin-1").splitlines())
    assert ended["last_lines"][-1] == "KeyError: 'no such thing'"
    assert ended["seq"] > service.seen("worker.output", worker="failing")[-1]["seq"]


# -- people who look


def test_logs_and_events_on_the_command_line(tmp_path: Path) -> None:
    """`logs` by worker, stream, pattern and age, and -f; `events -f` shows no output and goes on behind a killed pump."""
    config = STEADY + '[workers.failing]\ntarget = "words:fail"\nrestart = "temporary"\n'
    with Service(tmp_path, config, modules={"words": WORDS}) as service:
        command = [sys.executable, "-m", "supervisor.cli.main"]

        def ninelives(*words: str) -> list[dict[str, Any]]:
            done = subprocess.run([*command, *words], env=service.env, capture_output=True, text=True, check=True, timeout=20)
            return [json.loads(line) for line in done.stdout.splitlines()]

        service.wait_for("worker.ended", worker="failing")
        service.wait_for("worker.output", worker="steady", count=20)
        assert [line["msg"] for line in ninelives("logs", "-w", "failing", "--stream", "stdout")] == ["about to fail"]
        assert {line["stream"] for line in ninelives("logs", "-w", "fail*", "--stream", "stderr")} == {"stderr"}
        assert [line["msg"] for line in ninelives("logs", "--grep", "^1.$", "--last", "3")] == ["17", "18", "19"]
        assert len(ninelives("logs", "--since", "1h")) >= 20
        assert {line["event"] for line in ninelives("logs", "--since", "5s")} == {"worker.output"}
        assert [line["worker"] for line in ninelives("events", "--event", "worker.ended")] == ["failing"]
        both = [
            subprocess.Popen([*command, *words], env=service.env, stdout=subprocess.PIPE, text=True)
            for words in (("events", "-f"), ("logs", "-f", "-w", "steady"))
        ]
        events, logs = both
        assert events.stdout is not None
        assert logs.stdout is not None
        first = json.loads(logs.stdout.readline())
        service.kill(service.pump)
        numbers = [int(first["msg"])] + [int(json.loads(logs.stdout.readline())["msg"]) for _ in range(80)]
        assert numbers == list(range(numbers[0], numbers[0] + 81))
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["event"] != "pump.ended":
            seen.append(json.loads(events.stdout.readline()))
        assert len({line["seq"] for line in seen}) == len(seen)
        assert not [line for line in seen if line["event"] == "worker.output"]
        for each in both:
            each.send_signal(signal.SIGINT)
            assert each.wait(10) == 0
            each.stdout.close()  # type: ignore[union-attr]
