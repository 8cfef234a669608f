"""The hook in a worker's heart: where it is, what it obeys and when, and what becomes of the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.chaos import catalogue
from supervisor.chaos.inside import NO_HOOK
from supervisor.cli.client import Denied
from tests.real.chaos_rig import CHAOS, rig
from tests.real.inside_acts import beats, look
from workers.chaos import NAME, ORDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.chaos_rig import Rig

UNWATCHED = '[workers.target]\ntarget = "acts:steady"\nchaos = true\n'
TELLER = """
import os, sys, threading

def hooks():
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit() and
             os.path.lexists(f"/proc/self/fd/{fd}")]
    return sum("ninelives-chaos" in link for link in links)

def main(heart):
    print("hooks", hooks(), "modules", "workers.chaos" in sys.modules, "asked", os.environ.get("NINELIVES_CHAOS"), flush=True)
    heart.ready()
    while not heart.wait(0.02):
        heart.beat()

def threaded(heart):
    thread = threading.Thread(target=main, args=(heart,))
    thread.start()
    thread.join()

def prepare(heart):
    print("preparing", flush=True)
    while os.path.exists(os.environ.get("HOLD", "")):
        heart.wait(0.01)

def pool(heart):
    from supervisor import Pool
    with Pool(1) as pool:
        print("hooks", hooks(), "of its pool", pool.submit(hooks).result(), flush=True)
    heart.ready()
    heart.wait(1000)

def parent(heart):
    child = os.fork()
    if not child:
        heart.wait(1000)
        os._exit(0)
    print("child", child, flush=True)
    heart.ready()
    while not heart.wait(0.02):
        heart.beat()
"""
PROGRAM = """
import sys, threading
from workers.heart import Heart
threading.Thread(target=Heart.from_environment).start()
first = Heart.from_environment()
heart = Heart.from_environment()
heart.ready()
while not first.wait(0.02):
    heart.beat()
"""


def teller(main: str = "main", more: str = "chaos = true") -> str:
    return f'[workers.target]\ntarget = "teller:{main}"\n{more}\n'


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    (tmp_path / "teller.py").write_text(TELLER)
    (tmp_path / "program.py").write_text(PROGRAM)


def hooks(pid: int) -> int:
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return sum(NAME in link for link in links)


def hear(service: Rig, fault: str = "hb-stop") -> None:
    """It obeys, and undoes."""
    pid = service.pid("target")
    service.until(lambda: beats(pid), "it beats")
    service.inject(fault, "target")
    service.until(lambda: not beats(pid), "it is silent")
    service.halt()
    service.until(lambda: beats(pid), "it beats again")


@pytest.mark.parametrize(
    ("chaos", "more", "there"),
    [
        (CHAOS, "chaos = true", True),
        (CHAOS, "chaos = false", False),
        (CHAOS.replace("enabled = true", "enabled = false"), "chaos = true", False),
        ("", "chaos = true", False),
    ],
    ids=["asked for", "not opted in", "not enabled", "not mentioned"],
)
def test_where_the_hook_is(tmp_path: Path, chaos: str, more: str, *, there: bool) -> None:
    """Only in a worker that has opted in to a service that has it enabled; the others import nothing of it."""
    with rig(tmp_path, teller(more=more), chaos=chaos) as service:
        told = service.wait_for("worker.output", worker="target", msg=lambda msg: msg.startswith("hooks"))["msg"]
        assert told == f"hooks {int(there)} modules {there} asked {1 if there else None}"


def test_a_pool_of_a_worker_has_none(tmp_path: Path) -> None:
    """Nobody could send its workers an order."""
    with rig(tmp_path, teller("pool")) as service:
        told = service.wait_for("worker.output", worker="target", msg=lambda msg: msg.startswith("hooks"))["msg"]
        assert told == "hooks 1 of its pool 0"


def test_the_services_own_environment_installs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NINELIVES_CHAOS=1 there is nobody's wish but that of another service above."""
    monkeypatch.setenv("NINELIVES_CHAOS", "1")
    with rig(tmp_path, teller(more=""), chaos="") as service:
        told = service.wait_for("worker.output", worker="target", msg=lambda msg: msg.startswith("hooks"))["msg"]
        assert told == "hooks 0 modules False asked None"


def test_no_hook_no_order(tmp_path: Path) -> None:
    """A worker started before chaos was enabled, and a program without a heart: refused, with the reason."""
    config = '[workers.target]\ncommand = ["sleep", "1000"]\nchaos = true\n'
    with rig(tmp_path, config) as service:
        with pytest.raises(Denied) as refused:
            service.inject("hb-stop", "target")
        assert (refused.value.code, str(refused.value)) == (3, f"hb-stop of target: {NO_HOOK}")
        assert service.pid("target")


