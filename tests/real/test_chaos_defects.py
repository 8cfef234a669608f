"""A broken service is caught: each defect, planted in a copy of the package, deviates in the experiment that is meant for it.

And the same experiments hold on a copy that nobody has broken: so what they caught is the defect, and not the copy.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests import leftovers
from tests.real import shipped
from tests.real.copied import Copy
from tests.real.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

pytestmark = pytest.mark.timeout(120)


class Defect(NamedTuple):
    """A mistake somebody may make: `old` in a module becomes `new`; which experiment sees it, and by what.

    unmet: one of these probes is not to the liking of the hypothesis. broken: these invariants are.
    """

    what: str
    module: str
    old: str
    new: str
    experiment: str
    unmet: str
    broken: tuple[str, ...] = ()


DEFECTS = (
    Defect(
        "forgets to sweep what a worker left behind", "orphans",
        "            found = self.of(number)\n", "            found = []\n",
        "grandchild", "the daemon was swept", ("no_orphan",),
    ),
    Defect(
        "restarts the other replicas of a worker that fails", "book",
        "        worker = self._worker_of(ending.worker)\n",
        "        worker = self._worker_of(ending.worker)\n"
        "        for number in range(4):\n"
        '            other = self._worker_of(f"{ending.worker[:-2]}-{number}")\n'
        "            if ending.chaos_id and other and other is not worker and other.process:\n"
        '                __import__("os").kill(other.process.pid, 9)\n',
        "kill", "nobody was hurt but who was meant",
    ),
    Defect(
        "loses the endings of some workers", "book",
        '        self._log.announce(\n            "worker.ended",',
        '        ending.worker.startswith("note") or self._log.announce(\n            "worker.ended",',
        "kill", "every death was told", ("one_ending",),
    ),
    Defect(
        "has a slow loop: it sleeps in a callback", "book",
        "        worker = self._worker_of(ending.worker)\n", '        __import__("time").sleep(1.3)\n'
        "        worker = self._worker_of(ending.worker)\n",
        "kill", "who had a standby was back within a second",
    ),
    Defect(
        "leaks a descriptor with each restart", "life",
        "        self.worker.notify_path()  # raises", '        os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)\n'
        "        self.worker.notify_path()  # raises",
        "rolling-kill", "what must always hold does", ("descriptors",),
    ),
    Defect(
        "forgets, when it resumes, who lives, and starts them once more", "resume",
        "            elif worker is not None and worker.adopted is None:\n                worker.adopted = process\n",
        "            elif worker is not None and worker.adopted is None:\n                pass\n",
        "kill-supervisor", "what must always hold does", ("one_life",),
    ),
    Defect(
        "puts its workers down when it resumes", "resume",
        "                worker.adopted = process\n",
        "                worker.adopted = process\n                processes.signal_tree(process, signal.SIGKILL)\n",
        "kill-supervisor", "nobody was hurt but who was meant",
    ),
    Defect(
        "says that it undoes a fault, and does not", "chaos/faults/freeze",
        "    scene.signal(signal.SIGCONT)\n", "",
        "freeze", "the short stop was no hang",
    ),
    Defect(
        "forgets to undo a fault at its time", "chaos/ongoing",
        'self._loop.call_later(left, self._begin_to_undo, [one.chaos_id], "over")',
        'self._loop.call_later(left + 60, self._begin_to_undo, [one.chaos_id], "over")',
        "pipe-slice", "what must always hold does", ("all_undone",),
    ),
    Defect(
        "misses hangs", "vigil",
        "        watch.judge(now)\n", "        watch.active = False\n",
        "hang", "every hang was noticed",
    ),
    Defect(
        "forgets the backoff", "keeper",
        "    return delays(_culprit(state).policy.backoff)(state)\n", "    return 0.0\n",
        "crash-loop", "the waits grew, and were kept",
    ),
    Defect(
        "tells of a backoff, and does not wait for it", "keeper",
        "                if self.due_at is None or self.due_at > now():\n", "                if self.due_at is None:\n",
        "crash-loop", "the waits grew, and were kept",
    ),
    Defect(
        "never gives up", "keeper",
        "    return culprit.is_hopeless() or stop_after_attempt(culprit.policy.max_failures)(state)\n", "    return False\n",
        "crash-loop", "it was given up at last",
    ),
    Defect(
        "leaves alone who stands behind the one that failed", "group",
        "                self._side = chain(self._members)\n",
        "                self._side = Together([Keep(member, [member]) for member in self._members], self._members)\n",
        "cascade", "those behind restarted",
    ),
    Defect(
        "never makes another standby", "standby",
        "    async def _bury(self, process: Process) -> None:\n", "    async def _bury(self, process: Process) -> None:\n"
        '        self.spec = __import__("msgspec").structs.replace(self.spec, standby=0)\n',
        "kill-standby", "there was another",
    ),
    Defect(
        "does not kill who ignores SIGTERM", "death",
        "        left = max(0.0, begun + self._life.spec.grace - time.monotonic())\n", "        left = 5.0\n",
        "ignore-term", "that took its grace of 1 s and little more",
    ),
    Defect(
        "has a pump that loses lines and does not say so", "pump/lines",
        '        end = data.rfind(b"\\n") + 1\n        if part', '        if data.count(b"\\n") > 3:\n'
        '            data = data[data.find(b"\\n") + 1 :]\n        end = data.rfind(b"\\n") + 1\n        if part',
        "log-flood", "all of its 2,000 lines came",
    ),
    Defect(
        "takes no note of nonsense", "life",
        "        if self._violations <= VIOLATIONS_TOLD:\n", "        if self._violations < 0:\n",
        "pipe-garbage", "the nonsense was told",
    ),
    Defect(
        "does not say that a config is bad", "service",
        '                if not diff:\n                    self.host.announce("config.rejected"', "                if diff:\n"
        '                    self.host.announce("config.rejected"',
        "reload-bad", "every one of them was rejected",
    ),
)  # fmt: skip


class Broken(Service):
    """One of which nothing is asked when it leaves: it is killed, with all it has."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(AssertionError):
            super().__exit__(kind, error, trace)


