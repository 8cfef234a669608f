"""Reload and restart on a real service: only what changed is touched, and the code that runs next is the code as it is now."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli import client
from tests.real.copied import Copy
from tests.real.service import Service

LOOP = """
def main(heart, say=None):
    heart.ready(say)
    while not heart.wait(10):
        heart.beat()
"""


def config(**changes: str) -> str:
    workers = {
        "still": 'target = "job:main"',
        "changing": 'target = "job:main"\nargs = { say = "one" }',
        "going": 'target = "job:main"',
        "many": 'target = "job:main"\nreplicas = 2\nstandby = 1',
    } | changes
    return "\n".join(f"[workers.{name}]\n{body}" for name, body in workers.items() if body)


def rows(service: Service) -> dict[str, dict[str, Any]]:
    return {row["worker"]: row for row in service.status()["workers"]}


def test_a_reload_touches_only_what_changed(tmp_path: Path) -> None:
    """Added, removed, changed, scaled and merely re-ruled workers: each gets its due, the rest keep their processes."""
    with Service(tmp_path, config(), modules={"job": LOOP}) as service:
        service.wait_for("supervisor.ready")
        before = rows(service)
        service.config.write_text(config(
            changing='target = "job:main"\nargs = { say = "two" }', going="", coming='target = "job:main"',
            many='target = "job:main"\nreplicas = 3\nstandby = 1\nmax_failures = 5\ngrace = "3s"',
        ))
        told = service.ask("reload", diff=True)["changes"]
        for line in (
            "+ worker coming", "- worker going", "! worker changing restarts (args)",
            "~ worker many goes on (grace, max_failures)", "~ worker many scales from 2 to 3 replicas",
        ):
            assert line in told
        assert rows(service).keys() == before.keys(), "--diff changes nothing"
        since = service.mark
        assert service.ask("reload", diff=False)["changes"] == told
        for worker in ("changing", "coming", "many-2"):
            service.wait_for("worker.ready", since=since, worker=worker)
        after = rows(service)
        assert after.keys() == {"still", "changing", "coming", "many-0", "many-1", "many-2"}
        for same in ("still", "many-0", "many-1"):
            assert after[same]["pid"] == before[same]["pid"]
        assert after["changing"]["status"] == "two"
        assert service.seen("worker.ended", since=since, worker="going", exit_code=0)
        assert {event["worker"] for event in service.seen("worker.ended", since=since)} == {"going", "changing"}
        assert service.ask("reload", diff=False)["changes"] == "nothing changes"


def test_a_bad_config_changes_nothing(tmp_path: Path) -> None:
    """Every mistake is told to the client and in config.rejected; what ran runs on, and so does the old config."""
    with Service(tmp_path, config(), modules={"job": LOOP}) as service:
        service.wait_for("supervisor.ready")
        before = rows(service)
        service.config.write_text(config(still='targte = "job:main"', changing='target = "job:main"\nneeds = ["nobody"]'))
        for diff in (True, False):
            with pytest.raises(client.Denied) as refused:
                service.ask("reload", diff=diff)
            assert "targte" in str(refused.value)
            assert "nobody" in str(refused.value)
            assert refused.value.code == 1
        rejected = service.wait_for("config.rejected")
        assert "nobody" in rejected["errors"]
        assert len(service.seen("config.rejected")) == 1
        service.config.unlink()
        with pytest.raises(client.Denied):
            service.ask("reload", diff=False)
        assert {name: row["pid"] for name, row in rows(service).items()} == {name: row["pid"] for name, row in before.items()}


def test_sighup_reloads(tmp_path: Path) -> None:
    """A SIGHUP to the service is a reload; with a bad file it is an event and nothing else."""
    with Service(tmp_path, config(), modules={"job": LOOP}) as service:
        service.wait_for("supervisor.ready")
        service.config.write_text("[workers.x]\n")
        os.kill(service.anchor, signal.SIGHUP)
        service.wait_for("config.rejected")
        service.config.write_text(config(going=""))
        os.kill(service.anchor, signal.SIGHUP)
        assert "- worker going" in service.wait_for("supervisor.reloaded")["changes"]
        service.until(lambda: "going" not in rows(service), "it has left")


def test_a_policy_changes_live(tmp_path: Path) -> None:
    """A new max_failures judges the very next ending, of the process that ran before the reload."""
    with Service(tmp_path, config(), modules={"job": LOOP}) as service:
        service.wait_for("supervisor.ready")
        pid = service.pid("still")
        service.config.write_text(config(still='target = "job:main"\nmax_failures = 1'))
        service.ask("reload", diff=False)
        assert service.pid("still") == pid
        service.kill(pid)
        assert service.wait_for("worker.quarantined", worker="still")["streak"] == 1


def test_groups_are_put_together_anew(tmp_path: Path) -> None:
    """A group of another structure is built again, one that only gains a member takes it in while it lives."""
    groups = '[groups.g]\nstrategy = "{}"\nmembers = [{}]\n'
    one_for_one = config() + "\n" + groups.format("one_for_one", '"still", "changing"')
    with Service(tmp_path, one_for_one, modules={"job": LOOP}) as service:
        service.wait_for("supervisor.ready")
        before = rows(service)
        service.config.write_text(config() + "\n" + groups.format("one_for_one", '"still", "going", "changing"'))
        since = service.mark
        service.ask("reload", diff=False)
        service.wait_for("worker.ready", since=since, worker="going")
        after = rows(service)
        assert {after[name]["pid"] for name in ("still", "changing")} == {before[name]["pid"] for name in ("still", "changing")}
        assert after["going"]["group"] == "g"
        service.config.write_text(config() + "\n" + groups.format("one_for_all", '"still", "going"'))
        since = service.mark
        assert "! group g is put together anew" in service.ask("reload", diff=False)["changes"]
        for name in ("still", "going", "changing"):
            service.wait_for("worker.ready", since=since, worker=name)
        service.kill(service.pid("still"))
        service.wait_for("worker.ready", since=since, worker="going", count=2)
        assert rows(service)["changing"]["group"] is None


STUBBORN = """
import time
def main(heart):
    heart.ready()
    while True:
        time.sleep(10)
