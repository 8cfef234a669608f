"""The verbs of chaos, asked of a real service: what is refused and why, what is counted, and how it ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.cli.client import Denied
from tests.real.chaos_rig import ACTS, Rig, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHAOS = """
[chaos]
enabled = {enabled}
parts = {parts}
max_count = {max_count}
max_percent = {max_percent}
abort_below = {abort_below}
protected = ["web-3"]
"""
DEFAULTS = {"enabled": "true", "parts": "false", "max_count": 2, "max_percent": 100, "abort_below": 0.5}
WORKERS = """
[workers.web]
target = "acts:steady"
replicas = 4
chaos = true
backoff = { first = "0s", initial = "50ms", max = "100ms" }
[workers.db]
target = "acts:steady"
[workers.tool]
command = ["sleep", "1000"]
chaos = true
"""


@contextmanager
def service(folder: Path, *, more: str = "", **rules: object) -> Iterator[Rig]:
    with Rig(folder, CHAOS.format(**{**DEFAULTS, **rules}) + WORKERS + more, modules={"acts": ACTS}) as one:
        one.wait_for("supervisor.ready")
        yield one


def reconfigure(one: Rig, **rules: object) -> None:
    one.config.write_text(CHAOS.format(**{**DEFAULTS, **rules}) + WORKERS)
    one.ask("reload")


def denied(one: Rig, kind: str, *workers: str, seconds: float | None = None, **more: Any) -> tuple[int, str]:
    with pytest.raises(Denied) as error:
        one.ask("inject", kind=kind, workers=list(workers), seconds=seconds, **more)
    return error.value.code, str(error.value)


def wait(one: Rig, seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    one.until(lambda: time.monotonic() > deadline, why)


def test_what_is_refused(tmp_path: Path) -> None:
    """3 for what may not be, 2 for what makes no sense; each a sentence and an event, and nothing was done."""
    with service(tmp_path) as one:
        before = one.status()["workers"]
        floor = "the service's own processes may not be hit: set parts = true under [chaos]"
        table: list[tuple[tuple[int, str], tuple[Any, ...], dict[str, Any]]] = [
            ((2, "no kind of fault is called 'frezee': did you mean 'freeze'?"), ("frezee", "web-0"), {}),
            (
                (2, "hang has no parameter 'hwo': did you mean 'how'?"),
                ("hang", "web-0"),
                {"parameters": {"hwo": "gil"}},
            ),
            ((2, "code: must lie between 0 and 255, 256 does not"), ("exit", "web-0"), {"parameters": {"code": 256}}),
            ((2, "kill is done to workers: name at least one"), ("kill",), {}),
            ((2, "seconds: 0 is not between 0 and 3600"), ("freeze", "web-0"), {"seconds": 0.0}),
            ((2, "seconds: 3601 is not between 0 and 3600"), ("freeze", "web-0"), {"seconds": 3601.0}),
            ((3, "no worker is called 'web': did you mean 'web-3'?"), ("kill", "web"), {}),
            ((3, "no worker is called 'web*': did you mean 'web-3'?"), ("kill", "web*"), {}),
            ((3, "db has not opted in: set chaos = true in its [workers] table"), ("kill", "db"), {}),
            ((3, "web-3 is protected by [chaos] protected"), ("kill", "web-3"), {}),
            ((3, floor), ("kill-supervisor",), {}),
            ((3, floor), ("kill-standby", "web-0"), {}),
        ]
        for wanted, (kind, *workers), more in table:
            since = one.mark
            assert denied(one, kind, *workers, **more) == wanted
            told = one.wait_for("chaos.refused", why=wanted[1], since=since)
            assert (told["kind"], told.get("workers", [])) == (kind, workers)
            wait(one, 0.1, "refusals are told ten times a second")
        code, said = denied(one, "kill", "web-0", "web-1", "tool")
        assert code == 3
        assert "3 of 4 workers would be under a fault, the most is 2 (max_count = 2, max_percent = 100)" in said
        assert denied(one, "kill", "web-0", "db")[0] == 3, "all or none"
        assert not one.seen("chaos.injected")
        assert [(row["worker"], row["spawn_id"]) for row in before] == [
            (row["worker"], row["spawn_id"]) for row in one.status()["workers"]
        ]


def test_chaos_is_off_unless_it_is_on(tmp_path: Path) -> None:
    """Then only `chaos` is answered; `halt` has nothing to do."""
    with service(tmp_path, enabled="false") as one:
        assert denied(one, "kill", "web-0") == (
            3,
            "chaos is not enabled here: set enabled = true under [chaos] and reload",
        )
        said = one.ask("chaos")
        assert (said["enabled"], said["active"]) == (False, [])
        assert said["may_hit"] == ["tool", "web-0", "web-1", "web-2"]
        assert one.ask("halt") == {"undone": []}


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    """But it is refused where the real one would be."""
    with service(tmp_path) as one:
        would = one.ask("inject", kind="kill", workers=["web-0", "web-1"], dry_run=True)
        assert [fault["worker"] for fault in would["faults"]] == ["web-0", "web-1"]
        assert (would["dry_run"], would["failed"]) == (True, [])
        assert denied(one, "kill", "db", dry_run=True)[0] == 3
        assert not one.seen("chaos.injected")
        assert one.ask("chaos")["ready"] == ["tool", "web-0", "web-1", "web-2"]


def test_what_the_service_says_of_itself(tmp_path: Path) -> None:
    """Who may be hit, who could be now, what goes on and until when."""
    with service(tmp_path) as one:
        fault = one.inject("freeze", "web-1", seconds=60.0, lease="mine")
        said = one.ask("chaos")
        assert said["may_hit"] == ["tool", "web-0", "web-1", "web-2"]
        assert said["ready"] == ["tool", "web-0", "web-2"]
        assert said["settings"] == {
            "max_count": 2, "max_percent": 100.0, "abort_below": 0.5, "parts": False, "protected": ["web-3"],
        }  # fmt: skip
        (active,) = said["active"]
        assert active == fault
        assert active["until"] - active["at"] == pytest.approx(60.0, abs=0.1)
        assert {kind["kind"] for kind in said["kinds"]} >= {"kill", "freeze", "hang"}
        one.halt()


def test_max_count_holds_for_all_clients_together(tmp_path: Path) -> None:
    """However many ask at once, and whatever each of their faults is waiting for."""
    with service(tmp_path) as one:
        frozen = one.pid("web-0")
        one.freeze(frozen)  # its order takes 2 s to fail: the others are asked for meanwhile
        answers: list[tuple[str, object]] = []

        def ask(*workers: str) -> None:
            try:
                answers.append((workers[0], one.ask("inject", kind="hb-stop", workers=list(workers), seconds=30.0)))
            except Denied as error:
                answers.append((workers[0], str(error)))

        threads = [threading.Thread(target=ask, args=names) for names in (("web-0", "web-1"), ("web-2",), ("tool",))]
        threads[0].start()
        one.wait_for("chaos.injected", worker="web-0")
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join(15)
        said = dict(answers)
        assert [each["worker"] for each in said["web-0"]["faults"]] == ["web-1"]  # type: ignore[index]
        assert [each["worker"] for each in said["web-0"]["failed"]] == ["web-0"]  # type: ignore[index]
        assert "the most is 2" in str(said["web-2"])
        assert "the most is 2" in str(said["tool"])
        one.thaw(frozen)
        one.halt()


def test_a_target_is_hit_once_however_often_it_is_named(tmp_path: Path) -> None:
    """One fault is one worker."""
    with service(tmp_path) as one:
        faults = one.ask("inject", kind="freeze", workers=["web-0", "web-0"])["faults"]
        assert len(faults) == 1
        one.halt()


def test_a_fault_that_could_not_be_done_is_not_blamed(tmp_path: Path) -> None:
    """A frozen worker obeys no order; what it dies of is told with the fault before that."""
    with service(tmp_path) as one:
        done = one.ask("inject", kind="freeze", workers=["web-0"], seconds=30)["faults"][0]
        assert "did not obey" in denied(one, "pipe-garbage", "web-0")[1]
        one.kill(done["pid"])
        assert one.wait_for("worker.ended", worker="web-0")["chaos_id"] == done["chaos_id"]


def test_halt_undoes_what_is_meant(tmp_path: Path) -> None:
    """One fault, those of a lease, all; again is no mistake, and it answers when they are undone."""
    with service(tmp_path, max_count=3) as one:
        first = one.inject("freeze", "web-0", lease="a")
        second = one.inject("freeze", "web-1", lease="b")
        third = one.inject("freeze", "web-2")
        one.until(lambda: all(state(one.pid(f"web-{at}")) == "T" for at in range(3)), "all are stopped")
        assert one.ask("halt", lease="b")["undone"] == [second["chaos_id"]]
        assert state(one.pid("web-1")) != "T"
        assert one.ask("halt", chaos_ids=[third["chaos_id"], "nobody's"])["undone"] == [third["chaos_id"]]
        assert one.ask("halt", lease="b")["undone"] == []
        assert state(one.pid("web-0")) == "T"
        assert one.ask("halt")["undone"] == [first["chaos_id"]]
        assert one.ask("halt")["undone"] == []
        one.wait_for("chaos.undone", reason="asked", count=3)


def test_a_second_halt_waits_for_the_first(tmp_path: Path) -> None:
    """Everything is undone when it answers, whoever undoes it."""
    with service(tmp_path) as one:
        fault = one.inject("hb-stop", "web-0", seconds=60.0)
        pid = one.pid("web-0")
        one.freeze(pid)  # so that to undo takes the 2 s until it is killed
        first = threading.Thread(target=one.ask, args=("halt",))
        first.start()
        one.until(lambda: not one.active(), "it is being undone")
        assert one.halt() == [fault["chaos_id"]]
        undone = one.undone(fault)
        assert undone["how"] == "killed, for it did not obey within 2 s"
        first.join(15)
        one.wait_for("worker.ready", worker="web-0", count=2)


def hold(one: Rig, lease: str) -> socket.socket:
    """A connection that holds it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(one.socket)
    connection.sendall(json.dumps({"verb": "hold", "lease": lease}).encode() + b"\n")
    return connection