def copied(folder: Path) -> Copy:
    """The whole package, with the shipped experiments."""
    copy = Copy(folder)
    shutil.copytree(shipped.FOLDER, copy.root / "config" / "chaos")
    return copy


def started(copy: Copy, folder: Path, made: type[Service] = Service) -> Service:
    """The shipped service, of this copy."""
    one = made(folder / "service", "", run=copy.run, env={"PYTHONPATH": ""})
    one.config = copy.root / "config" / "chaos" / "service.toml"
    return one


@pytest.fixture(scope="module", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After all of them, instead of after each: the sound service goes on in between."""
    with leftovers.none(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="module")
def sound(nothing_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A copy that nobody has broken."""
    folder = tmp_path_factory.mktemp("sound")
    with started(copied(folder), folder) as running:
        running.wait_for("supervisor.ready", timeout=30)
        yield running


@pytest.mark.parametrize("name", sorted({defect.experiment for defect in DEFECTS}))
def test_the_experiment_holds_on_a_sound_copy(sound: Service, name: str, tmp_path: Path) -> None:
    """What is caught below is the defect, and not the copy."""
    done = shipped.run(sound, name, tmp_path)
    assert done.code == 0, f"{done.err}\n{done.out}"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what.replace(" ", "-"))
def test_a_service_that_is_broken_is_caught(defect: Defect, tmp_path: Path) -> None:
    """It deviates, exit code 1, and the report names what was broken."""
    copy = copied(tmp_path)

    def plant(text: str) -> str:
        assert text.count(defect.old) == 1, "the code is another now: plant the defect where it belongs"
        return text.replace(defect.old, defect.new)

    copy.change(defect.module, plant)
    with started(copy, tmp_path, Broken) as broken:
        broken.wait_for("supervisor.ready", timeout=30)
        done = shipped.run(broken, defect.experiment, tmp_path)
    assert done.code == 1, f"{done.err}\n{done.out}"
    assert "DEVIATED" in done.out
    assert defect.unmet in done.unmet, f"unmet: {done.unmet}\n{done.err}\n{done.out}"
    assert set(defect.broken) <= done.broken, f"broken: {done.broken}\n{done.out}"
    assert defect.unmet in done.out
