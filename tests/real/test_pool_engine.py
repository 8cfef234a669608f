"""Workers of a pool's engine: how they are born, what they find, how their ends are told."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from supervisor import kernel
from supervisor.pool.mainmodule import MainModule
from tests.real.living import is_alive
from tests.real.pool_engine_rig import Rig, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as one:
        yield one


def test_a_worker_has_its_channel_and_nothing_of_ours(rig: Rig) -> None:
    """Descriptors 0 to 3, 5 and 6; our environment, folder and import path; ordinary signals; the root as its parent."""
    os.environ["OMP_NUM_THREADS"] = "7"
    try:
        with Rig() as one:
            number, pid = one.worker()
            found = one.tell(number, "describe")
            root = one.root
    finally:
        del os.environ["OMP_NUM_THREADS"]
    assert (found["pid"], found["parent"]) == (pid, root)
    assert found["fds"] == [0, 1, 2, 3, 5, 6]
    assert found["threads"] == "7"
    assert found["path"] == sys.path
    assert found["cwd"] == os.getcwd()
    assert found["ignored"] == [signal.SIGPIPE, signal.SIGXFSZ]
    assert found["blocked"] == []


def test_an_end_is_told_with_its_cause(rig: Rig) -> None:
    """An exit code, a signal; with what it has used."""
    one, two = rig.spawn(), rig.spawn()
    pid = rig.until("born", one)
    rig.order(one, "exit", 3)
    rig.until("born", two)
    rig.order(two, "kill", signal.SIGTERM)
    ending = rig.until("ended", one)
    assert (str(ending), ending.pid) == ("exit code 3", pid)
    assert ending.maxrss_bytes > 1 << 20
    assert str(rig.until("ended", two)) == "killed by SIGTERM"


def test_a_worker_is_killed_and_its_stack_kept(rig: Rig) -> None:
    """Through a pidfd; what it was at is read from its memfd, even when it is dead."""
    number, _ = rig.worker()
    rig.tell(number, "describe")
    assert rig.engine.signal(number, kernel.STACK_SIGNAL)
    eventually(lambda: "boot.py" in rig.engine.stack(number))
    assert rig.engine.kill(number)
    assert rig.until("ended", number).signal == signal.SIGKILL
    assert "pool_engine_rig.py" in rig.engine.stack(number)
    assert not rig.engine.kill(number)
    rig.forget(number)
    assert rig.engine.stack(number) == ""


def test_a_crash_leaves_its_stack(rig: Rig) -> None:
    """A fatal signal is told by name, and where it came."""
    number, _ = rig.worker()
    rig.order(number, "kill", signal.SIGSEGV)
    assert str(rig.until("ended", number)).startswith("killed by SIGSEGV")
    assert "Segmentation fault" in rig.engine.stack(number)


def test_a_stopped_worker_is_killed_like_any_other(rig: Rig) -> None:
    """SIGSTOP protects nobody."""
    number, pid = rig.worker()
    assert rig.engine.signal(number, signal.SIGSTOP)
    eventually(lambda: (now := kernel.stat(pid)) is not None and now.state == "T")
    rig.engine.kill(number)
    assert rig.until("ended", number).signal == signal.SIGKILL


@pytest.mark.parametrize("clean", [False, True], ids=["daemon", "daemon without environment"])
def test_what_a_worker_daemonised_goes_with_it(rig: Rig, clean: bool) -> None:
    """A session of its own and a cleared environment do not hide it; the daemon of a living worker stays."""
    one, two = rig.spawn(), rig.spawn()
    rig.until("born", one)
    rig.until("born", two)
    left, kept = rig.tell(one, "daemon", clean), rig.tell(two, "daemon", clean)
    assert is_alive(left)
    rig.engine.kill(one)
    rig.until("ended", one)
    eventually(lambda: not is_alive(left))
    assert is_alive(kept)


def test_a_worker_killed_before_it_is_born_is_told_once(rig: Rig) -> None:
    """As unborn; or, if it was quicker, as born and killed. Nothing of it runs on."""
    number = rig.spawn()
    assert rig.engine.kill(number)
    if rig.outcome(number)[0] == "born":
        assert rig.until("ended", number).signal == signal.SIGKILL
    rig.worker()
    assert [told[0] for told in rig.told if told[1] == number] in (["unborn"], ["born", "ended"])
    assert rig.named(f"pool {number}") == []


def test_one_that_is_forgotten_unborn_is_told_no_more(rig: Rig) -> None:
    """The next one is told, and is the only one there."""
    first = rig.spawn()
    rig.forget(first)
    number, _ = rig.worker()
    eventually(lambda: rig.named(f"pool {first}") == [])
    assert {told[1] for told in rig.told} == {number}


def test_a_target_that_cannot_be_imported_is_unborn(capfd: pytest.CaptureFixture[str]) -> None:
    """With the error in the reason."""
    with Rig("no_such_module:main") as rig:
        number = rig.spawn()
        assert "import: ModuleNotFoundError: No module named 'no_such_module'" in rig.until("unborn", number)
    capfd.readouterr()


def test_sixty_are_asked_for_at_once_and_all_come(rig: Rig) -> None:
    """More than a socket's buffer takes: what does not fit waits with us."""
    numbers = [rig.spawn() for _ in range(60)]
    pids = {rig.until("born", number) for number in numbers}
    assert len(pids) == 60


def test_an_embryo_is_never_taken_for_its_template(rig: Rig) -> None:
    """Both are the root's children, and known by their names: whenever one looks, no more than one is called a template."""
    rig.worker()
    rig.the("template pool")
    seen = set()
    for _ in range(20):
        number = rig.spawn()
        while not any(told[1] == number for told in rig.told):
            seen.add(len(rig.named("template pool")))
            rig.turn(0)
    assert seen <= {0, 1}


def test_a_number_is_used_once(rig: Rig) -> None:
    """The brand of two workers would be the same."""
    number, _ = rig.worker()
    end, other = os.pipe()
    os.close(end)
    with pytest.raises(ValueError, match=f"worker {number}: "):
        rig.engine.spawn(number, rig.ends[number])
    os.close(other)


def test_preloads_and_the_main_module_are_there(tmp_path: Path) -> None:
    """Imported once, in the template, before any worker; the main module as what it is to pickle."""
    (tmp_path / "early.py").write_text("import os\nWHERE = os.getpid()\n")
    (tmp_path / "script.py").write_text("if __name__ == '__main__':\n    raise SystemExit(9)\nNAME = __name__\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with Rig(preload=["early"], main=MainModule(str(tmp_path / "script.py"))) as rig:
            one, two = rig.worker()[0], rig.worker()[0]
            places = {rig.tell(number, "look", "early", "WHERE") for number in (one, two)}
            assert places == {rig.the("template pool")}
            assert rig.tell(two, "look", "__main__", "NAME") == "__mp_main__"
    finally:
        sys.path.remove(str(tmp_path))


def test_a_failed_preload_is_said_once_and_the_pool_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """On stderr, with its traceback; the next template does not try it again."""
    (tmp_path / "wrong.py").write_text("raise RuntimeError('not today')\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with Rig(preload=["wrong"]) as rig:
            rig.worker()
            os.kill(rig.the("template pool"), signal.SIGKILL)
            rig.wait_for(lambda: rig.engine._trunk._templates == 2)
            rig.worker()
    finally:
        sys.path.remove(str(tmp_path))
    assert capfd.readouterr().err.count("preload of wrong failed") == 1