def test_a_client_that_vanishes(tmp_path: Path) -> None:
    """As long as a connection holds the lease its fault goes on; then it is given 5 s, in which another may take it."""
    with service(tmp_path) as one:
        first = hold(one, "mine")
        fault = one.inject("freeze", "web-0", seconds=60.0, lease="mine")
        second = hold(one, "mine")
        wait(one, 5.5, "longer than a lease may be unheld")
        assert one.active() == [fault]
        first.close()
        gone_at = time.monotonic()
        second.close()
        undone = one.undone(fault)
        assert undone["reason"] == "client gone"
        assert 4.9 < undone["monotonic_s"] - gone_at < 7.5
        assert state(one.pid("web-0")) != "T"


def test_a_lease_is_over_when_it_is_halted(tmp_path: Path) -> None:
    """That is what its holder is told."""
    with service(tmp_path) as one, hold(one, "mine") as connection:
        one.inject("freeze", "web-0", seconds=60.0, lease="mine")
        one.ask("halt")
        connection.settimeout(10)
        assert json.loads(connection.recv(4096))["result"] == {"lease": "mine"}


def test_a_client_comes_back_after_the_supervisors_death(tmp_path: Path) -> None:
    """The next supervisor keeps the fault for whoever holds its lease within 5 s."""
    with service(tmp_path) as one:
        fault = one.inject("freeze", "web-0", seconds=60.0, lease="mine")
        first = hold(one, "mine")
        one.kill_supervisor()
        first.close()
        with hold(one, "mine"):
            wait(one, 5.5, "longer than a lease may be unheld")
            assert one.active() == [fault]
            assert one.halt() == [fault["chaos_id"]]


