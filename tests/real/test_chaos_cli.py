"""`ninelives chaos` as a user types it: what it says, what it does, how it ends, and what is left when it is gone."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import kernel
from supervisor.chaos import journal as journals
from supervisor.chaos import record
from tests.real.chaos_service import PYTHON, begun, service, typed
from tests.real.control_world import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.service import Service

ACTIONS, PROBES = "supervisor.chaos.actions", "supervisor.chaos.probes"


def calling(what: str, name: str, func: str, **arguments: Any) -> dict[str, Any]:
    module = PROBES if what == "probe" else ACTIONS
    return {
        "type": what, "name": name,
        "provider": {"type": "python", "module": module, "func": func, "arguments": arguments},
    }  # fmt: skip


def experiment(folder: Path, *method: dict[str, Any], tolerance: Any = True) -> str:
    """A file: everybody is ready, the method, everybody is ready."""
    probe = calling("probe", "everybody is ready", "all_ready", within=20) | {"tolerance": tolerance}
    tree = {
        "version": "1.0.0", "title": "a try", "description": "of the commands",
        "steady-state-hypothesis": {"title": "all is well", "probes": [probe]},
        "method": list(method),
        "rollbacks": [calling("action", "undo", "halt")],
    }  # fmt: skip
    path = folder / "experiment.json"
    path.write_text(json.dumps(tree))
    return str(path)


def is_stopped(pid: int) -> bool:
    now = kernel.stat(pid)
    return now is not None and now.state == "T"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Service]:
    """A service that is ready to be hurt."""
    with service(tmp_path) as running:
        running.wait_for("supervisor.ready")
        yield running


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Service]:
    """One whose workers may be silent for ever: nobody but chaos itself ends a freeze."""
    workers = '[workers.w]\ntarget = "job:main"\nreplicas = 4\nchaos = true\n'
    with service(tmp_path, workers=workers) as running:
        running.wait_for("supervisor.ready")
        yield running


# -- list, halt


def test_list_without_a_service_tells_what_this_machine_could_do(tmp_path: Path) -> None:
    """Kinds and their parameters are known without one; a service that was named and is not there is an error."""
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    env.pop("RUNTIME_DIRECTORY", None)
    done = subprocess.run(
        [*PYTHON, "list", "--socket", str(tmp_path / "x")], cwd=ROOT, env=env, capture_output=True, check=False
    )
    assert done.returncode == 4
    done = subprocess.run([*PYTHON, "list", "--json", "kill"], cwd=ROOT, env=env, capture_output=True, check=False)
    if b"no service answers" in done.stderr:  # another service of this user may be running
        assert done.returncode == 0
        assert [kind["kind"] for kind in json.loads(done.stdout)["kinds"]] == ["kill"]


def test_list_tells_who_may_be_hit_and_how_much(one: Service) -> None:
    """For people a line a kind; the parameters of a kind that is named; JSON for scripts."""
    whole = typed(one, "list")
    assert whole.returncode == 0
    assert "may be hit: w-0, w-1, w-2, w-3\nat a time: 2, and no more than 100 % of them" in whole.stdout
    assert re.search(r"^freeze +outside +yes +perhaps +\S", whole.stdout, re.MULTILINE)
    assert "-p how=loop (loop|gil|deadlock)" in typed(one, "list", "hang").stdout
    assert json.loads(typed(one, "list", "--json").stdout)["may_hit"] == ["w-0", "w-1", "w-2", "w-3"]
    assert typed(one, "list", "kil").returncode == 2


def test_halt_undoes_what_goes_on_and_may_be_repeated(patient: Service) -> None:
    """By whomever it was injected; who is just injecting is told, and ends with 4."""
    pid = patient.pid("w-0")
    injecting = begun(patient, "inject", "freeze", "--worker", "w-0", "--for", "10m", "--yes")
    patient.until(lambda: is_stopped(pid), "it is frozen")
    assert typed(patient, "halt").stdout.startswith("undone: ")
    patient.until(lambda: not is_stopped(pid), "it goes on")
    assert typed(patient, "halt").stdout == "nothing was going on\n"
    injecting.communicate(timeout=30)
    assert injecting.returncode == 4


# -- inject


def test_inject_waits_and_says_what_happened(one: Service) -> None:
    """The target's recovery in milliseconds, the neighbours' peace, the seed; code 0."""
    done = typed(one, "inject", "kill", "--worker", "w-*", "--yes", "--seed", "7")
    assert done.returncode == 0, done
    assert re.fullmatch(r"w-\d: recovered in [\d.]+ m?s\n4 neighbours untouched\n", done.stdout)
    assert "(seed 7)" in done.stderr
    assert re.search(r"kill w-\d \(w-\d#\d, pid \d+\) noticed after [\d.]+ ms, recovered in", done.stderr)


def test_the_same_seed_hits_the_same(one: Service) -> None:
    """--dry-run says whom, and does nothing; --json tells all of it."""
    dry = [typed(one, "inject", "kill", "--count", "2", "--seed", "3", "--dry-run") for _ in range(2)]
    assert [each.returncode for each in dry] == [0, 0]
    assert dry[0].stdout == dry[1].stdout
    assert one.seen("chaos.injected") == []
    told = json.loads(typed(one, "inject", "kill", "--count", "2", "--seed", "3", "--yes", "--json").stdout)
    assert told["hurt"] == []
    assert f"kill into {', '.join(fault['worker'] for fault in told['faults'])} (seed 3)" in dry[0].stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["kill"], 2, "say --yes"),
        (["kil", "--yes"], 2, "did you mean 'kill'"),
        (["kill", "--worker", "calm", "--yes"], 2, "may be hit: w-0"),
        (["kill", "-p", "how=softly", "--yes"], 2, "it takes none"),
        (["kill", "-p", "how", "--yes"], 2, "KEY=VALUE"),
        (["kill", "--one", "--all", "--yes"], 2, "not allowed with"),
        (["kill", "--all", "--yes"], 3, "max_count = 2"),
        (["kill", "--count", "3", "--dry-run"], 3, "max_count = 2"),
    ],
)
def test_what_is_not_injected_is_a_sentence_and_a_code(one: Service, words: list[str], code: int, says: str) -> None:
    """Usage 2, refused 3; nobody was hit, and stdout is empty."""
    done = typed(one, "inject", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert one.seen("chaos.injected") == []


def test_many_faults_are_told_together(tmp_path: Path) -> None:
    """How many recovered, and who was slowest; nobody reads forty lines."""
    workers = '[workers.w]\ntarget = "job:main"\nreplicas = 10\nchaos = true\n'
    with service(tmp_path, workers=workers, max_count=10) as one:
        one.wait_for("supervisor.ready")
        done = typed(one, "inject", "kill", "--all", "--yes")
    assert done.returncode == 0, done.stderr
    said = r"10 recovered, 0 lived on; the slowest was w-\d, which recovered in [\d.]+ m?s\n"
    assert re.fullmatch(said, done.stdout)


def test_ctrl_c_undoes_and_is_130(patient: Service) -> None:
    """At once: not after the seconds a lease may be held by nobody."""
    pid = patient.pid("w-1")
    injecting = begun(patient, "inject", "freeze", "--worker", "w-1", "--for", "10m", "--yes")
    patient.until(lambda: is_stopped(pid), "it is frozen")
    injecting.send_signal(signal.SIGINT)
    _, errors = injecting.communicate(timeout=10)
    assert injecting.returncode == 130
    assert "interrupted; undone: " in errors
    assert not is_stopped(pid)
    assert patient.wait_for("chaos.undone")["reason"] == "asked"


def test_a_client_that_is_killed_has_its_faults_undone(patient: Service) -> None:
    """kill -9 in the middle: nothing of it is left within seconds."""
    pid = patient.pid("w-2")
    injecting = begun(patient, "inject", "freeze", "--worker", "w-2", "--for", "10m", "--yes")
    patient.until(lambda: is_stopped(pid), "it is frozen")
    injecting.kill()
    injecting.communicate()
    assert patient.wait_for("chaos.undone", timeout=15)["reason"] == "client gone"
    patient.until(lambda: not is_stopped(pid), "it goes on")


def test_on_a_terminal_a_fault_is_a_line_that_lives(one: Service) -> None:
    """No --yes is needed there; the line is drawn again until the fault is over, and what stays is the end of the story."""
    master, slave = pty.openpty()
    os.set_blocking(master, True)
    words = [*PYTHON, "inject", "--socket", one.socket, "freeze", "--worker", "w-3", "--for", "500ms"]
    shown = b""
    with subprocess.Popen(words, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave) as injecting:
        os.close(slave)
        try:
            while piece := os.read(master, 65536):
                shown += piece
        except OSError:  # the terminal has no other end any more
            pass
    os.close(master)
    assert injecting.returncode == 0
    assert shown.count(b"s left, noticed after") > 2
    assert b"seed" in shown
    assert re.search(rb"undone after [\d.]+ ms \(over: SIGCONT\), lived on", shown)
    assert shown.rstrip().endswith(b"4 neighbours untouched")


# -- run, monkey, report


def test_an_experiment_that_held(one: Service, tmp_path: Path) -> None:
    """Code 0, the report on stdout, and a journal that carries the record; every format can be had of it."""
    file = experiment(
        tmp_path, calling("action", "kill one", "inject", kind="kill"),
        calling("action", "freeze one", "inject", kind="freeze", seconds=0.3),
    )  # fmt: skip
    path = tmp_path / "of-this.json"
    done = typed(one, "run", file, "--seed", "11", "--journal", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HELD  2 faults" in done.stdout
    assert "a try (seed 11)" in done.stderr
    journal = journals.loaded(str(path))
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = record.within(journal)
    assert [fault.kind for fault in seen.faults] == ["kill", "freeze"]
    assert seen.seed == 11
    for wanted, holds in (
        ("text", "HELD"), ("json", '"held"'), ("md", "held"), ("junit", "<testsuite"), ("html", "<html"),
    ):  # fmt: skip
        told = typed_without_service("report", str(path), "--format", wanted)
        assert told.returncode == 0, told.stderr
        assert holds.lower() in told.stdout.lower()
    page = tmp_path / "page.html"
    assert typed_without_service("report", str(path), "--format", "html", "-o", str(page)).stdout == ""
    assert "<html" in page.read_text()


def typed_without_service(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PYTHON, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_an_experiment_that_deviated_is_1(one: Service, tmp_path: Path) -> None:
    """The steady state is not there: the report says so, and nothing was injected."""
    file = experiment(tmp_path, calling("action", "kill one", "inject", kind="kill"), tolerance=False)
    done = typed(one, "run", file, "--journal", str(tmp_path / "j.json"))
    assert done.returncode == 1
    assert "DEVIATED" in done.stdout
    assert one.seen("chaos.injected") == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["/nowhere/at/all.json"], 2, "No such file"),
        (["EXPERIMENT", "--dry", "everything"], 2, "invalid choice"),
        (["EXPERIMENT", "--journal", "/nowhere/at/all.json"], 2, "cannot be written"),
        (["EXPERIMENT"], 2, "no parameter"),
    ],
)
def test_an_experiment_that_cannot_be_run_is_2(
    one: Service, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    """It is told before anything is done, or by the one action that could not be."""
    file = experiment(tmp_path, calling("action", "kill one", "inject", kind="kill", parameters={"how": "softly"}))
    words = [file if word == "EXPERIMENT" else word for word in words]
    journal = [] if "--journal" in words else ["--journal", str(tmp_path / "j.json")]
    done = typed(one, "run", *words, *journal)
    assert (done.returncode, says in done.stdout + done.stderr) == (code, True), done


def test_an_experiment_in_a_service_without_chaos_is_3(tmp_path: Path) -> None:
    """Refused, with what to do about it."""
    file = experiment(tmp_path, calling("action", "kill one", "inject", kind="kill"))
    with service(tmp_path / "s", chaos="") as off:
        off.wait_for("supervisor.ready")
        done = typed(off, "run", file, "--journal", str(tmp_path / "j.json"))
    assert done.returncode == 3
    assert "enabled = true" in done.stderr


def test_a_run_below_the_floor_is_aborted_and_4(tmp_path: Path) -> None:
    """One of two workers that backs off for seconds is less than nine of ten: the service undoes all, the run ends."""
    file = experiment(
        tmp_path, calling("action", "kill one", "inject", kind="kill", worker="slow"),
        calling("action", "never reached", "inject", kind="kill"),
    )  # fmt: skip
    slow = '[workers.slow]\ntarget = "job:main"\nchaos = true\nbackoff = { first = "5s", initial = "5s", max = "5s" }\n'
    calm = '[workers.calm]\ntarget = "job:main"\nchaos = true\n'
    with service(tmp_path / "s", abort_below=0.9, workers=slow + calm) as one:
        one.wait_for("supervisor.ready")
        done = typed(one, "run", file, "--journal", str(tmp_path / "j.json"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "ABORTED" in done.stdout
    assert json.loads((tmp_path / "j.json").read_text())["status"] == "aborted"


def test_no_service_is_4(tmp_path: Path) -> None:
    """For whatever needs one."""
    file = experiment(tmp_path, calling("action", "kill one", "inject", kind="kill"))
    nobody = ["--socket", str(tmp_path / "none.sock")]
    for words in (["run", file], ["monkey", "--yes"], ["inject", "kill", "--yes"], ["halt"], ["list"]):
        done = typed_without_service(*words, *nobody)
        assert (done.returncode, "no service answers" in done.stderr) == (4, True)


def test_ctrl_c_in_a_run_undoes_writes_the_journal_and_is_130(patient: Service, tmp_path: Path) -> None:
    """The storm goes no further, though its thread is left to end by itself."""
    path = tmp_path / "j.json"
    words = ["--mean", "300ms", "--min", "50ms", "--for", "10m", "--fault-for", "10m", "--kinds", "freeze", "--yes"]
    blowing = begun(patient, "monkey", *words, "--journal", str(path))
    patient.wait_for("chaos.injected")
    blowing.send_signal(signal.SIGINT)
    out, _ = blowing.communicate(timeout=30)
    assert blowing.returncode == 130
    assert "INTERRUPTED" in out
    assert json.loads(path.read_text())["status"] == "interrupted"
    assert not any(is_stopped(patient.pid(f"w-{number}")) for number in range(4))
    injected = len(patient.seen("chaos.injected"))
    assert len(patient.seen("chaos.undone")) == injected
    assert patient.ask("chaos")["active"] == []


def test_a_halt_ends_a_monkey(patient: Service, tmp_path: Path) -> None:
    """Who runs `chaos halt` wants it to stop, not to go on with the next fault."""
    words = ["--mean", "300ms", "--min", "50ms", "--for", "10m", "--fault-for", "10m", "--kinds", "freeze", "--yes"]
    blowing = begun(patient, "monkey", *words, "--journal", str(tmp_path / "j.json"))
    patient.wait_for("chaos.injected")
    assert typed(patient, "halt").returncode == 0
    out, _ = blowing.communicate(timeout=30)
    assert blowing.returncode == 4
    assert "ABORTED" in out


def test_a_supervisor_that_is_killed_in_the_middle_of_a_run_costs_nothing(one: Service, tmp_path: Path) -> None:
    """Every fault is told and recovered from, no event is missing, and the run held."""
    path = tmp_path / "j.json"
    words = [
        "--mean",
        "300ms",
        "--min",
        "100ms",
        "--for",
        "6s",
        "--kinds",
        "kill,freeze",
        "--fault-for",
        "200ms",
        "--yes",
    ]
    blowing = begun(one, "monkey", *words, "--seed", "5", "--journal", str(path))
    for count in (1, 4, 8):
        one.wait_for("chaos.injected", count=count)
        one.kill_supervisor()
    one.kill(one.pump)
    out, errors = blowing.communicate(timeout=60)
    assert blowing.returncode == 0, out + errors
    seen = record.within(json.loads(path.read_text()))
    assert len([event for event in seen.events if event["event"] == "supervisor.resumed"]) == 3
    assert len(seen.faults) == len([event for event in seen.events if event["event"] == "chaos.injected"]) >= 8


def test_a_monkey_does_the_same_with_the_same_seed(one: Service, tmp_path: Path) -> None:
    """And its journal holds an experiment that can be run again."""
    words = ["--mean", "400ms", "--min", "300ms", "--for", "2s", "--kinds", "kill", "--yes", "--seed", "21"]
    paths = [tmp_path / f"{number}.json" for number in range(2)]
    for path in paths:
        done = typed(one, "monkey", *words, "--journal", str(path))
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(1.1)  # for a second after it was hit a worker counts as hit
    hit = [[fault.worker for fault in record.within(json.loads(path.read_text())).faults] for path in paths]
    assert hit[0] == hit[1]
    again = tmp_path / "again.json"
    again.write_text(json.dumps(json.loads(paths[0].read_text())["experiment"]))
    assert typed(one, "run", str(again), "--journal", str(tmp_path / "2.json")).returncode == 0


def test_a_run_is_repeated_with_seeds_of_its_own(one: Service, tmp_path: Path) -> None:
    """Each writes its journal, and the worst of them is the exit code."""
    file = experiment(tmp_path, calling("action", "kill one", "inject", kind="kill"))
    done = typed(one, "run", file, "--repeat", "2", "--seed", "1", "--journal", str(tmp_path / "j.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 runs held (seed 1)" in done.stderr
    seeds = [record.within(json.loads((tmp_path / f"j-{number}.json").read_text())).seed for number in (1, 2)]
    assert seeds[0] == 1
    assert seeds[0] != seeds[1]


def test_what_is_no_journal_of_ours_is_2(tmp_path: Path) -> None:
    """A sentence, no traceback."""
    path = tmp_path / "j.json"
    path.write_text('{"experiment": {}}')
    done = typed_without_service("report", str(path))
    assert (done.returncode, "no journal" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_help_is_quick_and_names_the_codes() -> None:
    """Nothing of the runner is imported for it."""
    code = "import sys; from supervisor.cli.main import main; main(['chaos', 'run', '--help'])"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "130  interrupted" in done.stdout
    assert "supervisor.chaos" not in done.stderr