"""


def test_a_slow_stop_holds_up_only_who_wants_the_same_name(tmp_path: Path) -> None:
    """While a removed worker uses up its grace, others are reloaded and scaled; its own name comes again when it is dead."""
    stubborn = 'target = "stubborn:main"\ngrace = "1500ms"\n'
    with Service(tmp_path, config(going=stubborn), modules={"job": LOOP, "stubborn": STUBBORN}) as service:
        service.wait_for("supervisor.ready")
        pid, since = service.pid("going"), service.mark
        service.config.write_text(config(going=""))
        os.kill(service.anchor, signal.SIGHUP)
        service.wait_for("worker.stopping", worker="going", since=since)
        service.ask("scale", worker="many", replicas=3)
        service.wait_for("worker.ready", worker="many-2", since=since)
        service.config.write_text(config(going='target = "job:main"', still='target = "job:main"\nnice = 1'))
        os.kill(service.anchor, signal.SIGHUP)
        service.wait_for("worker.ready", worker="still", since=since)
        assert service.worker("going")["pid"] == pid, "all that while it has not died"
        ended = service.wait_for("worker.ended", worker="going", since=since)
        again = service.wait_for("worker.spawned", worker="going", since=since)
        assert ended["seq"] < again["seq"]
        assert service.pid("going") != pid


def test_a_name_is_free_only_when_all_that_had_it_are_dead(tmp_path: Path) -> None:
    """A member on its way out, then its group on its way out, then both wanted again: one life at a time."""
    group = "\n[groups.g]\nmembers = [{}]\n"
    both, one = group.format('"still", "going"'), group.format('"still"')
    stubborn = 'target = "stubborn:main"\ngrace = "700ms"\n'
    slow = config(going=stubborn, still=stubborn)
    with Service(tmp_path, slow + both, modules={"job": LOOP, "stubborn": STUBBORN}) as service:
        service.wait_for("supervisor.ready")
        for text in (config(going="", still=stubborn) + one, config(going="", still=""), slow + both):
            since = service.mark
            service.config.write_text(text)
            os.kill(service.anchor, signal.SIGHUP)
            service.wait_for("supervisor.reloaded", since=since)
        for name in ("still", "going"):
            ended = service.wait_for("worker.ended", worker=name)
            assert service.wait_for("worker.spawned", worker=name, count=2)["seq"] > ended["seq"]
            service.wait_for("worker.ready", worker=name, count=2)
        assert {rows(service)[name]["group"] for name in ("still", "going")} == {"g"}


def test_a_worker_may_move_between_groups(tmp_path: Path) -> None:
    """In, out and across: it is started anew in its new place, and never lives twice at once."""
    names = '"still", "changing", "going"'
    places = [f"[groups.g]\nmembers = [{names}]\n", '[groups.g]\nmembers = ["still"]\n[groups.h]\nmembers = ["changing"]\n', ""]
    with Service(tmp_path, config() + "\n" + places[0], modules={"job": LOOP}) as service:
        service.wait_for("supervisor.ready")
        for place, homes in zip(places[1:], [("g", "h", None), (None, None, None)], strict=True):
            service.config.write_text(config() + "\n" + place)
            service.ask("reload", diff=False)
            service.until(lambda: all(row["phase"] == "ready" for row in rows(service).values()), "all are up")
            assert tuple(rows(service)[name]["group"] for name in ("still", "changing", "going")) == homes
        alive = dict.fromkeys(("still", "changing", "going"), 0)
        for event in service.events:
            if event.get("worker") in alive:
                alive[event["worker"]] += {"worker.spawned": 1, "worker.ended": -1}.get(event["event"], 0)
                assert alive[event["worker"]] in (0, 1)


STALE = '[templates.code]\npreload = ["job", "helper"]\n[workers.a]\ntarget = "job:main"\ntemplate = "code"\nstandby = 1\n'
USES_HELPER = """
import helper
def main(heart):
    heart.ready(helper.VERSION)
    while not heart.wait(10):
        pass