def test_below_the_floor_everything_is_undone(tmp_path: Path) -> None:
    """And nothing is injected until enough are ready again."""
    with service(tmp_path, max_count=4, abort_below=0.9) as one:
        fault = one.inject("freeze", "web-0", seconds=60.0)
        one.ask("inject", kind="spawn-fail", workers=["web-1"], seconds=60.0)
        aborted = one.wait_for("chaos.aborted")
        assert (aborted["ready"], aborted["wanted"], aborted["abort_below"]) == (5, 6, 0.9)
        undone = one.undone(fault)
        assert undone["reason"] == "floor: only 5 of 6 workers are ready (abort_below = 0.9)"
        assert state(one.pid("web-0")) != "T"
        one.wait_for("worker.ready", worker="web-1", count=2)
        one.halt()
        assert one.inject("kill", "web-0")


def test_nothing_is_injected_below_the_floor(tmp_path: Path) -> None:
    """Not into workers, nor into the service's own parts."""
    more = '[workers.lame]\ntarget = "acts:nobody"\nbackoff = { first = "1h", initial = "1h", max = "1h" }\n'
    with Rig(tmp_path, CHAOS.format(**{**DEFAULTS, "abort_below": 0.9, "parts": "true"}) + WORKERS + more,
             modules={"acts": ACTS}) as one:  # fmt: skip
        one.wait_for("worker.backed_off", worker="lame")
        one.wait_for("worker.ready", count=6)
        why = "floor: only 6 of 7 workers are ready (abort_below = 0.9)"
        assert denied(one, "kill", "web-0") == (3, why)
        assert denied(one, "kill-pump") == (3, why)
        one.ask("stop", workers=["lame"])
        assert one.inject("kill", "web-0")


@pytest.mark.parametrize("change", [{"enabled": "false"}, {"parts": "true"}])
def test_a_reload_that_allows_it_no_more(tmp_path: Path, change: dict[str, str]) -> None:
    """What went on is undone, and the worker lives on; another change of the rules leaves it alone."""
    with service(tmp_path) as one:
        fault = one.inject("freeze", "web-0", seconds=60.0)
        pid = one.pid("web-0")
        reconfigure(one, **change)
        if "enabled" in change:
            assert one.undone(fault)["reason"] == "not allowed any more"
            one.until(lambda: state(pid) != "T", "it goes on")
            assert denied(one, "kill", "web-0")[0] == 3
        else:
            assert one.active() == [fault]
            one.halt()
        assert one.pid("web-0") == pid


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("freeze", {}), ("hang", {"how": "gil"}), ("hang", {"how": "deadlock"}), ("ignore-term", {"restart": False}),
     ("fork-storm", {}), ("grandchild", {"exit": False}), ("pipe-blackhole", {}), ("leak", {"then": "limit"})],
)  # fmt: skip
def test_a_service_stops_with_faults_in_it(tmp_path: Path, kind: str, parameters: dict[str, Any]) -> None:
    """They are undone, and every worker leaves as if there had been none."""
    with service(tmp_path) as one:
        fault = one.inject(kind, "web-0", seconds=60.0, **parameters)
        began = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - began < 9, "within the grace, which is 10 s"
        assert one.seen("chaos.undone", chaos_id=fault["chaos_id"])
        (ended,) = one.seen("worker.ended", worker="web-0")
        assert (ended["exit_code"], ended["result"]) == (0, "success")
        assert not one.seen("worker.killed")
