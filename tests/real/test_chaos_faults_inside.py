"""Faults that a worker does to itself: each is noticed as its `detected` says, and by nobody but the worker it is done to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import kernel
from tests.real.chaos_rig import rig
from tests.real.inside_acts import look, rss

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.chaos_rig import Rig

BEAT_WITHIN = 0.8  # seconds, of the rig's target
CODES = [0, 1, 2, 70, 78, 137, *range(200, 246, 5)]
GREEDY = """
[workers.target]
target = "greedy:main"
chaos = true
backoff = { first = "0s", initial = "50ms" }
"""
GREEDY_MODULE = """
def main(heart):
    "Wants a little more all the time, and lets go of it now and then."
    heart.ready()
    kept = []
    while not heart.wait(0.02):
        kept.append(bytearray(1 << 20))
        if len(kept) > 50:
            kept.clear()
        heart.beat()
"""


def endings(service: Rig) -> list[str]:
    return [event["spawn_id"] for event in service.seen("worker.ended", worker="target")]


def lives_through(service: Rig, fault: dict[str, object], seconds: float) -> None:
    """It is ready all that time, in the same life."""
    deadline = time.monotonic() + seconds
    service.until(lambda: time.monotonic() > deadline, "time goes by")
    row = service.worker("target")
    assert (row["spawn_id"], row["phase"]) == (fault["spawn_id"], "ready")
    for event in ("worker.ended", "worker.hung", "worker.stopping"):
        assert not service.seen(event, worker="target")


def test_an_exit_is_seen_as_its_code(tmp_path: Path) -> None:
    """Every code is what the worker said: neither 137 a signal, nor 200 and more a step of ours before it."""
    more = "max_failures = 100\nnever_restart = [78]\nsuccess = [0, 2]\n"
    with rig(tmp_path, more=more) as service:
        for number, code in enumerate(code for code in CODES if code != 78):
            fault = service.inject("exit", "target", code=code)
            ended = service.wait_for("worker.ended", worker="target", count=number + 1)
            assert (ended["exit_kind"], ended["exit_code"], ended.get("signal")) == ("exited", code, None)
            assert ended["result"] == ("success" if code == 0 else "exit-code")
            assert ended["level"] == ("info" if code in {0, 2} else "warning")
            assert ended["chaos_id"] == fault["chaos_id"]
            service.wait_for("worker.ready", worker="target", count=number + 2)
        service.inject("exit", "target", code=78)
        service.wait_for("worker.quarantined", worker="target")


def test_who_ignores_term_is_killed_after_its_grace(tmp_path: Path) -> None:
    """The service restarts it, so that it shows: SIGTERM, its grace, SIGKILL; the next life hears SIGTERM again."""
    with rig(tmp_path, more='grace = "300ms"') as service:
        fault = service.inject("ignore-term", "target")
        service.wait_for("worker.killed", worker="target", spawn_id=fault["spawn_id"])
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["signal"], ended["chaos_id"]) == ("SIGKILL", fault["chaos_id"])
        assert service.undone(fault)["reason"] == "ended"
        service.wait_for("worker.ready", worker="target", count=2)
        service.ask("restart", workers=["target"], wait=True)
        assert len(service.seen("worker.killed", worker="target")) == 1


def test_an_exit_is_seen_though_a_daemon_holds_the_pipes(tmp_path: Path) -> None:
    """Its pipes have no end, and nobody waits for that; what it left behind is swept before the next life begins."""
    with rig(tmp_path) as service:
        fault = service.inject("grandchild", "target", code=7)
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["exit_code"], ended["chaos_id"]) == (7, fault["chaos_id"])
        assert ended["detect_s"] < 0.5
        swept = service.wait_for("worker.orphan_swept", worker="target", spawn_id=fault["spawn_id"])
        assert not kernel.stat(swept["orphan_pid"])
        assert service.undone(fault)["reason"] == "ended"
        service.wait_for("worker.ready", worker="target", count=2)


def test_a_daemon_of_a_worker_that_lives_on_is_swept_at_its_end(tmp_path: Path) -> None:
    """With exit = false nothing shows before that."""
    with rig(tmp_path) as service:
        fault = service.inject("grandchild", "target", exit=False)
        service.ask("restart", workers=["target"], wait=True)
        service.wait_for("worker.orphan_swept", worker="target", spawn_id=fault["spawn_id"])


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_a_busy_worker_is_no_hung_one(tmp_path: Path, how: str) -> None:
    """As long as its beats come in time, however busy it is beside its work."""
    with rig(tmp_path) as service:
        fault = service.inject("cpu", "target", how=how, n=1, load=100, seconds=2 * BEAT_WITHIN)
        assert service.undone(fault)["reason"] == "over"
        lives_through(service, fault, BEAT_WITHIN)


def test_a_leak_grows_at_its_rate_and_stays_at_its_ceiling(tmp_path: Path) -> None:
    """Really used, and not a page beyond."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        before = rss(pid)
        fault = service.inject("leak", "target", rate="20MiB", ceiling="16MiB")
        service.until(lambda: rss(pid) - before > 15 << 20, "it has leaked")
        assert time.monotonic() - fault["at"] > 0.7, "20 MiB a second"
        lives_through(service, fault, BEAT_WITHIN)
        assert rss(pid) - before < 20 << 20
        service.halt()
        assert rss(pid) - before < 4 << 20