def test_enabled_by_a_reload(tmp_path: Path) -> None:
    """Those that run have no hook; the next life has."""
    with rig(tmp_path, UNWATCHED, chaos="") as service:
        service.config.write_text(CHAOS + service.config.read_text())
        service.ask("reload")
        with pytest.raises(Denied, match="before chaos was enabled"):
            service.inject("hb-stop", "target")
        service.ask("restart", workers=["target"], wait=True)
        hear(service)


def test_a_program_with_a_heart(tmp_path: Path) -> None:
    """One hook a process, for the newest of its hearts; a heart made in another thread makes none."""
    command = json.dumps([sys.executable, str(tmp_path / "program.py")])
    with rig(tmp_path, f'[workers.target]\ncommand = {command}\nready = "beat"\nchaos = true\n') as service:
        assert hooks(service.pid("target")) == 1
        hear(service)


def test_a_worker_whose_work_is_in_a_thread(tmp_path: Path) -> None:
    """The main thread waits for it, and obeys."""
    with rig(tmp_path, teller("threaded")) as service:
        hear(service)
        service.inject("exit", "target", code=9)
        assert service.wait_for("worker.ended", worker="target")["exit_code"] == 9
        service.wait_for("worker.ready", worker="target", count=2)


def test_an_order_while_it_prepares(tmp_path: Path) -> None:
    """Is obeyed there, before it is ready."""
    hold = tmp_path / "hold"
    more = f'chaos = true\nenv = {{ HOLD = "{hold}" }}\nbackoff = {{ first = "0s" }}'
    with rig(tmp_path, teller(more=more)) as service:
        hold.touch()
        service.inject("exit", "target")
        service.wait_for("worker.output", worker="target", msg="preparing", count=2)
        fault = service.inject("exit", "target", code=5)
        hold.unlink()
        assert service.wait_for("worker.ended", chaos_id=fault["chaos_id"])["exit_code"] == 5
        service.wait_for("worker.ready", worker="target", count=2)


def test_a_standby_that_took_over_obeys(tmp_path: Path) -> None:
    """It has had its hook since it was prepared."""
    with rig(tmp_path, UNWATCHED + "standby = 1\n") as service:
        service.wait_for("standby.ready")
        service.inject("exit", "target")
        service.until(
            lambda: [each for each in service.seen("worker.spawned") if each["from"] == "standby"], "it is taken"
        )
        service.wait_for("worker.ready", worker="target", count=2)
        hear(service)


def test_a_child_it_has_forked_is_not_meant(tmp_path: Path) -> None:
    """It has the hook's memory and its handler, and the signal does nothing there."""
    with rig(tmp_path, teller("parent")) as service:
        said = service.wait_for("worker.output", worker="target", msg=lambda msg: msg.startswith("child"))["msg"]
        child = int(said.split()[1])
        service.inject("hb-stop", "target")
        service.kill(child, number=ORDER)
        hear_pid = service.pid("target")
        service.until(lambda: not beats(hear_pid), "the worker is silent")
        service.halt()
        service.until(lambda: beats(hear_pid), "it beats again")
        assert kernel.stat(child)


def test_an_order_to_a_stopped_worker_is_never_obeyed(tmp_path: Path) -> None:
    """Refused after 2 s; when it goes on it reads that and the recall together."""
    with rig(tmp_path, UNWATCHED) as service:
        pid = service.pid("target")
        service.freeze(pid)
        began = time.monotonic()
        with pytest.raises(Denied, match="did not obey within 2 s") as refused:
            service.inject("exit", "target")
        assert refused.value.code == 3
        assert 1.9 < time.monotonic() - began < 4
        with pytest.raises(Denied, match="did not obey"):
            service.inject("hang", "target")
        service.wait_for("chaos.undone", kind="hang", reason="failed")
        service.thaw(pid)
        service.until(lambda: beats(pid), "it beats")
        hear(service)
        assert service.pid("target") == pid


def test_one_within_another(tmp_path: Path) -> None:
    """What was injected before a hang is undone in the midst of it, and what comes in the midst of it too."""
    with rig(tmp_path, UNWATCHED) as service:
        pid = service.pid("target")
        before = look(service, pid)
        mute = service.inject("hb-stop", "target")
        hang = service.inject("hang", "target", how="loop")
        storm = service.inject("fork-storm", "target", n=3)
        assert look(service, pid).children == 3
        deadlock = service.inject("hang", "target", how="deadlock")
        for fault in (mute, storm, hang):
            assert service.ask("halt", chaos_ids=[fault["chaos_id"]])["undone"] == [fault["chaos_id"]]
            assert service.undone(fault)["how"] == catalogue.fault(fault["kind"]).undone
        assert not beats(pid), "the last of them holds it"
        assert service.halt() == [deadlock["chaos_id"]]
        service.until(lambda: beats(pid), "it beats again")
        assert look(service, pid) == before
        assert service.pid("target") == pid


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]], ids=str)
def test_layers_are_taken_off_in_any_order(tmp_path: Path, order: list[int]) -> None:
    """Of the same kind and of others."""
    with rig(tmp_path, UNWATCHED) as service:
        pid = service.pid("target")
        faults = [service.inject(kind, "target") for kind in ("hb-stop", "pipe-slice", "hb-stop")]
        deaf = [service.inject("ignore-term", "target", restart=False) for _ in range(3)]
        for at, one in enumerate(order):
            assert not beats(pid) or at == 2
            assert look(service, pid).ignored
            service.ask("halt", chaos_ids=[faults[one]["chaos_id"], deaf[one]["chaos_id"]])
        service.until(lambda: beats(pid), "it beats")
        assert not look(service, pid).ignored


