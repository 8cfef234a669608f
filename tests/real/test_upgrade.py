"""`ninelives upgrade`: new code takes over and no worker notices; code that cannot start changes nothing and says why."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

import supervisor
from supervisor import kernel
from supervisor.cli import client
from tests.real.copied import Copy
from tests.real.elsewhere import WORDS, assert_told_once
from tests.real.service import Service, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = """
[workers.ticker]
target = "workers.ticker:main"
args = { every = 0.02, lines_every = 5 }
beat_within = "1s"
replicas = 2

[workers.standing]
target = "workers.ticker:main"
standby = 1
"""


def pids(service: Service) -> dict[str, int]:
    return {row["worker"]: row["pid"] for row in service.status()["workers"]}


def supervisors(service: Service) -> list[int]:
    """One that is starting has no other name yet than any Python, but a command line."""
    found = []
    for pid in service.children():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            found += [pid] * (b"\0supervisor.daemon\0" in file.read())
    return found


def test_no_worker_notices_an_upgrade(tmp_path: Path) -> None:
    """New code, its version in the event; the same processes, the same standby, every line of output once."""
    copy = Copy(tmp_path)
    with copy.service(tmp_path, CONFIG) as service:
        service.wait_for("standby.ready")
        before, old, standbys = pids(service), service.supervisor, service.worker("standing")["standbys"]
        copy.change("__init__", lambda text: text.replace(supervisor.__version__, "99.0"))
        assert service.ask("upgrade") == {"upgraded": True}
        upgraded = service.wait_for("supervisor.upgraded")
        assert upgraded["version"] == "99.0"
        assert service.wait_for("supervisor.resumed")["reason"] == "upgrade"
        assert pids(service) == before
        assert service.supervisor == upgraded["pid"] != old
        assert service.worker("standing")["standbys"] == standbys == 1
        since = service.mark
        service.wait_for("worker.output", worker="ticker-0", since=since, count=3)
        for worker in ("ticker-0", "ticker-1"):
            ticks = [each["data"]["tick"] for each in service.seen("worker.output", worker=worker)]
            assert ticks == list(range(5, 5 * len(ticks) + 5, 5))
        assert not service.seen("worker.ended")
        assert not service.seen("standby.ended")
    assert [each["exit_code"] for each in service.seen("worker.ended")] == [0, 0, 0]


FLOODED = """
[workers.flood]
target = "words:lines"
args = { count = 200000 }
restart = "temporary"

[workers.quiet]
target = "words:steady"
"""


def of_new_code(copy: Copy) -> None:
    """Pump and template call themselves otherwise."""
    copy.change("pump/__main__", lambda text: text.replace('"nl-pump"', '"nl-pump-99"'))
    copy.change("template", lambda text: text.replace('f"template {', 'f"template99 {'))


def runs_new_code(service: Service) -> bool:
    names = [now.command for pid in service.children() if (now := kernel.stat(pid)) is not None]
    old = [name for name in names if name == "nl-pump" or name.startswith("template ")]
    return not old and "nl-pump-99" in names and "template99 bare" in names


@pytest.mark.parametrize("killed", [False, True], ids=["upgraded", "upgraded and killed"])
def test_an_upgrade_is_one_of_the_pump_and_the_templates_too(tmp_path: Path, *, killed: bool) -> None:
    """In the middle of a flood they are followed by their like of the new code: every line once, no worker notices."""
    copy = Copy(tmp_path)
    service = copy.service(tmp_path, FLOODED)
    (service.folder / "words.py").write_text(WORDS)
    with service:
        service.wait_for("worker.output", worker="flood", count=100)
        quiet = service.pid("quiet")
        of_new_code(copy)
        old = service.supervisor
        service.ask("upgrade")
        if killed:
            service.until(lambda: service.supervisor != old, "the old supervisor has left")
            service.kill_supervisor()
        service.until(lambda: runs_new_code(service), "all of it runs the new code")
        service.wait_for("worker.ended", worker="flood", timeout=40)
        assert service.pid("quiet") == quiet
        since = service.mark
        service.kill(quiet)
        service.wait_for("worker.ready", since=since, worker="quiet")
        assert not service.seen("pump.ended")
        assert not service.seen("template.ended")
    assert_told_once(service.events)
    for worker, first in (("flood", 0), ("quiet", 1)):
        spawn_id = service.seen("worker.spawned", worker=worker)[0]["spawn_id"]
        said = [int(line) for line in whole(service.seen("worker.output", spawn_id=spawn_id))]
        assert said == list(range(first, first + len(said)))
    assert len(whole(service.seen("worker.output", worker="flood"))) == 200_000


def whole(events: list[dict[str, Any]]) -> list[str]:
    """The lines that were written: one that stood half in a pipe for long is told in parts, like a prompt."""
    lines: list[str] = []
    for event in events:
        if event.get("part", 1) > 1:
            lines[-1] += event["msg"]
        else:
            lines.append(event["msg"])
    return lines


@pytest.mark.parametrize(
    ("module", "change", "why"),
    [
        ("keeper", lambda text: text + "\nraise RuntimeError('not today')\n", "not today"),
        ("vigil", lambda text: text.replace("import heapq", "import heaps_of_trouble"), "heaps_of_trouble"),
        ("group", lambda text: text + "\ndef broken(:\n", "invalid syntax"),
        (
            "spec",
            lambda text: f"{text}\n\nclass Config(Config, frozen=True, kw_only=True):\n    novelty: int\n",
            "novelty",
        ),
    ],
    ids=["raises", "imports what is not there", "is no Python", "does not understand the config"],
)
def test_code_that_cannot_start_leaves_the_old_one_in_place(
    tmp_path: Path, module: str, change: Callable[[str], str], why: str
) -> None:
    """The client is told why, an event tells it too, and the same supervisor goes on; the next upgrade may be better."""
    copy = Copy(tmp_path)
    with copy.service(tmp_path, CONFIG) as service:
        service.wait_for("supervisor.ready")
        before, old = pids(service), service.supervisor
        good = (copy.root / "supervisor" / f"{module}.py").read_text()
        copy.change(module, change)
        with pytest.raises(client.Denied, match=why) as refused:
            service.ask("upgrade")
        assert refused.value.code == 1
        assert "the old one stays" in str(refused.value)
        assert why in service.wait_for("supervisor.upgrade_failed")["why"]
        assert service.supervisor == old
        assert pids(service) == before
        copy.change(module, lambda _: good)
        assert service.ask("upgrade") == {"upgraded": True}
        service.wait_for("supervisor.upgraded")
        assert pids(service) == before


def test_an_upgrade_in_the_middle_of_things(tmp_path: Path) -> None:
    """A stop under way is finished, a backoff waited out, a crash answered: all by the new code, all once."""
    config = (
        CONFIG
        + """