def test_a_leak_may_end_in_a_memory_error(tmp_path: Path) -> None:
    """Raised where the worker just is; that is its end, with a traceback."""
    with rig(tmp_path) as service:
        fault = service.inject("leak", "target", rate="1GiB", ceiling="8MiB", then="memory-error")
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["exit_code"], ended["chaos_id"]) == (1, fault["chaos_id"])
        assert "MemoryError: chaos: a leak has reached its ceiling of 8388608 bytes" in ended["stack"]
        service.wait_for("worker.ready", worker="target", count=2)


def test_a_leak_may_end_at_a_limit(tmp_path: Path) -> None:
    """Then what the worker itself asks for is refused by the kernel."""
    (tmp_path / "greedy.py").write_text(GREEDY_MODULE)
    with rig(tmp_path, GREEDY) as service:
        service.inject("leak", "target", rate="1GiB", ceiling="8MiB", then="limit")
        assert "MemoryError" in service.wait_for("worker.ended", worker="target", exit_code=1, stack=bool)["stack"]


def test_a_fork_storm_ends_with_the_life(tmp_path: Path) -> None:
    """All of its children are gone then, killed or not; the next life has none."""
    with rig(tmp_path) as service:
        pid = service.pid("target")
        service.inject("fork-storm", "target", n=30)
        service.until(lambda: len(kernel.children(pid)) == 30, "they are there")
        children = kernel.children(pid)
        service.kill(pid)
        service.wait_for("worker.ready", worker="target", count=2)
        assert not [child for child in children if kernel.stat(child)]
        assert look(service, service.pid("target")).children == 0


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("hb-stop", {}),
        ("hb-slow", {"delay": "3s"}),
        ("hang", {"how": "gil"}),
        ("pipe-close", {}),
        ("pipe-blackhole", {}),
    ],
)
def test_no_beat_is_a_hang(tmp_path: Path, kind: str, parameters: dict[str, Any]) -> None:
    """Found when beat_within is over, and not before; the worker is put down, and the next life beats."""
    with rig(tmp_path) as service:
        fault = service.inject(kind, "target", **parameters)
        hung = service.wait_for("worker.hung", worker="target")
        assert hung["chaos_id"] == fault["chaos_id"]
        assert hung["monotonic_s"] - fault["at"] >= BEAT_WITHIN - 0.1
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["result"], ended["chaos_id"]) == ("watchdog", fault["chaos_id"])
        service.wait_for("worker.ready", worker="target", count=2)
        assert len(endings(service)) == 1


@pytest.mark.parametrize(
    ("kind", "parameters", "lasting"),
    [
        ("hb-slow", {"delay": "200ms", "jitter": "200ms", "seed": 3}, True),
        ("hb-burst", {"n": 100_000}, False),
        ("pipe-slice", {}, True),
        ("hb-stop", {}, True),
    ],
)
def test_what_is_no_hang(tmp_path: Path, kind: str, parameters: dict[str, Any], *, lasting: bool) -> None:
    """Beats that come late, in crowds or in pieces, and a silence shorter than beat_within."""
    with rig(tmp_path) as service:
        seconds = None if not lasting else BEAT_WITHIN / 2 if kind == "hb-stop" else 3 * BEAT_WITHIN
        fault = service.inject(kind, "target", seconds=seconds, **parameters)
        if lasting:
            assert service.undone(fault)["reason"] == "over"
        lives_through(service, fault, 3 * BEAT_WITHIN)
        assert not service.seen("worker.protocol_violated")


@pytest.mark.parametrize("kind", ["pipe-garbage", "pipe-truncate", "pipe-oversize"])
def test_nonsense_on_the_pipe_is_told_and_borne(tmp_path: Path, kind: str) -> None:
    """Three times it is told, and the good beats among it count."""
    with rig(tmp_path) as service:
        fault = service.inject(kind, "target", n=10)
        told = service.wait_for("worker.protocol_violated", worker="target", count=3)
        assert (told["count"], told["spawn_id"]) == (3, fault["spawn_id"])
        lives_through(service, fault, 2 * BEAT_WITHIN)
        assert len(service.seen("worker.protocol_violated")) == 3


@pytest.mark.parametrize("kind", ["pipe-garbage", "pipe-truncate", "pipe-oversize"])
def test_too_much_nonsense_is_the_end(tmp_path: Path, kind: str) -> None:
    """Of that life: after a hundred lines."""
    with rig(tmp_path) as service:
        parameters: dict[str, Any] = {"size": 513} if kind == "pipe-oversize" else {}
        fault = service.inject(kind, "target", n=110, **parameters)
        ended = service.wait_for("worker.ended", worker="target")
        assert (ended["result"], ended["chaos_id"]) == ("protocol", fault["chaos_id"])
        assert ended["why"].startswith("100 lines of nonsense")
        service.wait_for("worker.ready", worker="target", count=2)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_is_as_long_as_it_says(tmp_path: Path, stream: str) -> None:
    """So many bytes of lines of such a length, and then silence."""
    with rig(tmp_path) as service:
        fault = service.inject("log-flood", "target", stream=stream, line=100, limit=50_050)
        service.wait_for("worker.output", msg=lambda msg: "line 499 of a flood" in msg, stream=stream)
        service.halt()
        lines = service.seen("worker.output", worker="target")
        assert len(lines) == 500
        assert {len(line["msg"]) for line in lines} == {99}
        lives_through(service, fault, 0.0)
