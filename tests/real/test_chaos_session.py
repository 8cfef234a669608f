"""A client that hurts a service: what it did is undone when it is gone, and it sees everything that came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.chaos import actions, probes, record
from supervisor.chaos.observer import Observer
from supervisor.chaos.session import Halted, Refused, Session, Usage, halt
from supervisor.cli import client
from tests.real.chaos_service import at_hand, service
from tests.real.control_world import ROOT
from tests.real.copied import Copy

if TYPE_CHECKING:
    from pathlib import Path

FREEZES = """
import signal, sys
from supervisor.chaos.observer import Observer
from supervisor.chaos.session import Session
session = Session(sys.argv[1])
session.inject("freeze", ["w-1"], seconds=600)
print("frozen", flush=True)
signal.pause()
"""


def is_stopped(pid: int) -> bool:
    now = kernel.stat(pid)
    return now is not None and now.state == "T"


def test_an_injected_fault_is_seen_from_beginning_to_end(tmp_path: Path) -> None:
    """The action returns when the worker has recovered; the record has the fault, its events without a gap, and samples."""
    with at_hand(service(tmp_path)) as hand:
        done = actions.inject("kill", worker="w-*")
        assert done["over"]
        fault = done["faults"][0]
        assert fault["outcome"] == "recovered"
        assert 0 < fault["detect_s"] < fault["recovery_s"] < 5
        assert probes.all_ready(within=5)
        assert probes.hurt() == []
        assert probes.count("worker.ended") == probes.count("chaos.injected") == 1
        assert probes.recovery("kill") == pytest.approx(fault["recovery_s"], abs=1e-6)
        assert 0.5 < probes.availability("w-*") < probes.availability("calm") == 1.0
        hand.observer.end()
        seen = hand.binding.record()
        assert record.read(record.as_json(seen)) == seen
        assert [one.chaos_id for one in seen.faults] == [fault["chaos_id"]]
        assert seen.missing == ()
        assert seen.samples
        assert all(row.phase for sample in seen.samples for row in sample.workers)
        names = [event["event"] for event in seen.events]
        assert (
            names.index("chaos.injected") < names.index("worker.ended") < len(names) - names[::-1].index("worker.ready")
        )
        assert seen.before is not None
        assert seen.after is not None
        assert not seen.after.strangers + seen.after.zombies
        assert not seen.after.doubles


def test_a_fault_that_lasts_is_undone_at_its_time_and_the_worker_lives_on(tmp_path: Path) -> None:
    """A short freeze ends with SIGCONT: the same process goes on."""
    with at_hand(service(tmp_path)) as hand:
        pid = hand.service.pid("w-0")
        done = actions.inject("freeze", worker="w-0", seconds=0.2)
        assert done["over"]
        assert done["faults"][0]["outcome"] == "passed"
        assert 0.1 < done["faults"][0]["undone_s"] < 1.0
        assert hand.service.pid("w-0") == pid
        assert probes.unrecovered() == []


def test_what_a_client_did_is_undone_when_it_is_killed(tmp_path: Path) -> None:
    """kill -9 of the client: within seconds the worker goes on, though its fault was to last for ten minutes."""
    with service(tmp_path, workers='[workers.w]\ntarget = "job:main"\nreplicas = 4\nchaos = true\n') as one:
        one.wait_for("supervisor.ready")
        pid = one.pid("w-1")
        with subprocess.Popen([sys.executable, "-c", FREEZES, one.socket], stdout=subprocess.PIPE, cwd=ROOT) as freezer:
            assert freezer.stdout is not None
            assert freezer.stdout.readline() == b"frozen\n"
            one.until(lambda: is_stopped(pid), "it is frozen")
            one.kill(one.supervisor)
            one.wait_for("supervisor.resumed")
            assert is_stopped(pid), "a supervisor's death undoes nothing: the client holds its lease with the next one"
            freezer.kill()
            assert one.wait_for("chaos.undone")["reason"] == "client gone"
        assert one.pid("w-1") == pid
        one.until(lambda: not is_stopped(pid), "it goes on")


def test_a_supervisor_that_dies_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """The lease is held again, the fault is still there, no event is missing and none comes twice."""
    with at_hand(service(tmp_path)) as hand:
        done = threading.Event()
        found: list[dict[str, object]] = []

        def hurt() -> None:
            found.append(actions.inject("freeze", worker="w-2", seconds=2.5))
            done.set()

        # beat_within is 1 s: the worker is found hung while the next supervisor is at it.
        thread = threading.Thread(target=hurt)
        thread.start()
        hand.service.wait_for("worker.frozen")
        for _ in range(3):
            hand.service.kill_supervisor()
            hand.service.kill(hand.service.pump)
        thread.join(30)
        assert done.is_set()
        assert found[0]["over"]
        assert probes.count("supervisor.resumed") == 3
        assert not probes.same_supervisor()
        assert probes.same_anchor()
        assert actions.settle(within=20)
        hand.observer.end()
        seqs = [event["seq"] for event in hand.observer.record().events if "seq" in event]
        assert len(seqs) == len(set(seqs))
        assert hand.observer.record().missing == ()


def test_a_halt_by_somebody_else_ends_a_session(tmp_path: Path) -> None:
    """`chaos halt` undoes what it did, and it injects nothing more; its own halt is no such end."""
    with at_hand(service(tmp_path)) as hand:
        hand.session.inject("freeze", ["w-0"], seconds=60)
        assert len(actions.halt()) == 1
        assert actions.halt() == []
        hand.session.inject("freeze", ["w-1"], seconds=60)
        assert not hand.session.halted.is_set()
        assert len(halt(hand.service.socket)) == 1
        assert hand.session.halted.wait(5)
        with pytest.raises(Halted):
            hand.session.inject("freeze", ["w-2"])
        assert hand.binding.is_called_off()
        with pytest.raises(Halted):
            actions.rest(30)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"kind": "kil"}, Usage, "did you mean 'kill'"),
        ({"kind": "kill", "worker": "calm"}, Usage, "may be hit"),
        ({"kind": "kill", "count": 3}, Refused, "max_count = 2"),
        ({"kind": "kill", "count": 9}, Refused, "4 are ready"),
        ({"kind": "hang", "parameters": {"how": "softly"}}, Usage, "loop, gil, deadlock"),
    ],
)
def test_what_is_not_done_is_a_type_with_a_sentence(
    tmp_path: Path, words: dict[str, object], error: type[client.Denied], says: str
) -> None:
    """Refused is 3, wrong usage 2; nobody was hit."""
    with at_hand(service(tmp_path)):
        with pytest.raises(error, match=says):
            actions.inject(**words)  # type: ignore[arg-type]
        assert probes.count("chaos.injected") == 0


def test_a_service_without_chaos_says_what_to_do(tmp_path: Path) -> None:
    """It can be observed; nothing can be injected."""
    with at_hand(service(tmp_path, chaos="")), pytest.raises(Refused, match="enabled = true"):
        actions.inject("kill")


def test_nobody_waits_for_a_service_that_has_gone(tmp_path: Path) -> None:
    """Session and observer end; asking is told that nobody answers."""
    with service(tmp_path) as one:
        one.wait_for("supervisor.ready")
        session = Session(one.socket)
        session.inject("freeze", ["w-0"], seconds=60)
        one.stop()
        with pytest.raises(client.NoAnswer):
            session.chaos()
        began = time.monotonic()
        session.close()
        assert time.monotonic() - began < 5


def test_a_hold_survives_a_frozen_supervisor(tmp_path: Path) -> None:
    """The client waits for it and then asks again; its faults go on."""
    with at_hand(service(tmp_path)) as hand:
        hand.session.inject("freeze", ["w-3"], seconds=600)
        frozen = hand.service.supervisor
        os.kill(frozen, signal.SIGSTOP)
        hand.service.wait_for("supervisor.resumed", timeout=40)
        hand.observer.wait_until(lambda: bool(hand.observer.events("worker.ready", worker="w-3")), 20)
        assert not hand.session.halted.is_set()
        assert actions.settle(within=30)


def test_a_quiet_service_is_not_waited_for(tmp_path: Path) -> None:
    """When nothing has happened since the observer began, there is no last line to wait for."""
    with service(tmp_path) as one:
        one.wait_for("supervisor.ready")
        one.until(
            lambda: time.monotonic() - one.events[-1]["monotonic_s"] > 3, "nothing has happened for three seconds"
        )
        with Session(one.socket) as session, Observer(session) as observer:
            began = time.monotonic()
            observer.end()
            assert time.monotonic() - began < 2
            assert observer.record().events == ()
            assert observer.record().samples


def test_a_flood_of_output_is_not_followed(tmp_path: Path) -> None:
    """Then gaps in the numbers mean nothing, and the record says so; the events come all the same."""
    loud = '[workers.loud]\ntarget = "loud:main"\n'
    with at_hand(service(tmp_path, more=loud)) as hand:
        assert hand.observer.wait_until(lambda: hand.observer.record().missing is None, 20)
        assert actions.inject("kill", worker="w-1", within=30)["over"]
        assert probes.count("worker.ended", worker="w-1") == 1
        assert all(event["event"] != "worker.output" for event in hand.observer.record().events)


def test_what_is_asked_at_once_has_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was ready when it began was ready all the time, though the thread that looks has not come to it yet."""
    monkeypatch.setattr(Observer, "_sample", lambda _: None)
    with at_hand(service(tmp_path)):
        assert probes.availability() == 1.0


