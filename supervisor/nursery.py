"""The templates as the supervisor sees them: where workers come from.

A request is sent and forgotten: the child answers on its own beat pipe, and the end of that pipe without a `hello` says
that the spawn never happened, whoever of us died in between.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor.aide import Aide
from supervisor.anchor import boot
from supervisor.freshness import CHECK

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.ledger import Ledger
    from supervisor.spec import TemplateSpec

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
BARE = "bare"
CHECKED_WITHIN = 2.0  # seconds a template has to look at the files of its modules
HOPELESS = 2  # deaths in a row before it was ready, after which its workers come from the bare template


class Template(Aide):
    """One template process."""

    def __init__(
        self,
        ledger: Ledger,
        spec: TemplateSpec,
        *,
        stdio: tuple[int, int],
        nonce: int,
        anchor_pid: int,
        env: dict[str, str],
        path: tuple[str, ...],
    ) -> None:
        super().__init__(ledger, stdio)
        self.spec = spec
        self.key = f"template/{spec.name}"
        self._nonce, self._anchor_pid, self._env = nonce, anchor_pid, env
        self.path = path
        self._waiting: list[tuple[dict[str, Any], list[int]]] = []  # asked for while there was nobody to ask
        self.report: Callable[[Template, dict[str, Any]], None] = lambda _template, _message: None
        self._fresh: asyncio.Future[str | None] | None = None

    def arguments(self) -> list[str]:
        """What `template.main` is given."""
        common = [self.spec.name, "--nonce", str(self._nonce), "--anchor", str(self._anchor_pid)]
        return [*common, "--preload", *self.spec.preload] if self.spec.preload else common

    def program(self) -> tuple[str, list[str], dict[str, str], list[int]]:
        """A fresh interpreter that imports the preloads."""
        return "supervisor.template", self.arguments(), {**self._env, **ONE_THREAD, **self.spec.env}, []

    def said(self, message: dict[str, Any]) -> None:
        """Ready, a failed preload, or the answer to `check`."""
        if message.get("kind") in ("fresh", "stale"):
            if self._fresh is not None and not self._fresh.done():
                self._fresh.set_result(message.get("why"))
            return
        self.report(self, message)

    def hung_up(self) -> None:
        """What is asked for from now on waits for the next process, instead of being lost with this one."""
        if self.channel is not None:  # its last words are in the other pipe
            self.channel.close()
            self.channel = None
        self.kill()

    async def stale(self) -> str | None:
        """Why it should be made anew (a file it imported has changed), or None."""
        if self.channel is None or not self.ready:
            return None
        if self._fresh is None or self._fresh.done():
            self._fresh = asyncio.get_running_loop().create_future()
            self.channel.send(CHECK)
        try:
            async with asyncio.timeout(CHECKED_WITHIN):
                return await asyncio.shield(self._fresh)
        except TimeoutError:
            return None

    def start(self) -> None:
        """A new process, which is asked for what was asked for while there was none."""
        super().start()
        waiting, self._waiting = self._waiting, []
        for request, fds in waiting:
            self.spawn(request, fds)

    def retire(self) -> None:
        """The end of their beat pipes tells those who still wait."""
        super().retire()
        for _, fds in self._waiting:
            for fd in fds:
                os.close(fd)
        self._waiting = []

    @property
    def is_broken(self) -> bool:
        """Whether it keeps dying before it is ready: a preload that crashes the interpreter, say."""
        return not self.ready and self.failures >= HOPELESS

    def spawn(self, request: dict[str, Any], fds: list[int]) -> None:
        """Ask for a worker; the descriptors are given away."""
        if self.channel is None:
            self._waiting.append((request, fds))
        else:
            self.channel.send(msgspec.json.encode(request), fds)

    def spawn_once(self, request: dict[str, Any], fds: list[int], key: str) -> None:
        """A process of its own for this one worker: where forking is refused, or the template cannot start."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(ours, [msgspec.json.encode(request)], fds)
        ours.close()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        argv = [sys.executable, *self.flags, *boot("supervisor.template", self.path), "--once", *self.arguments()]
        env = {**self._env, **self.spec.env}
        given = [null, os.dup(fds[0]), os.dup(fds[1]), theirs.detach(), os.dup(fds[2])]
        for fd in fds:
            os.close(fd)
        self.ledger.ask(
            {"op": "spawn", "key": key, "argv": argv, "env": env, "number": request["brand"] & 0xFFFFFFFF}, given
        )


class Nursery:
    """All templates of a service."""

    def __init__(self, make: Callable[[TemplateSpec], Template]) -> None:
        self._make = make
        self.templates: dict[str, Template] = {}
        self.refusing: set[str] = set()  # templates that run more than one thread: their workers are started by exec

    def home(self, name: str) -> Template:
        """Where workers of this template come from now: the bare one while their own cannot start."""
        template = self.templates.get(name)
        return self.templates[BARE] if template is None or template.is_broken else template

    def refuse(self, name: str) -> None:
        """It runs more than one thread: from now on its workers are started by exec."""
        if name not in self.refusing:
            self.refusing.add(name)
            template = self.templates.get(name)
            if template is not None:
                why = "runs more than one thread, so it cannot be forked: its workers are started by exec"
                template.report(template, {"kind": "failed", "what": "fork", "error": why})

    def kill(self, name: str) -> None:
        """It is hung: every spawn that waits for it is given back, and a new one is started."""
        template = self.templates.get(name) or self.templates.get(BARE)
        if template is not None:
            template.kill()

    def ensure(self, spec: TemplateSpec) -> Template:
        """The running template of this spec, started if need be."""
        if spec.name not in self.templates:
            template = self.templates[spec.name] = self._make(spec)
            template.start()
        return self.templates[spec.name]

    def adopt(self, spec: TemplateSpec, note: dict[str, Any], fds: list[int]) -> None:
        """A template an earlier supervisor started."""
        template = self.templates[spec.name] = self._make(spec)
        template.adopt(note, fds)

    def rebuild(self, spec: TemplateSpec) -> None:
        """A new process for this template; the old one leaves when its channel closes, its workers stay."""
        self.refusing.discard(spec.name)
        old = self.templates.pop(spec.name, None)
        if old is not None:
            old.retire()
        self.ensure(spec)

    def retire(self, name: str) -> None:
        """No worker wants it any more."""
        template = self.templates.pop(name, None)
        if template is not None:
            template.retire()
