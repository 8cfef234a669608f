"""Workers' words through the whole service: nothing lost or doubled, and the reason of an end in its event."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.real.elsewhere import STEADY, WORDS, Elsewhere, assert_told_once, parsed, select_nothing
from tests.real.living import is_alive
from tests.real.service import Service

if TYPE_CHECKING:
    from pathlib import Path


# -- death of the pump


def is_dead(pid: int) -> bool:
    return not is_alive(pid)


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
            pump = service.pump
            service.kill(pump)
            service.until(functools.partial(is_dead, pump), "it is dead: the next to be killed is another")
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


def test_a_pump_killed_while_the_service_stops_is_missed_by_nobody(tmp_path: Path) -> None:
    """What was still in pipes is written by one more pump: the last line of the log is the service's own last."""
    path = tmp_path / "log"
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    with Elsewhere(tmp_path, STEADY, out) as service:
        for _ in range(4):  # the next one is not started at once
            service.kill(service.pump)
        assert service.stop() == 0
    os.close(out)
    lines = parsed(path.read_bytes())
    assert_told_once(lines)
    assert lines[-1]["event"] == "supervisor.stopped"
    assert [line["event"] for line in lines].count("worker.ended") == 1


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
        service.until(
            lambda: service.worker("steady")["pid"] not in (pid, None), "a new life, though no event can be told"
        )
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
        service.until(
            lambda: os.path.exists(tmp_path / "raw") and os.path.getsize(tmp_path / "raw") >= len(out + err), "filed"
        )
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
            done = subprocess.run(
                [*command, *words], env=service.env, capture_output=True, text=True, check=True, timeout=20
            )
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