def test_a_long_run_keeps_fewer_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They never grow beyond their bound: of every two one is dropped, and the next come half as often."""
    monkeypatch.setattr("supervisor.chaos.observer.MOST_ROWS", 60)
    with service(tmp_path) as one:
        one.wait_for("supervisor.ready")
        with Session(one.socket) as session, Observer(session, every=0.01) as observer:
            assert observer.wait_until(lambda: observer.every >= 0.04, 20)
            samples = observer.record().samples
            assert 4 <= len(samples) <= 12
            assert list(samples) == sorted(samples, key=lambda sample: sample.at)


def test_what_a_dying_supervisor_did_is_found_out(tmp_path: Path) -> None:
    """It is killed again and again in the middle of requests: what was injected is known, no more and no less."""
    workers = '[workers.w]\ntarget = "job:main"\nreplicas = 4\nchaos = true\nmax_failures = 1000\n'
    with at_hand(service(tmp_path, max_count=4, workers=workers)) as hand:
        for number in range(12):
            kill = threading.Timer(0.0005 * number, hand.service.kill, args=[hand.service.supervisor])
            since = hand.service.mark
            kill.start()
            try:
                for _ in range(4):
                    hand.binding.inject("term", [f"w-{number % 4}"])
            except Refused:  # it has been hit a moment ago
                pass
            kill.join()
            hand.service.wait_for("supervisor.resumed", since=since)
        assert actions.settle(within=30)
        hand.observer.catch_up()
        failed = [event["chaos_id"] for event in hand.observer.events("chaos.undone") if event["reason"] == "failed"]
        told = [
            event["chaos_id"] for event in hand.observer.events("chaos.injected") if event["chaos_id"] not in failed
        ]
        assert sorted(told) == sorted(fault.chaos_id for fault in hand.session.faults)
        assert told


STORM = """
import json, sys
from supervisor.chaos import actions, probes
print(json.dumps([
    actions.storm(mean=0.3, least=0.2, lasting=1.5, kinds=["kill"], seed=4),
    actions.settle(within=20), probes.hurt(), probes.unrecovered(), probes.broken_invariants(),
]))
actions.inject("freeze", worker="w-0", seconds=600, wait=False)
"""


def test_actions_and_probes_work_by_themselves(tmp_path: Path) -> None:
    """Under the Chaos Toolkit nobody binds them: they find the service by the environment, and undo what is left at the end."""
    with service(tmp_path, workers='[workers.w]\ntarget = "job:main"\nreplicas = 4\nchaos = true\n') as one:
        one.wait_for("supervisor.ready")
        env = {**os.environ, "NINELIVES_SOCKET": one.socket, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", STORM], env=env, capture_output=True, text=True, timeout=50, check=True
        )
        blown, *rest = json.loads(done.stdout)
        assert blown["injected"] >= 2
        assert blown["injected"] == len(one.seen("chaos.injected")) - 1
        assert rest == [True, [], [], []]
        assert one.wait_for("chaos.undone")["reason"] == "asked"


def test_a_pool_answers_rightly_while_its_workers_are_killed(tmp_path: Path) -> None:
    """Every result comes and is right; so many workers were killed."""
    with at_hand(service(tmp_path)):
        blown = actions.pool_storm(tasks=400, kills=8, seed=2)
        assert (blown["right"], blown["wrong"], blown["lost"], blown["kills"]) == (400, 0, 0, 8)


def test_that_a_fault_failed_is_safe_before_whoever_asked_may_hear_of_it(tmp_path: Path) -> None:
    """Here the supervisor is killed in between; else it would stand in the log as done, and be known to nobody."""
    copy = Copy(tmp_path)
    copy.change("chaos/faults/term", lambda text: text.replace("scene.signal(signal.SIGTERM)", 'raise OSError("no")'))
    dies = "__import__('os').kill(__import__('os').getpid(), 9)"
    copy.change("chaos/saboteur", lambda text: text.replace("raise Impossible(str(error)) from error", dies))
    config = '[chaos]\nenabled = true\n[workers.w]\ntarget = "workers.ticker:main"\nchaos = true\n'
    with copy.service(tmp_path, config) as one:
        one.wait_for("supervisor.ready")
        with pytest.raises(client.Dropped):
            Session(one.socket).inject("term", ["w"])
        one.wait_for("supervisor.resumed")
        (told,) = one.seen("chaos.injected")
        assert one.seen("chaos.undone", chaos_id=told["chaos_id"], reason="failed")