def test_what_cannot_be_done_twice_is_refused(tmp_path: Path) -> None:
    """A pipe that is in a black hole already; and that refusal undoes nothing."""
    with rig(tmp_path, UNWATCHED) as service:
        pid = service.pid("target")
        service.inject("pipe-blackhole", "target")
        for kind in ("pipe-blackhole", "pipe-close", "pipe-garbage", "hb-burst", "pipe-slice"):
            with pytest.raises(Denied, match="it has no beat pipe any more"):
                service.inject(kind, "target")
        assert not beats(pid)
        service.halt()
        service.until(lambda: beats(pid), "it beats")


def test_a_worker_at_its_end_is_not_killed_by_an_order(tmp_path: Path) -> None:
    """Its interpreter has taken the handlers down by then: nothing hears, and nothing is signalled."""
    script = tmp_path / "late.py"
    script.write_text(
        "import atexit, os, signal, time\n"
        "from workers.heart import Heart\n"
        "def last():\n"
        "    links = [os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')]\n"
        f"    assert not [link for link in links if {NAME!r} in link], links\n"
        f"    os.kill(os.getpid(), {int(ORDER)})\n"
        "atexit.register(last)\n"  # before the heart's, so run after it
        "Heart.from_environment().ready()\n"
    )
    read, write = os.pipe()
    try:
        environment = {**os.environ, "NINELIVES_BEAT_FD": str(write), "NINELIVES_CHAOS": "1"}
        ended = subprocess.run([sys.executable, script], env=environment, pass_fds=[write], timeout=20, check=False)
    finally:
        os.close(read)
        os.close(write)
    assert ended.returncode == 0


def test_ten_thousand_orders_leave_no_memory_taken(tmp_path: Path) -> None:
    """What both ends have long read is given back to the kernel."""
    script = tmp_path / "orders.py"
    script.write_text(
        "import json, os, signal\n"
        "from workers import chaos\n"
        "from workers.heart import Heart\n"
        "chaos.listen(Heart(None))\n"
        f"fd = next(int(fd) for fd in os.listdir('/proc/self/fd') if {NAME!r} in os.path.realpath(f'/proc/self/fd/{{fd}}'))\n"
        "for number in range(10_000):\n"
        "    os.write(fd, json.dumps({'id': str(number), 'undo': True}).encode() + b'\\n')\n"
        "    signal.raise_signal(chaos.ORDER)\n"
        "now = os.fstat(fd)\n"
        "answers = os.pread(fd, 4096, now.st_size - 100).splitlines()\n"
        "print(json.dumps([now.st_size, now.st_blocks * 512, len(chaos._hook._undone), json.loads(answers[-1])['answer']]))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    size, kept, remembered, last = json.loads(done.stdout)
    assert size > 700_000
    assert kept < 300_000
    assert remembered <= 100
    assert last == "9999"


def test_orders_that_pour_in_are_each_obeyed_once(tmp_path: Path) -> None:
    """However the signals fall together, or into the handler of one before."""
    script = tmp_path / "pouring.py"
    script.write_text(
        "import json, os, signal, sys, time\n"
        "from workers import chaos\n"
        "from workers.heart import Heart\n"
        "chaos.listen(Heart(None))\n"
        f"fd = next(int(fd) for fd in os.listdir('/proc/self/fd') if {NAME!r} in os.path.realpath(f'/proc/self/fd/{{fd}}'))\n"
        "worker = os.getpid()\n"
        "if not os.fork():\n"
        "    for number in range(1000):\n"
        "        os.write(fd, json.dumps({'id': str(number), 'undo': True}).encode() + b'\\n')\n"
        "        os.kill(worker, chaos.ORDER)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "said = [json.loads(line) for line in open(f'/proc/self/fd/{fd}')]\n"
        "print(sorted(int(each['answer']) for each in said if 'answer' in each) == list(range(1000)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"


def test_nobody_holds_the_lease(tmp_path: Path) -> None:
    """A client that never came, or went: its faults are undone 5 s later."""
    with rig(tmp_path, UNWATCHED) as service:
        fault = service.inject("hb-stop", "target", seconds=60.0, lease="nobody's")
        undone = service.undone(fault)
        assert undone["reason"] == "client gone"
        assert 5.0 <= undone["lasted_s"] < 7.5
        service.until(lambda: beats(service.pid("target")), "it beats again")
