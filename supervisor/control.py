"""The control socket: one JSON request a line, one JSON answer a line, and nobody can get in anybody's way.

The rule of this file: whatever a client does costs that client. Its line, its unanswered requests, its unread
answers and its silence are bounded, and so are their sums; every request is a task of its own, so none waits
behind another worker's slow stop; answers carry the request's `id`, because they may come in another order.
What the verbs *do* is the Service's business, who may use them is `peer`'s.

    {"id": 1, "verb": "stop", "workers": ["mailer"], "wait": true}
    {"id": 1, "ok": true, "result": {"stopped": ["mailer"]}}
    {"id": 1, "ok": false, "code": 3, "error": "no worker is called 'mialer': did you mean 'mailer'?"}
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from supervisor.doorway import BOUNDS, Bounds, Doorway, Guest
from supervisor.peer import Access, Peer, peer_of, refusal
from supervisor.requests import (
    Chaos,
    ControlError,
    Failed,
    Follow,
    Halt,
    Hold,
    Inject,
    Refused,
    Release,
    Reload,
    Request,
    Restart,
    Scale,
    Shutdown,
    Start,
    Status,
    Stop,
    Upgrade,
    Usage,
    parse,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Sabotage(Protocol):
    """Faults on purpose. Methods may raise Failed, Usage or Refused."""

    async def describe(self) -> dict[str, Any]:
        """Which faults there are, whom they may hit, which go on."""

    async def inject(self, request: Inject) -> dict[str, Any]:
        """Do it; what was done to whom."""

    async def hold(self, lease: str) -> dict[str, Any]:
        """Return when the lease is over; cancelled, it is held no more."""

    async def halt(self, lease: str | None, chaos_ids: list[str] | None) -> dict[str, Any]:
        """Undo; what was."""


class Service(Protocol):
    """What the daemon does for its clients. Every method may raise Failed, Usage or Refused.

    `workers` are names or globs of workers and groups; one that matches nothing is Refused, with a
    suggestion. `wait`: return only when the workers are where they were asked to be. A client that leaves
    cancels nothing.
    """

    @property
    def chaos(self) -> Sabotage:
        """What breaks it on purpose."""

    async def status(self, worker: str | None) -> dict[str, Any]:
        """Everything `status --json` shows."""

    async def start(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them up."""

    async def stop(self, workers: list[str], *, wait: bool) -> dict[str, Any]:
        """Want them down."""

    async def restart(self, workers: list[str], *, rolling: bool, wait: bool) -> dict[str, Any]:
        """Give each a new life; rolling: the next when the one before is ready."""

    async def release(self, workers: list[str]) -> dict[str, Any]:
        """Let them out of quarantine."""

    async def scale(self, worker: str, replicas: int) -> dict[str, Any]:
        """Have so many replicas of a worker; siblings are not touched."""

    async def reload(self, *, diff: bool) -> dict[str, Any]:
        """Read the config again; {"changes": text}. diff: only say what would change."""

    async def upgrade(self) -> dict[str, Any]:
        """Let new code take over; Failed when the old one stays."""

    async def shutdown(self) -> None:
        """Begin to stop and return: called once the client has its answer."""

    async def follow(self, sock: socket.socket, wanted: dict[str, Any], *, follow: bool) -> None:
        """Give the client's socket (non-blocking) to the pump. From here on it is the Service's to close."""


