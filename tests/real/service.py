"""A real service for a test: started from a TOML string, read live, hurt at will, and gone afterwards.

    with Service(tmp_path, '[workers.one]\ntarget = "workers.hanger:main"\n') as service:
        service.wait_for("worker.ready", worker="one")
        since = service.mark
        service.kill(service.supervisor)
        service.wait_for("supervisor.resumed", since=since)

Everything it says is read by a thread as it comes, so no test can block the service by looking away. Leaving the `with`
stops the service and holds it to its promises: no process with its brand, no socket, no traceback of ours on stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from supervisor import kernel
from supervisor.cli import client
from tests.real.living import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

PATIENCE = 15.0  # seconds until a test gives up waiting; nothing healthy comes near it
STOPS_WITHIN = 20.0
RUN = (sys.executable, "-c", "from supervisor.cli.main import entry; entry()", "run")

Event = dict[str, Any]
T = TypeVar("T")


class Service:
    """`modules` (name -> source) are written beside the config, where workers find them.

    `run` is argv before the config, `runtime` another service's folder of sockets, to get in its way.
    """

    def __init__(
        self, folder: Path, config: str, *, modules: Mapping[str, str] | None = None, name: str = "rig",
        run: tuple[str, ...] = RUN, env: Mapping[str, str] | None = None, runtime: Path | None = None,
    ) -> None:
        self.folder, self.name, self.run = folder, name, run
        folder.mkdir(exist_ok=True)
        self.config = folder / "service.toml"
        self.config.write_text(config)
        for module, source in (modules or {}).items():
            (folder / f"{module}.py").write_text(source)
        self.runtime = runtime or folder / "run"
        self.runtime.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if key not in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET")}
        self.env = {**kept, "XDG_RUNTIME_DIR": str(self.runtime), **(env or {})}
        self.events: list[Event] = []
        self.tracebacks_are_fine = False  # a test that breaks our own code on purpose says so
        self.nonce: int | None = None
        self._news = threading.Condition()

    # -- from start to end ----------------------------------------------------------------------------------------------

    def start(self, *more: str) -> Self:
        """Start it, and return at once."""
        with open(self.folder / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [*self.run, str(self.config), "--name", self.name, "--log-format", "json", *more],
                env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            )
        self._silent = False  # nothing more will be said
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            with self._news:
                self.events.append(event)
                self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_for("supervisor.started")
            self.until(lambda: self.children("nl-supervisor"), "there is a supervisor")
        except BaseException:
            self._put_down()
            print(self.stderr)
            raise
        brand = kernel.read_brand(self.supervisor)
        assert brand is not None
        self.nonce = brand >> 32 & 0xFFFFFF
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        code = None
        try:
            if self.process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = self.stop()
            ended_by_itself = self.process.poll() is not None
            left = self.living()
        finally:
            self._put_down()
        if kind is not None:
            self.show()
            return
        assert ended_by_itself, f"it did not stop within {STOPS_WITHIN} s of SIGTERM\n{self.show()}"
        assert not left, f"alive after the service: {[self.describe(pid) for pid in left]}"
        assert code is None or code >= 0, f"the anchor was killed by signal {-code}"
        assert self.tracebacks_are_fine or "Traceback" not in self.stderr, self.stderr

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for an orderly stop; the exit code, once it has left and every line it wrote is read."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self, timeout: float = STOPS_WITHIN) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def _put_down(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.nonce is not None:
            kernel.last_rites(self.nonce)
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        shutil.rmtree(self.runtime, ignore_errors=True)

    # -- what it says ---------------------------------------------------------------------------------------------------

    @property
    def mark(self) -> int:
        """Where the events end now: `since` for what comes next."""
        return len(self.events)

    def seen(self, event: str, *, since: int = 0, **fields: Any) -> list[Event]:
        """The events of this name with these fields; a field may be given as a predicate."""
        return [each for each in self.events[since:] if each["event"] == event and _has(each, fields)]

    def wait_for(self, event: str, *, since: int = 0, timeout: float = PATIENCE, count: int = 1, **fields: Any) -> Event:
        """The `count`-th such event, as soon as it is there."""
        found: list[Event] = []
        looked = since

        def look() -> bool:
            nonlocal looked
            found.extend(self.seen(event, since=looked, **fields))
            looked = len(self.events)
            return self._silent or len(found) >= count

        with self._news:
            self._news.wait_for(look, timeout)
        missing = f"no {event} {fields or ''} within {timeout} s (got {len(found)} of {count})"
        assert len(found) >= count, f"{missing}; what came instead: {self._in_brief(since)}"
        return found[count - 1]

    def _in_brief(self, since: int, last: int = 20) -> str:
        """The last events in one line, each with its time, for a message that may be all that is left of a run."""
        events = [each for each in self.events[since:] if each["event"] != "worker.output"][-last:]
        told = (f"{each['timestamp'][17:23]} {each['event']} {each.get('worker', '')}".rstrip() for each in events)
        return ", ".join(told) or "nothing"

    @property
    def stderr(self) -> str:
        """What it wrote there."""
        return (self.folder / "stderr").read_text(errors="replace")

    def show(self, last: int = 60) -> str:
        """Print the last events (pytest shows them when the test fails)."""
        for event in self.events[-last:]:
            print(*(f"{key}={event[key]}" for key in event if key not in ("schema", "instance_id", "rusage")))
        print(self.stderr)
        return ""

    # -- what it answers ------------------------------------------------------------------------------------------------

    @property
    def socket(self) -> str:
        """Where it listens."""
        return str(self.runtime / "ninelives" / f"{self.name}.sock")

    def ask(self, verb: str, *, patience: float | None = PATIENCE, **fields: Any) -> Any:
        """The result of a request; client.Denied where it is refused."""
        return client.ask(self.socket, {"verb": verb, **fields}, patience=patience, again=verb == "status")

    def status(self) -> dict[str, Any]:
        """All of `status --json`."""
        found: dict[str, Any] = self.ask("status")
        return found

    def worker(self, name: str) -> dict[str, Any]:
        """One worker's row of it."""
        return next(row for row in self.status()["workers"] if row["worker"] == name)

    def pid(self, worker: str) -> int:
        """The process of a worker, as `status` has it."""
        pid = self.worker(worker)["pid"]
        assert isinstance(pid, int), f"{worker} has no process"
        return pid

    # -- its processes --------------------------------------------------------------------------------------------------

    @property
    def anchor(self) -> int:
        """The process that was started."""
        return self.process.pid

    @property
    def supervisor(self) -> int:
        """The supervisor of this moment (the older one during an upgrade)."""
        return self.until(lambda: self.children("nl-supervisor"), "there is a supervisor")[0]

    @property
    def pump(self) -> int:
        """The pump of this moment."""
        return self.until(lambda: self.children("nl-pump"), "there is a pump")[0]

    def template(self, name: str = "bare") -> int:
        """A template's process."""
        return self.until(lambda: self.children(f"template {name}"[:15]), f"there is a template {name}")[0]

    def embryo(self, name: str = "bare") -> int:
        """The process a template has forked ahead of time."""
        return self.until(lambda: self.children(f"embryo {name}"[:15]), f"template {name} has an embryo")[0]

    def children(self, command: str | None = None) -> list[int]:
        """The anchor's living children, oldest first; those of a certain name (`ps -o comm`)."""
        found = [now for pid in kernel.children(self.anchor) if (now := kernel.stat(pid)) and now.state not in "ZX"]
        return [now.pid for now in sorted(found, key=lambda now: now.start) if command in (None, now.command)]

    def living(self) -> list[int]:
        """Every living process on the machine that carries this service's brand."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_branded(pid) and is_alive(pid)]

    def _is_branded(self, pid: int) -> bool:
        brand = kernel.read_brand(pid)
        return brand is not None and brand >> 61 == 1 and brand >> 32 & 0xFFFFFF == self.nonce

    @staticmethod
    def describe(pid: int) -> str:
        """For a message."""
        now = kernel.stat(pid)
        return f"{pid} {now.command} ({now.state})" if now else f"{pid} (gone)"

    def kill(self, *pids: int, number: int = signal.SIGKILL) -> None:
        """Signal processes, SIGKILL unless told otherwise."""
        for at, pid in enumerate(pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                if at == 0:  # the end of one may take another along before its turn: a template its embryo
                    raise

    def kill_supervisor(self) -> Event:
        """SIGKILL it; the `supervisor.resumed` of the next."""
        since = self.mark
        self.kill(self.supervisor)
        return self.wait_for("supervisor.resumed", since=since)

    def freeze(self, pid: int) -> None:
        """SIGSTOP, and wait until it has stopped."""
        os.kill(pid, signal.SIGSTOP)
        self.until(lambda: (now := kernel.stat(pid)) is not None and now.state == "T", f"{pid} has stopped")

    def thaw(self, pid: int) -> None:
        """SIGCONT; nothing if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def until(self, look: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
        """Look until it is true, for what no event tells."""
        return until(look, what, timeout)


def until(look: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Look until it is true; what was seen."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.002)
    return found


def _has(event: Event, fields: Mapping[str, Any]) -> bool:
    for key, wanted in fields.items():
        value = event.get(key)
        if not (wanted(value) if callable(wanted) else value == wanted):
            return False
    return True