[workers.stubborn]
target = "workers.stubborn:main"
grace = "1s"

[workers.crasher]
target = "workers.crasher:main"
args = { after = 0.05 }
backoff = { first = "1s", initial = "30s", max = "30s" }
"""
    )
    with Copy(tmp_path).service(tmp_path, config) as service:
        service.wait_for("worker.ready", worker="stubborn")
        service.wait_for("worker.backed_off", worker="crasher")
        service.ask("stop", workers=["stubborn"], wait=False)
        service.wait_for("worker.stopping", worker="stubborn")
        since = service.mark
        service.ask("upgrade")
        service.kill(service.pid("ticker-0"))
        assert service.wait_for("worker.ended", worker="stubborn")["signal"] == "SIGKILL"
        service.wait_for("worker.ready", worker="ticker-0", since=since)
        service.wait_for("worker.backed_off", worker="crasher", streak=2)
        told = [(each["worker"], each["spawn_id"]) for each in service.seen("worker.ended")]
        assert sorted(worker for worker, _ in told) == ["crasher", "crasher", "stubborn", "ticker-0"]
        assert len(set(told)) == len(told)


def test_a_candidate_that_is_killed_is_a_failed_upgrade(tmp_path: Path) -> None:
    """Whoever killed it: the old one stays."""
    copy = Copy(tmp_path)
    with copy.service(tmp_path, CONFIG) as service:
        service.wait_for("supervisor.ready")
        old = service.supervisor
        copy.change("keeper", lambda text: text + "\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
        with pytest.raises(client.Denied, match="SIGKILL"):
            service.ask("upgrade")
        assert service.supervisor == old


def test_a_candidate_that_hangs_while_it_starts_is_a_failed_upgrade(tmp_path: Path) -> None:
    """It is killed when its time is over (15 s, here one); the old one stays, and whoever asked is told why."""
    copy = Copy(tmp_path)
    copy.change("anchor", lambda text: text.replace("STARTS_WITHIN = 15.0", "STARTS_WITHIN = 1.0"))
    with copy.service(tmp_path, CONFIG) as service:
        service.wait_for("supervisor.ready")
        before, old = pids(service), service.supervisor
        copy.change("keeper", lambda text: text + "\nimport time\ntime.sleep(60)\n")
        with pytest.raises(client.Denied, match="it said nothing for 1 s"):
            service.ask("upgrade")
        assert service.supervisor == old
        assert len(service.children("nl-supervisor")) == 1
        assert pids(service) == before


def test_a_supervisor_that_dies_during_an_upgrade_is_followed_by_the_new_code(tmp_path: Path) -> None:
    """The new code takes its time, and the old one is killed meanwhile: in the end one supervisor, and no worker noticed."""
    copy = Copy(tmp_path)
    with copy.service(tmp_path, CONFIG) as service:
        service.wait_for("supervisor.ready")
        before, old = pids(service), service.supervisor
        copy.change("keeper", lambda text: text + "\nimport time\ntime.sleep(0.7)\n")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(service.socket)
            caller.sendall(b'{"verb": "upgrade"}\n')
            until(lambda: len(supervisors(service)) == 2, "the candidate is there")
            service.kill(old)
            service.wait_for("supervisor.resumed")
        until(lambda: len(supervisors(service)) == 1, "one supervisor is left")
        assert service.ask("upgrade") == {"upgraded": True}
        assert pids(service) == before
        assert not service.seen("worker.ended")


def test_a_supervisor_that_fails_in_a_callback_leaves_and_is_followed(tmp_path: Path) -> None:
    """Half of what it had to do may be undone: the next goes by the notes, and no worker notices."""
    copy = Copy(tmp_path)
    thawed = '        else:\n            self._tell(process, "worker.thawed")\n'
    planted = '        else:\n            raise RuntimeError("planted")\n'
    copy.change("stops", lambda text: text.replace(thawed, planted))
    with copy.service(tmp_path, CONFIG) as service:
        service.tracebacks_are_fine = True
        service.wait_for("standby.ready")
        before, old = pids(service), service.supervisor
        service.freeze(before["ticker-0"])
        service.wait_for("worker.frozen", worker="ticker-0")
        service.thaw(before["ticker-0"])
        assert service.wait_for("supervisor.resumed")["reason"] == "exit code 1"
        assert "RuntimeError: planted" in service.stderr
        assert service.supervisor != old
        assert pids(service) == before
        assert not service.seen("worker.ended")
