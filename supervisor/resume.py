"""Taking over: from the notes at the anchor back to a service that goes on.

A first start is the case in which there are no notes. What is noted but not in the config any more (a reload was cut
short) is put down; what is in the config but was started from another spec is started anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.hearsay import tell_ended, tell_template
from supervisor.host import Host
from supervisor.nursery import Nursery, Template
from supervisor.order import environment
from supervisor.outlet import STORE, Outlet
from supervisor.processes import UNHEARD, Processes
from supervisor.renewal import template_spec
from supervisor.service import Service
from supervisor.spec import Config
from supervisor.stray import put_down_stray
from supervisor.vigil import Vigil

if TYPE_CHECKING:
    from supervisor.aide import Aide
    from supervisor.daemon import Supervisor
    from supervisor.process import Process
    from supervisor.spec import TemplateSpec


class Takeover:
    """The notes, news and descriptors an earlier supervisor left; each is taken once."""

    def __init__(self) -> None:
        self.notes: dict[str, tuple[Any, list[int]]] = {}
        self.news: list[dict[str, Any]] = []
        self._arrived: dict[str, asyncio.Event] = {}

    def note(self, packet: dict[str, Any], fds: list[int]) -> None:
        """One note arrives; one that arrived before (a candidate was shown the config) is replaced."""
        if not packet["known"]:
            return
        for fd in self.notes.get(packet["key"], (None, []))[1]:
            os.close(fd)
        self.notes[packet["key"]] = (packet["note"], fds)
        self._arrived.setdefault(packet["key"], asyncio.Event()).set()

    async def wait_for(self, key: str) -> None:
        """Until this note is there."""
        await self._arrived.setdefault(key, asyncio.Event()).wait()

    def take(self, key: str) -> tuple[Any, list[int]] | None:
        """A note with its descriptors, which are the taker's from now on."""
        return self.notes.pop(key, None)

    def remembered(self, kind: str, name: str) -> Any:
        """What a keeper of this kind and name was; None if there was none."""
        return (self.take(f"{kind}/{name}") or (None, []))[0]

    def starting(self, prefix: str) -> list[str]:
        """The keys that begin like this."""
        return [key for key in self.notes if key.startswith(prefix)]

    def config(self) -> Config | None:
        """The config in force, as it was accepted; None at the first start."""
        kept = self.notes.get("config")
        if kept is None or not kept[1]:  # the anchor had no room for it
            return None
        fd = kept[1][0]
        return msgspec.json.decode(os.pread(fd, os.fstat(fd).st_size, 0), type=Config)

    # -- building -------------------------------------------------------------------------------------------------------

    def build(self, boss: Supervisor, config: Config, facts: dict[str, Any]) -> Service:
        """The service and all it stands on; nothing is started yet."""
        ledger, log = boss.ledger, boss.log
        nonce, anchor_pid = facts["nonce"], facts["anchor_pid"]
        began = (self.take("began") or (None, []))[0]
        if began is None:
            began = time.monotonic()
            ledger.put("began", began)
        facts["since"] = began
        env = environment(os.environ)
        events = self.take("events")
        assert events is not None, "the anchor makes the events pipe before anything else"
        journal = {name: os.environ[name] for name in ("JOURNAL_STREAM",) if name in os.environ}
        arguments = [
            "--instance",
            facts["instance_id"],
            "--nonce",
            str(nonce),
            "--anchor",
            str(anchor_pid),
            "--format",
            boss.log_format,
            "--recent",
            str(config.recent),
        ]
        outlet = Outlet(ledger, stdio=boss.stdio, arguments=arguments, env=env | journal, events_fd=events[1][0])

        def make(spec: TemplateSpec) -> Template:
            template = Template(
                ledger,
                spec,
                stdio=boss.stdio,
                nonce=nonce,
                anchor_pid=anchor_pid,
                env=env,
                path=host.path,
            )
            template.report = lambda each, message: tell_template(host, each, message)
            template.ended = lambda each, packet: tell_ended(host, each, packet)
            return template

        nursery = Nursery(make)
        processes = Processes(ledger, nursery, outlet, nonce=nonce, anchor_pid=anchor_pid, stdio=boss.stdio)
        host = Host(
            processes=processes,
            ledger=ledger,
            vigil=Vigil(processes),
            announce=log.announce,
            hurry=asyncio.get_running_loop().create_future(),
            folder=boss.entrance.folder if boss.entrance else "",
            name=config.name,
            path=config.path,
            environment=env,
            chaos=config.chaos.enabled,
        )
        processes.known = lambda: [aide.pid for aide in boss.aides()]
        processes.resume_numbers((self.take("numbers") or (0, []))[0])
        service = Service(host, log, config, facts, self.remembered)
        outlet.ended = lambda each, packet: self._pump_ended(service, each, packet)
        outlet.became_ready = lambda each: host.announce("pump.ready", pid=each.pid)
        if self.config() is None:
            service.note_config(config)
        return service

    @staticmethod
    def _pump_ended(service: Service, pump: Aide, packet: dict[str, Any]) -> None:
        """With it ends what was done to it on purpose."""
        tell_ended(service.host, pump, packet)
        service.chaos.ongoing.part_ended(pump.pid)

    # -- adopting -------------------------------------------------------------------------------------------------------

    def adopt(self, boss: Supervisor, service: Service, facts: dict[str, Any]) -> None:  # noqa: C901, PLR0912 - a list of steps
        """Aides, workers, standbys; then the news, in the order in which it happened; then the keepers keep."""
        host, config = service.host, service.config
        store = self.take(STORE)
        if store is not None and store[1]:
            host.processes.outlet.remember_store(store[1])
        for key in self.starting("output/"):
            note, fds = self.notes.pop(key)
            host.processes.outlet.outputs[key.removeprefix("output/")] = note
            for fd in fds:
                os.close(fd)  # fetched again, one by one, when the pump is told
        pump = self.take("pump")
        if pump is None:
            host.processes.outlet.start()
        else:
            host.processes.outlet.adopt(*pump)
            host.processes.outlet.tell_all()
        for key in self.starting("template/"):
            host.processes.nursery.adopt(template_spec(config, key.removeprefix("template/")), *self.notes.pop(key))
        resumed = facts["resumes"] > 0
        if resumed:
            self._tell_resumed(service, facts)
        else:
            host.announce(
                "supervisor.started",
                name=config.name,
                pid=os.getpid(),
                anchor_pid=facts["anchor_pid"],
                version=boss_version(),
            )
            host.announce("config.loaded", source=config.source, workers=len(config.workers), groups=len(config.groups))
        service.run((self.take("counts") or ({}, []))[0])
        strays = self._adopt_spawns(service)
        self._adopt_notify(service)
        for key in (*self.starting("worker/"), *self.starting("group/")):
            host.ledger.drop(key)
            del self.notes[key]
        stopping = self.take("stopping")
        if stopping is not None:
            service.resume_stopping(stopping[0]["code"])
        for packet in self.news:
            boss.react(packet)
        assert boss.stops is not None
        boss.stops.resumed()
        service.begin()
        service.chaos.ongoing.adopt([self.notes.pop(key)[0] for key in self.starting("chaos/")])
        self._renew_aides(service)
        for process in strays:
            service.background(put_down_stray(host, process))
        for keeper in list(service.roster.keepers.values()):
            worker = service.roster.worker(keeper.name)
            if (
                worker is not None
                and worker.adopted is not None
                and worker.adopted.note.get("fingerprint") != worker.fingerprint
            ):
                keeper.restart()

    @staticmethod
    def _renew_aides(service: Service) -> None:
        """What is ours runs the code we run; standbys keep, like workers, what they were born with."""
        processes = service.host.processes
        if processes.outlet.is_old or not processes.outlet.is_kept:
            processes.outlet.replace()
        for name in [name for name, template in processes.nursery.templates.items() if template.is_old]:
            processes.nursery.rebuild(template_spec(service.config, name))

    def _tell_resumed(self, service: Service, facts: dict[str, Any]) -> None:
        after = facts.get("after") or {}
        adopted = sum(1 for key in self.starting("spawn/") if self.notes[key][0].get("life"))
        reason = after.get("how", "an end unseen")
        away = round(time.monotonic() - after["at"], 3) if "at" in after else None
        if reason == "upgrade":
            service.host.announce("supervisor.upgraded", version=boss_version(), pid=os.getpid())
        service.host.announce(
            "supervisor.resumed",
            reason=reason,
            adopted=adopted,
            resumes=facts["resumes"],
            away_s=away,
            pid=os.getpid(),
            level="info" if reason == "upgrade" else None,
        )

    def _adopt_spawns(self, service: Service) -> list[Process]:
        """Each spawn to whom it belongs; what belongs to nobody is a stray."""
        processes, roster = service.host.processes, service.roster
        strays = []
        for key in self.starting("spawn/"):
            note, fds = self.notes.pop(key)
            process = processes.adopt(key.removeprefix("spawn/"), note, fds)
            worker = roster.worker(note["life"]) if "life" in note else None
            shelf = roster.shelves.get(note["standby"]) if "standby" in note else None
            if "probe" in note:
                process.heard = lambda _message: None
                processes.signal_tree(process, signal.SIGKILL)
                service.host.bury_probe(process)
            elif worker is not None and worker.adopted is None:
                worker.adopted = process
            elif shelf is not None:
                shelf.keep(process)
                if "put_down" in note:
                    shelf.lose(process.spawn_id, UNHEARD)
            else:
                strays.append(process)
        return strays

    def _adopt_notify(self, service: Service) -> None:
        import socket  # noqa: PLC0415 - only here

        for key in self.starting("notify/"):
            note, fds = self.notes.pop(key)
            worker = service.roster.worker(key.removeprefix("notify/"))
            if worker is not None and note is not None and fds:
                worker.notify_socket = socket.socket(fileno=fds[0])
            elif worker is not None:  # the anchor had no room for it: the same path leads to another
                worker.notify_path()
            else:
                for fd in fds:
                    os.close(fd)
                service.host.ledger.drop(key)


def boss_version() -> str:
    """The version of the code that runs."""
    from supervisor import __version__  # noqa: PLC0415 - a name, not a module

    return __version__
