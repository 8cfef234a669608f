"""A client that hurts a service: it holds a lease on what it did, so that all of it is undone when the client is gone.

The lease is a random word. A thread keeps a `hold` request open for it and asks again whenever the supervisor is away,
which our own faults may be the reason of. `close` undoes what is left; so does the service 5 s after a client that was
killed. A lease that somebody else halts is over: nothing more can be injected by this session.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import msgspec

from supervisor.chaos.record import Injected
from supervisor.cli import client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

PATIENCE_S = 30.0  # for a supervisor that our own faults have stopped or killed
_AGAIN_S = 0.05
CALLED_OFF = "the run is over: what it did is undone, and nothing more is injected"


class Refused(client.Denied):
    """The service, or this client for it, does not do that: exit code 3."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, 3)


class Usage(client.Denied):
    """There is no such kind, parameter or worker: exit code 2."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, 2)


class Aborted(client.Denied):
    """The service has undone everything, for too few workers were ready: exit code 4."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, 4)


class Halted(Aborted):
    """Somebody ran `chaos halt`: what this session did is undone, and it does nothing more."""


class Session:
    """On the control socket at `path`. Its methods may be called by any thread; `faults` are all it injected."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.faults: list[Injected] = []
        self.halted = threading.Event()  # by somebody else, or because the service is over
        self.epoch = 0  # one more each time everything is called off
        self._lease: str | None = None
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._holders: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"<Session {self.path} lease={self._lease} faults={len(self.faults)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- asking

    def chaos(self) -> dict[str, Any]:
        """What the service says of chaos: enabled, settings, may_hit, ready, kinds, active."""
        return self._ask({"verb": "chaos"})

    def status(self) -> dict[str, Any]:
        """All of `status --json`."""
        return self._ask({"verb": "status"})

    # -- doing

    def inject(
        self,
        kind: str,
        workers: Sequence[str] = (),
        *,
        seconds: float | None = None,
        parameters: dict[str, Any] | None = None,
        dry_run: bool = False,
        epoch: int | None = None,
    ) -> list[Injected]:
        """Do one fault to each of these workers (exact names), all or none; what was done.

        seconds: how long a lasting fault lasts (None: the service's default). dry_run: only whether it would be done.
        epoch: only if nothing was called off since.
        Raises Refused, Usage, Halted, client.NoAnswer; client.Dropped when it is not known whether it was done.
        """
        request = {
            "verb": "inject", "kind": kind, "workers": list(workers), "seconds": seconds, "parameters": parameters or {},
            "lease": None if dry_run else self._held(epoch), "dry_run": dry_run,
        }  # fmt: skip
        try:
            answer = self._ask(request, again=False)
        except client.Dropped as error:
            names = " ".join(workers) or "the service"
            raise client.Dropped(f"{error}: whether {kind} was done to {names}, `ninelives events` says") from error
        done = [_injected(fault, seconds, parameters or {}) for fault in answer["faults"]]
        if not dry_run:
            self.faults += done
        return done

    def halt(self, chaos_ids: Sequence[str] | None = None) -> list[str]:
        """Undo what this session did, or some of it; the chaos_ids of what was still to be undone. Idempotent."""
        with self._lock:
            lease = self._lease
            if chaos_ids is None:
                self._lease = None  # the next fault gets a lease of its own; that this one is over is our doing
        if lease is None and chaos_ids is None:
            return []
        return halt(self.path, lease=lease, chaos_ids=chaos_ids)

    def call_off(self) -> list[str]:
        """The same, and whoever began before this moment injects nothing more."""
        with self._lock:
            self.epoch += 1
        return self.halt()

    def close(self) -> None:
        """Undo what is left and let go of the lease; nothing is raised when the service is not there any more."""
        with contextlib.suppress(client.NoAnswer, client.Dropped, client.Denied):
            self.halt()
        self._closed.set()
        with self._lock:
            if self._sock is not None:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
        for holder in self._holders:
            holder.join(2 * PATIENCE_S)

    # -- the lease

    def _held(self, epoch: int | None) -> str:
        """The lease, which from now on is held by a thread."""
        with self._lock:
            if epoch not in (None, self.epoch):
                raise Halted(CALLED_OFF)
            if self.halted.is_set():
                raise Halted("this run was halted: what it did is undone, and nothing more is injected")
            if self._lease is None:
                self._lease = secrets.token_hex(16)
                holder = threading.Thread(target=self._hold, args=(self._lease,), name="lease", daemon=True)
                self._holders.append(holder)
                holder.start()
            return self._lease

    def _hold(self, lease: str) -> None:
        """Have a `hold` request under way as long as this is our lease."""
        while self._lease == lease and not self._closed.is_set():
            try:
                if self._hold_once(lease):
                    break
            except client.Dropped:
                pass
            except (client.NoAnswer, client.Denied):
                break
            self._closed.wait(_AGAIN_S)
        with self._lock:
            if self._lease == lease and not self._closed.is_set():
                self._lease = None
                self.halted.set()

    def _hold_once(self, lease: str) -> bool:
        """Whether the lease is over; False when the connection ended first."""
        with client.connect(self.path, None) as sock:
            with self._lock:
                if self._closed.is_set() or self._lease != lease:
                    return True
                self._sock = sock
            try:
                client.send(sock, {"id": 1, "verb": "hold", "lease": lease})
                for line in client.lines(sock, None):
                    client.result(line)
                    return True
            finally:
                with self._lock:
                    if self._sock is sock:
                        self._sock = None
        return False

    def _ask(self, request: dict[str, Any], *, again: bool = True) -> dict[str, Any]:
        return ask(self.path, request, again=again)


def ask(path: str, request: dict[str, Any], *, again: bool = True) -> dict[str, Any]:
    """One request, whose refusals are types: Refused, Usage; client.Denied for what failed."""
    try:
        answer: dict[str, Any] = client.ask(path, request, patience=PATIENCE_S, again=again, reassure=False)
    except client.Denied as error:
        match error.code:
            case 2:
                raise Usage(str(error)) from error
            case 3:
                raise Refused(str(error)) from error
        raise
    return answer


def halt(path: str, *, lease: str | None = None, chaos_ids: Sequence[str] | None = None) -> list[str]:
    """Undo faults: of a lease, of certain ids, or (both None) all there are. The ids of what was undone."""
    ids = None if chaos_ids is None else list(chaos_ids)
    undone: list[str] = ask(path, {"verb": "halt", "lease": lease, "chaos_ids": ids})["undone"]
    return undone


def _injected(fault: dict[str, Any], seconds: float | None, parameters: dict[str, Any]) -> Injected:
    return msgspec.convert({"seconds": seconds, "parameters": parameters, **fault}, Injected)
