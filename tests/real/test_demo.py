"""`ninelives demo` with real processes, quickly: every experiment comes to an end, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.demo import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEMO = (sys.executable, "-c", "from supervisor.cli.main import entry; entry()", "demo")
PATIENCE = 45.0
# Their outcome depends on how busy the machine is, so only that they come to one is tested here; the others must hold.
TIMED = {"performance", "resources", "responsiveness", "power", "simultaneous", "isolation", "placement"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a demo keeps its temporary files; not tmp_path, which is too long a path for sockets."""
    with tempfile.TemporaryDirectory(prefix="nl-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def demo(folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a demo."""

    def start(*words: str, **more: Any) -> subprocess.Popen[str]:
        env = {**os.environ, "TMPDIR": str(folder)}
        return subprocess.Popen(
            [*DEMO, *words], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
        )

    return start


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_an_experiment_comes_to_an_end_here(
    demo: Callable[..., subprocess.Popen[str]], name: str, folder: Path
) -> None:
    """It judges what it measured; where the machine's load has no say, its claim holds."""
    process = demo("--quick", "--json", "--only", name)
    said, errors = process.communicate(timeout=PATIENCE)
    (result,) = json.loads(said)["experiments"]
    held = result["outcome"]["held"]
    assert "the experiment failed" not in result["outcome"]["why"], result["outcome"]["why"]
    assert name in TIMED or held != "no", result["outcome"]["why"]
    assert process.returncode == (1 if held == "no" else 0)
    assert result["figures"]
    assert f"[1/1] {name}: {held}" in errors
    assert os.listdir(folder) == []


def test_ctrl_c_ends_it_at_once(demo: Callable[..., subprocess.Popen[str]], folder: Path) -> None:
    """In the middle of an experiment with a service and its workers; nothing is left of them."""
    process = demo("--only", "creation")
    _until(lambda: any(folder.glob("ninelives-demo-*/service-*/ninelives/*.sock")), "the experiment's service runs")
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert time.monotonic() - asked < 3
    assert "Traceback" not in errors
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", ["creation", "responsiveness"])
def test_a_killed_demo_leaves_no_process(demo: Callable[..., subprocess.Popen[str]], folder: Path, name: str) -> None:
    """The stage dies with it, and everything it started with the stage (`nothing_left` counts)."""
    process = demo("--only", name)
    _until(lambda: any(folder.glob(f"ninelives-demo-*/{name}.log")), "the experiment has begun")
    time.sleep(0.3)  # in the middle of it, wherever that is
    process.kill()
    process.communicate(timeout=PATIENCE)


def test_on_one_core_there_is_no_speed_up(demo: Callable[..., subprocess.Popen[str]]) -> None:
    """It says so, and the exit code tells a script; what cannot be shown on one core does not apply."""
    one = {min(os.sched_getaffinity(0))}
    process = demo(
        "--quick", "--json", "--only", "performance", "placement", preexec_fn=lambda: os.sched_setaffinity(0, one)
    )
    said, _ = process.communicate(timeout=PATIENCE)
    performance, placement = (result["outcome"] for result in json.loads(said)["experiments"])
    assert performance["held"] == "no"
    assert "on one core there is no speed-up" in performance["why"]
    assert placement["held"] == "does not apply here"
    assert process.returncode == 1


def test_an_experiment_that_takes_too_long_is_ended() -> None:
    """It has shown nothing, and the next one is not kept waiting."""
    code = (
        "from supervisor.demo import director\n"
        "for each in director.perform(['creation', 'memory'], quick=True, tick=lambda *_: None, longest=float('0.5')):\n"
        "    print(each.name, each.outcome.held, each.outcome.why.splitlines()[0], flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE)
    first, second = done.stdout.splitlines()
    assert first.startswith("creation no the experiment failed: it was not over after 0.5 s")
    assert second.startswith("memory ")


def test_the_page_is_written(demo: Callable[..., subprocess.Popen[str]], folder: Path) -> None:
    """As HTML to the file, as text to stdout."""
    page = folder / "notes.html"
    process = demo("--quick", "--only", "memory", "--html", str(page))
    said, _ = process.communicate(timeout=PATIENCE)
    assert "Row 5: address space: held" in said
    assert "<h2>Row 5: address space</h2>" in page.read_text()


def test_a_page_that_cannot_be_written_is_said_at_once(
    demo: Callable[..., subprocess.Popen[str]], folder: Path
) -> None:
    """Not in a minute."""
    process = demo("--html", str(folder / "missing" / "page.html"))
    said, errors = process.communicate(timeout=5)
    assert (process.returncode, said) == (2, "")
    assert "page.html: No such file or directory" in errors


def test_an_unknown_experiment_is_wrong_usage(demo: Callable[..., subprocess.Popen[str]]) -> None:
    """The answer names those there are."""
    process = demo("--only", "perpetuum")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "responsiveness" in errors


def _until(so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < deadline, f"never seen: {what}"
        time.sleep(0.01)
