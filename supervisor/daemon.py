"""The supervisor process: it takes over what the anchor kept for it, and hands control to the service.

Started by the anchor with its channel as descriptor 3. Every start is a resume; the first one finds nothing. A candidate (an
upgrade) does all it can without touching anything, says it is able, and waits until the old supervisor has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from supervisor import __version__, kernel, shortage
from supervisor import config as configs
from supervisor.config import BadConfig
from supervisor.entrance import Entrance, NameTaken
from supervisor.ledger import Ledger
from supervisor.log import Log
from supervisor.place import PlaceError
from supervisor.process import is_end_of
from supervisor.requests import ControlError
from supervisor.resume import Takeover
from supervisor.stops import Stops

if TYPE_CHECKING:
    from supervisor.service import Service
    from supervisor.spec import Config

BEAT_EVERY = 0.5  # seconds between two beats to the anchor
LATE = 0.2  # seconds by which a tick is late before it is worth an event
LATE_TOLD_EVERY = 10.0
PUMP_WITHIN = 3.0  # seconds the pump may take to write out everything


class Supervisor:
    """One supervisor process, from hello to leave."""

    def __init__(self, source: str, log_format: str, name: str) -> None:
        self.source, self.log_format, self.name = source, log_format, name
        self.loop = asyncio.get_running_loop()
        self.takeover = Takeover()
        self.hello: asyncio.Future[dict[str, Any]] = self.loop.create_future()
        self.replayed: asyncio.Future[dict[str, Any]] = self.loop.create_future()
        self.stdio = (1, 2)
        self.ledger = Ledger(socket.socket(fileno=3), self.heard, self.anchor_lost)
        self.log = Log(self.ledger.write)
        self.service: Service | None = None
        self.stops: Stops | None = None
        self.entrance: Entrance | None = None
        self.nonce = 0
        self.retired: asyncio.Future[None] = self.loop.create_future()
        self._late_told = 0.0
        self._interrupts = 0

    # -- what the anchor tells ----------------------------------------------------------------------------------------

    def heard(self, packet: dict[str, Any], fds: list[int]) -> None:
        """Before the service exists everything is kept for it."""
        match packet["op"]:
            case "hello":
                self.nonce = packet["nonce"]
                self.stdio = (fds[0], fds[1])
                self.hello.set_result(packet)
            case "note":
                self.takeover.note(packet, fds)
            case "replayed":
                self.replayed.set_result(packet)
            case _ if self.service is None:
                self.takeover.news.append(packet)
            case _:
                self.react(packet)

    def react(self, packet: dict[str, Any]) -> None:
        """News for the service."""
        assert self.service is not None
        assert self.stops is not None
        match packet["op"]:
            case "exit":
                self.exited(packet)
            case "spawned":
                for aide in self.aides():
                    if aide.key == packet["key"]:
                        aide.spawned(packet)
            case "stopped" | "continued":
                self.stops.heard(packet)
            case "fault":
                assert self.entrance is not None
                shortage.lost(packet.get("lost", ()), self.service, self.entrance, self.aides())
            case "signal":
                self.signalled(packet)
            case "retire":
                self.service.upgrade_over(None)
                self.retired.set_result(None)
            case "upgrade_failed":
                self.service.upgrade_over(packet["why"])
            case _:
                pass  # an anchor may outlive several versions of us, and say more or less than we know

    def aides(self) -> list[Any]:
        """The pump and the templates."""
        assert self.service is not None
        processes = self.service.host.processes
        return [processes.outlet, *processes.nursery.templates.values()]

    def exited(self, packet: dict[str, Any]) -> None:
        """A worker's exit is acknowledged with its ending, everybody else's at once."""
        assert self.service is not None
        for aide in self.aides():
            if is_end_of(packet, aide.pid, aide.start_time):
                aide.has_ended(packet)
                self.ledger.ack(packet["id"])
                return
        if not self.service.host.processes.exited(packet):
            self.ledger.ack(packet["id"])

    def signalled(self, packet: dict[str, Any]) -> None:
        """SIGHUP reloads; SIGTERM and SIGINT stop, a second SIGINT at once."""
        assert self.service is not None
        self.ledger.ack(packet["id"])
        if packet["name"] == "SIGHUP":
            self.service.background(self.reload())
            return
        self._interrupts += packet["name"] == "SIGINT"
        if self.service.over.done() and self._interrupts > 1:
            self.service.hurry()
        self.service.finish(packet["name"], 0)

    async def reload(self) -> None:
        """What SIGHUP asks for; a bad config is an event."""
        assert self.service is not None
        with contextlib.suppress(ControlError):  # the event tells, and there is no client to answer
            await self.service.reload(diff=False)

    def anchor_lost(self) -> None:
        """The anchor is dead: so is everything it kept, and we see to the rest."""
        kernel.last_rites(self.nonce)
        os._exit(70)

    # -- the whole of it ----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Take over, serve, leave."""
        facts = await self.hello
        if facts["role"] == "candidate":
            await self.takeover.wait_for("config")
            self.takeover.config()  # raises where this code cannot read it
            self.ledger.ask({"op": "able"})
        facts |= await self.replayed
        os.dup2(self.stdio[1], 2)
        try:
            config = self.takeover.config() or self.load()
        except BadConfig as error:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            return self.leave(78)
        try:
            self.entrance = Entrance(self.ledger, self.takeover, config)
        except (NameTaken, PlaceError) as error:
            print(f"ninelives: {error}", file=sys.stderr)
            return self.leave(3)
        service = self.takeover.build(self, config, facts)
        self.service, self.stops = service, Stops(service.host, self.aides)
        ticker = self.loop.create_task(self.tick())
        self.takeover.adopt(self, service, facts)
        self.entrance.open(service, self.log)
        gc.freeze()  # all this stays; to look through it takes 10 ms, and a worker's death may wait for it
        code = await self.until_over(service)
        if code is None:
            await self.retire()
            os._exit(0)  # an orderly end of the loop would cancel every life, and a cancelled life is put down
        await self.stop(service, code, ticker)
        return self.leave(code)

    def load(self) -> Config:
        """The config file; `--name` outranks the name in it."""
        import msgspec  # noqa: PLC0415

        config = configs.load(self.source)
        return msgspec.structs.replace(config, name=self.name) if self.name else config

    async def until_over(self, service: Service) -> int | None:
        """The exit code, or None when a newer supervisor takes over."""
        either: list[asyncio.Future[Any]] = [service.over, self.retired]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return service.over.result() if service.over.done() else None

    async def retire(self) -> None:
        """Everything is at the anchor; let the clients have their answers."""
        assert self.entrance is not None
        await self.entrance.close()
        await self.ledger.sync()

    async def stop(self, service: Service, code: int, ticker: asyncio.Task[None]) -> None:
        """Workers, standbys, templates, and last the pump, which has everything written."""
        began = time.monotonic()
        await service.stop_all()
        assert self.entrance is not None
        await self.entrance.close()
        processes = service.host.processes
        for name in list(processes.nursery.templates):
            processes.nursery.retire(name)
        self.log.announce("supervisor.stopped", code=code, took_s=round(time.monotonic() - began, 3))
        await self.ledger.sync()
        await processes.outlet.finish(PUMP_WITHIN)
        self.entrance.remove()
        ticker.cancel()

    def leave(self, code: int) -> int:
        """Tell the anchor that this is the end of the service."""
        self.ledger.ask({"op": "leave", "code": code})
        return 0

    async def tick(self) -> None:
        """Beat to the anchor; notice our own lateness and a hung pump."""
        while True:
            due = self.loop.time() + BEAT_EVERY
            self.ledger.ask({"op": "beat"})
            await asyncio.sleep(BEAT_EVERY)
            late = self.loop.time() - due
            if late > LATE and self.loop.time() - self._late_told > LATE_TOLD_EVERY:
                self._late_told = self.loop.time()
                self.log.announce("supervisor.lagged", lag_s=round(late, 3))
            if self.service is not None and self.service.host.processes.outlet.is_hung():
                self.service.host.processes.outlet.kill()


def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback that failed half-way may have left us wrong about the world: the next one resumes from the notes.

    What asyncio tells of besides (a task whose failure nobody looked at) is printed, as always.
    """
    loop.default_exception_handler(context)
    if "handle" in context:
        os._exit(1)


def main(argv: list[str]) -> int:
    """`argv`: config file, log format, name (or an empty string for the config's own)."""
    kernel.name_process("nl-supervisor")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.set_inheritable(3, False)

    async def run() -> int:
        source, log_format, name = argv
        asyncio.get_running_loop().set_exception_handler(failed)
        try:
            return await Supervisor(source, log_format, name).run()
        except Exception:  # noqa: BLE001 - told on stderr, and as the reason of the resume
            # No orderly end: the loop would cancel every life, and a cancelled life is put down. The next one resumes.
            traceback.print_exc()
            os._exit(1)

    return asyncio.run(run())


if __name__ == "__main__":
    print(f"ninelives {__version__}: this is a part of the service; run `ninelives run CONFIG`", file=sys.stderr)
    sys.exit(2)