"""


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself takes a file of the same length and the same second for the one it has compiled."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def _edit(tmp_path: Path, version: str) -> None:
    # A file as long as before: only its date tells.
    (tmp_path / "helper.py").write_text(f"VERSION = {version!r}\n")


def test_a_template_whose_files_changed_is_rebuilt(tmp_path: Path) -> None:
    """Edit a preloaded module: reload renews template and standbys, running workers stay; restart runs the new code."""
    with Service(tmp_path, STALE, modules={"job": USES_HELPER, "helper": "VERSION = 'one'\n"}) as service:
        service.wait_for("standby.ready")
        first = service.worker("a")
        assert first["status"] == "one"
        assert service.ask("reload", diff=True)["changes"] == "nothing changes"
        _edit(tmp_path, "two")
        told = service.ask("reload", diff=True)["changes"]
        assert f"~ template code is rebuilt: {tmp_path}/helper.py has changed" in told
        since = service.mark
        service.ask("reload", diff=False)
        service.wait_for("template.ready", since=since, template="code")
        service.wait_for("standby.ready", since=since, worker="a")
        assert service.pid("a") == first["pid"]
        assert not service.seen("standby.ended")
        service.kill(first["pid"])
        service.wait_for("worker.recovered", worker="a")
        assert service.worker("a")["status"] == "two", "the standby was made from the new code"
        assert service.ask("reload", diff=True)["changes"] == "nothing changes"
        _edit(tmp_path, "six")
        service.ask("restart", workers=["a"], rolling=False, wait=True)
        assert service.worker("a")["status"] == "six"
        service.until(lambda: len(service.children("template code")) == 1, "the old template has left")


def test_an_operators_restart_never_takes_an_old_standby(tmp_path: Path) -> None:
    """Without a template there is nothing to be stale but the standby itself: a restart makes a new one."""
    config = '[workers.a]\ntarget = "job:main"\nstandby = 1\n'
    with Service(tmp_path, config, modules={"job": USES_HELPER, "helper": "VERSION = 'one'\n"}) as service:
        service.wait_for("standby.ready")
        _edit(tmp_path, "two")
        service.ask("restart", workers=["a"], rolling=False, wait=True)
        assert service.worker("a")["status"] == "two"


def test_a_preload_that_failed_is_tried_again(tmp_path: Path) -> None:
    """A module that cannot be imported is an event; its worker says why it fails; mended, a reload builds the template."""
    with Service(tmp_path, STALE, modules={"job": USES_HELPER, "helper": "VERSION = 1 / 0\n"}) as service:
        service.tracebacks_are_fine = True
        assert "ZeroDivisionError" in service.wait_for("template.failed", template="code")["why"]
        ended = service.wait_for("worker.ended", worker="a")
        assert ended["exit_code"] == 1
        assert ended["result"] == "exit-code"
        assert "ZeroDivisionError" in ended["why"]
        assert "helper.py" in ended["stack"]
        _edit(tmp_path, "one")
        since = service.mark
        service.ask("reload", diff=False)
        service.wait_for("template.ready", since=since, template="code")
        service.wait_for("worker.ready", worker="a")


def test_a_reload_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    """The new config is noted, and the supervisor dies before it has stopped anybody: the next one restarts who changed."""
    copy = Copy(tmp_path)
    followed = "        tasks = self.refit.follow(keep)\n"
    dying = f"{followed}        self.host.ledger.flush()\n        os.kill(os.getpid(), 9)\n"
    copy.change("service", lambda text: text.replace(followed, dying))
    config = '[workers.{name}]\ncommand = ["sleep", "{seconds}"]\n'
    before = config.format(name="changed", seconds=1000) + "standby = 1\n" + config.format(name="same", seconds=1000)
    with copy.service(tmp_path, before) as service:
        service.wait_for("supervisor.ready")
        service.wait_for("standby.ready")
        pids = {name: service.pid(name) for name in ("changed", "same")}
        service.config.write_text(before.replace("1000", "2000", 1))
        with pytest.raises(client.Dropped):
            service.ask("reload")
        since = service.mark
        service.wait_for("supervisor.resumed")
        service.wait_for("worker.ready", worker="changed", count=2)
        words = Path(f"/proc/{service.pid('changed')}/cmdline")
        service.until(lambda: words.read_bytes().split(b"\0")[1] == b"2000", "it is the new program, once it has begun")
        assert service.pid("same") == pids["same"]
        assert service.seen("worker.ended", since=since, worker="same") == []