class ControlServer:
    """Answers requests on a listening socket that is not its own: it never closes or unlinks it.

    denied: called with what `control.denied` logs (verb, uid, gid, pid, why), at most once a second per uid.
    `access` may be replaced at any time (a reload). Belongs to the running loop.
    """

    def __init__(
        self,
        listener: socket.socket,
        service: Service,
        *,
        access: Access,
        denied: Callable[[dict[str, Any]], None],
        bounds: Bounds = BOUNDS,
    ) -> None:
        self.access = access
        self._service = service
        self._denied = denied
        self._denied_at: dict[int, float] = {}
        self._doorway = Doorway(listener, self._hear, bounds)
        self._bounds = bounds
        self._unfinished = 0
        self._looks: dict[str | None, asyncio.Task[msgspec.Raw]] = {}
        self._turns = {whole: asyncio.Lock() for whole in (True, False)}  # who asks for one does not wait for all

    def __repr__(self) -> str:
        return f"<ControlServer {self._doorway!r}>"

    def start(self) -> None:
        """Begin to accept."""
        self._doorway.open()

    async def close(self) -> None:
        """Accept no more, let what is being answered be sent (1 s), cut the rest. The listener stays open."""
        await self._doorway.close()

    async def _hear(self, guest: Guest, line: bytes) -> None:
        """Judge one line: what is wrong with it is answered, anything else begun as a task of its own."""
        fields: Any = None
        try:
            fields = msgspec.json.decode(line)
            request = parse(fields)
            self._admit(peer_of(guest.sock), request)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            await self._tell(guest, None, Usage(f"not a JSON object on one line: {error}"))
        except ControlError as error:
            await self._tell(guest, fields.get("id") if isinstance(fields, dict) else None, error)
        else:
            if isinstance(request, Follow):
                await self._follow(guest, request)
            elif isinstance(request, Hold):
                await guest.begin(lambda: self._hold(guest, request))
            elif self._unfinished >= self._bounds.unfinished and not request.reading:
                # Clients may leave what they asked for behind; who only looks is served all the same.
                await self._tell(guest, request.id, Refused("too many requests are under way"))
            else:
                await guest.begin(lambda: self._answer(guest, request))

    def _admit(self, peer: Peer, request: Request) -> None:
        why = refusal(self.access, peer, reading=request.reading)
        if why is None:
            return
        now = asyncio.get_running_loop().time()
        if now - self._denied_at.get(peer.uid, -1.0) >= 1.0:
            recent = {uid: at for uid, at in self._denied_at.items() if now - at < 1.0}
            self._denied_at = recent | {peer.uid: now}
            verb = type(request).__name__.lower()
            self._denied({"verb": verb, "uid": peer.uid, "gid": peer.gid, "pid": peer.pid, "why": why})
        raise Refused(f"denied: {why}")

    async def _answer(self, guest: Guest, request: Request) -> None:
        self._unfinished += 1
        try:
            result = await self._do(request)
        except Exception as error:  # noqa: BLE001 - a fault in one verb: the client sees it, the loop lives on
            await self._tell(guest, request.id, _told(error))
        else:
            await self._doorway.send(guest, _line({"id": request.id, "ok": True, "result": result}))
        finally:
            self._unfinished -= 1
        if isinstance(request, Shutdown):
            await self._service.shutdown()

    async def _do(self, request: Request) -> Any:  # noqa: C901, PLR0911 - the table of verbs
        service = self._service
        match request:
            case Status():
                return await self._status(request.worker)
            case Start():
                return await service.start(request.workers, wait=request.wait)
            case Stop():
                return await service.stop(request.workers, wait=request.wait)
            case Restart():
                return await service.restart(request.workers, rolling=request.rolling, wait=request.wait)
            case Release():
                return await service.release(request.workers)
            case Scale():
                return await service.scale(request.worker, request.replicas)
            case Reload():
                return await service.reload(diff=request.diff)
            case Upgrade():
                return await service.upgrade()
            case Shutdown():
                return {"stopping": True}
            case Chaos():
                return await service.chaos.describe()
            case Inject():
                return await service.chaos.inject(request)
            case Halt():
                return await service.chaos.halt(request.lease, request.chaos_ids)
        raise Usage(f"{type(request).__name__.lower()} is not a request that is answered")

    async def _status(self, worker: str | None) -> msgspec.Raw:
        """One look for all who asked before it was taken: 500 clients cost little more than one."""
        if worker not in self._looks:
            self._looks[worker] = asyncio.get_running_loop().create_task(self._look(worker))
        return await asyncio.shield(self._looks[worker])

    async def _look(self, worker: str | None) -> msgspec.Raw:
        loop = asyncio.get_running_loop()
        turn = self._turns[worker is None]
        await turn.acquire()
        del self._looks[worker]  # who asks from here on gets the next: no answer is older than its question
        began = loop.time()
        try:
            return msgspec.Raw(msgspec.json.encode(await self._service.status(worker)))
        finally:  # looking takes at most a third of the loop's time, however many ask
            loop.call_later(2 * (loop.time() - began), turn.release)

    async def _hold(self, guest: Guest, request: Hold) -> None:
        """What others only begin lives on without its client; a lease is just that the client is there."""
        held = asyncio.ensure_future(self._service.chaos.hold(request.lease))
        here = [task for task in (held, guest.reader) if task is not None]
        try:
            await asyncio.wait(here, return_when=asyncio.FIRST_COMPLETED)
            if held.done():
                await self._doorway.send(guest, _line({"id": request.id, "ok": True, "result": held.result()}))
        finally:
            held.cancel()

    async def _follow(self, guest: Guest, request: Follow) -> None:
        """Give the whole connection away, so what it asked before must be answered first."""
        if guest.tasks:
            await asyncio.wait(guest.tasks)
        result = {"following": request.follow}
        await self._doorway.send(guest, _line({"id": request.id, "ok": True, "result": result}))
        if guest.gone:
            return
        guest.given_away = True
        try:
            await self._service.follow(guest.sock, msgspec.to_builtins(request.filter), follow=request.follow)
        except Exception as error:  # noqa: BLE001 - the client sees it
            guest.given_away = False
            await self._tell(guest, request.id, _told(error))
            guest.cut()

    async def _tell(self, guest: Guest, identity: Any, error: ControlError) -> None:
        answer = {"id": identity, "ok": False, "code": error.code, "error": str(error)}
        await self._doorway.send(guest, _line(answer))


def _told(error: Exception) -> ControlError:
    if isinstance(error, ControlError):
        return error
    return Failed(f"a fault of ours: {type(error).__name__}: {error}")


def _line(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer) + b"\n"
