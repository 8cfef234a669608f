"""The anchor: parent and reaper of every process of a service, keeper of notes and descriptors.

It decides nothing. It spawns what it is asked to, reaps every child and passes the exit on until it is acknowledged,
keeps what the supervisor put there and replays it to the next supervisor, and restarts a supervisor that died or fell
silent. Standard library only, one thread, no config, nothing that can block: if it dies, everything below it dies too.
The protocol is in docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
import uuid
from typing import Any

from supervisor import kernel
from supervisor.speech import Lines, Link, Systemd, describe

SILENT_AFTER = 2.0  # seconds without a beat before a supervisor is looked at, and killed unless it is starved
STARTS_WITHIN = 15.0  # seconds a new supervisor may take to its first packet
YOUNG = 3.0  # seconds; a supervisor that dies younger than this is, from the third time on, started again more slowly
HOPELESS = 3  # failed first starts, with nothing supervised yet, before the service gives up
AGAIN_AFTER = 0.1  # seconds until a supervisor that could not be started at all is tried again
TURNS_FAILED = 100  # in a row, after which going on makes no sense
PACKET = 1 << 18

BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot.py")


def boot(module: str, path: tuple[str, ...] = ()) -> list[str]:
    """What follows `python` and its flags to run `main` of one of our modules; the folders of `path` come first there."""
    return [BOOT, *(f"--path={folder}" for folder in path), module]


def command(config: str, log_format: str, name: str) -> tuple[list[str], dict[str, str]]:
    """Argv and environment that turn a process into the anchor of `config`."""
    argv = [sys.executable, "-S", "-s", "-P", *boot("supervisor.anchor"), config, log_format, name]
    return argv, dict(os.environ)


class Supervisor:
    """A supervisor process as the anchor sees it."""

    def __init__(self, pid: int, link: Link, errors: int | None) -> None:
        self.pid, self.link, self.errors = pid, link, errors
        self.started = self.heard = time.monotonic()
        self.up = False  # has it ever said anything?
        self.waited_s: float | None = None  # its run delay when it fell silent
        self.leaving: int | None = None
        self.fault = ""  # for which it was killed


class Anchor:
    """See the head of this file."""

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self.instance = os.environ.get("INVOCATION_ID") or uuid.uuid4().hex
        self.nonce = int.from_bytes(os.urandom(3), "big") or 1
        self.notes: dict[str, tuple[Any, list[int]]] = {}
        self.news: dict[int, bytes] = {}  # exits and signals as they are told, until acknowledged
        self.last_news = 0
        self.stopped: dict[int, dict[str, Any]] = {}  # by pid: the children that are stopped by a signal, as it is told
        self.resumes = -1
        self.failures = 0
        self.terminal = os.isatty(1)
        self.ever_up = False
        self.active: Supervisor | None = None
        self.candidate: Supervisor | None = None
        self.restart_at: float | None = time.monotonic()
        self.last_exit: dict[str, Any] = {}
        self.poll = select.poll()
        self.spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # see start_of
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files[1], self.files[1]))
        self.wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self.poll.register(self.wake_r, select.POLLIN)
        events_r, self.events_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.notes["events"] = (None, [events_r])
        with contextlib.suppress(OSError):  # an unprivileged user may have used up the pages for large pipes
            fcntl.fcntl(self.events_w, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.lines = Lines(self.events_w)
        self.systemd = Systemd(os.environ.pop("NOTIFY_SOCKET", None), int(os.environ.pop("WATCHDOG_USEC", "0")) / 1e6)

    # -- spawning ---------------------------------------------------------------------------------------------------

    def spawn(self, argv: list[str], env: dict[str, str], fds: list[int], number: int) -> int:
        """Fork and exec; `fds` become 0, 1, 2 … of the child. A failing exec is seen as exit code 203."""
        pid = os.fork()
        if pid:
            return pid
        try:
            kernel.set_brand(kernel.brand(self.nonce, number))
            os.setsid()
            signal.set_wakeup_fd(-1)
            for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(name, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_NOFILE, self.files)
            # Out of the way first: a descriptor that is its own target or another's would be overwritten.
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
            for target, fd in enumerate(high):
                os.dup2(fd, target)
            os.closerange(len(fds), 1 << 30)  # what was received over a socket is not close-on-exec
            os.execve(argv[0], argv, env)  # noqa: S606
        except BaseException as error:  # noqa: BLE001 - the exit code tells the supervisor; nothing may return from here
            os.write(2, f"anchor: cannot start {argv[:1]}: {error}\n".encode())
        os._exit(203)

    def start_supervisor(self, role: str) -> Supervisor:
        """A new supervisor, the active one or a candidate for an upgrade; a candidate's errors go to a memfd."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        errors = null = None
        argv = [sys.executable, "-s", "-P", *boot("supervisor.daemon"), *self.argv]
        try:
            errors = os.memfd_create("errors") if role == "candidate" else None
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            said = errors if errors is not None else 2
            pid = self.spawn(argv, dict(os.environ), [null, said, said, theirs.fileno()], 0)
        except OSError:
            ours.close()
            if errors is not None:
                os.close(errors)
            raise
        finally:
            if null is not None:
                os.close(null)
            theirs.close()
        started = Supervisor(pid, Link(ours, self.poll), errors)
        started.link.send(
            {
                "op": "hello",
                "role": role,
                "instance_id": self.instance,
                "nonce": self.nonce,
                "anchor_pid": os.getpid(),
                "resumes": self.resumes + 1,
                "after": self.last_exit,
                "systemd": self.systemd.is_there,
            },
            [1, 2],
        )
        return started

    def replay(self, to: Supervisor) -> None:
        """All notes, then all news not acknowledged and who is stopped now, then `replayed`."""
        for key in self.notes:
            self.tell_note(to, key)
        for news in self.news.values():
            to.link.send_encoded(news)
        for packet in self.stopped.values():
            to.link.send(packet)
        to.link.send({"op": "replayed", "resumes": self.resumes, "after": self.last_exit})

    def tell_note(self, to: Supervisor, key: str) -> None:
        """One note with its descriptors; null if there is none."""
        note, fds = self.notes.get(key, (None, []))
        to.link.send({"op": "note", "key": key, "note": note, "known": key in self.notes}, fds)

    # -- what a supervisor asks ---------------------------------------------------------------------------------------

    def hear(self, who: Supervisor) -> None:
        """Everything a supervisor has sent."""
        while True:
            try:
                data, fds, flags, _ = socket.recv_fds(who.link.sock, PACKET, 253)
            except (BlockingIOError, ConnectionError):
                return
            if not data:
                return
            who.heard, who.up, who.waited_s = time.monotonic(), True, None
            head, _, raw = data.partition(b"\n")
            packet = json.loads(head)
            if flags & socket.MSG_CTRUNC:
                for fd in fds:
                    os.close(fd)
                packet, fds = truncated(packet), []
                who.link.send({"op": "fault", "why": "no descriptors left", "lost": packet.get("lost", [])})
            self.obey(who, packet, raw, fds)

    def obey(self, who: Supervisor, packet: dict[str, Any], raw: bytes, fds: list[int]) -> None:  # noqa: C901, PLR0912 - a table
        """Carry out one packet; descriptors not kept in a note are closed."""
        match packet["op"]:
            case "beat":
                if who is self.active:
                    self.ever_up = True
                    # One that dies young again and again beats each time, and gets nowhere.
                    self.systemd.ping(alive_s=time.monotonic() - who.started)
            case "commit":
                self.commit(packet, raw, fds)
                return
            case "spawn":
                try:
                    if "lost" in packet:
                        raise OSError(errno.EMFILE, "the anchor has no descriptors left")  # noqa: TRY301 - told as any other
                    pid = self.spawn(packet["argv"], packet["env"], fds, packet["number"])
                    born = {"pid": pid, "start": self.start_of(pid)}
                    note, _ = self.notes.get(packet["key"], (None, []))
                    if isinstance(note, dict):
                        note.update(born)  # for the next supervisor, should this one die before it hears
                    who.link.send({"op": "spawned", "key": packet["key"], **born})
                except OSError as error:
                    who.link.send({"op": "spawned", "key": packet["key"], "error": str(error)})
            case "get":
                for key in packet["keys"]:
                    self.tell_note(who, key)
            case "sync":
                who.link.send({"op": "synced", "id": packet["id"]})
            case "notify":
                self.systemd.notify(packet["text"])
            case "leave":
                who.leaving = packet["code"]
            case "upgrade" if self.candidate is None:
                try:
                    self.candidate = self.start_supervisor("candidate")
                    self.tell_note(self.candidate, "config")
                except OSError as error:
                    who.link.send({"op": "upgrade_failed", "why": str(error)})
            case "upgrade":
                who.link.send({"op": "upgrade_failed", "why": "another upgrade is under way"})
            case "able" if who is self.candidate:
                if self.active is not None:
                    self.active.link.send({"op": "retire"})
                else:  # the old one died meanwhile: nobody has to leave
                    self.promote()
            case op:
                who.link.send({"op": "fault", "why": f"not understood: {op}"})
        for fd in fds:
            os.close(fd)

    def commit(self, packet: dict[str, Any], raw: bytes, fds: list[int]) -> None:
        """One transaction: notes put and dropped, exits acknowledged, event lines written."""
        given = iter(fds)
        counts = dict(packet.get("fds", ()))
        for key, note in packet.get("put", {}).items():
            _, kept = self.notes.get(key, (None, []))
            if key in counts:
                for fd in kept:
                    os.close(fd)
                kept = [next(given) for _ in range(counts[key])]
            self.notes[key] = (note, kept)
        for key in packet.get("drop", ()):
            for fd in self.notes.pop(key, (None, []))[1]:
                os.close(fd)
        for number in packet.get("ack", ()):
            self.news.pop(number, None)
        if raw:
            self.lines.add(raw)

    # -- reaping ----------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Every child that ended, stopped or continued."""
        want = os.WEXITED | os.WSTOPPED | os.WCONTINUED | os.WNOHANG
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, want | os.WNOWAIT)
            except ChildProcessError:
                return
            if seen is None:
                return
            pid, code = seen.si_pid, seen.si_code
            start = self.start_of(pid)  # a zombie still has one
            if code in (os.CLD_STOPPED, os.CLD_CONTINUED, os.CLD_TRAPPED):
                with contextlib.suppress(ChildProcessError):  # killed since: its end is seen next
                    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
                op = "continued" if code == os.CLD_CONTINUED else "stopped"
                packet = {"op": op, "pid": pid, "start": start, "signal": seen.si_status}
                self.stopped.pop(pid, None)
                if op == "stopped":
                    self.stopped[pid] = packet
                if self.active:
                    self.active.link.send(packet)
                continue
            _, status, usage = os.wait4(pid, 0)
            self.stopped.pop(pid, None)
            self.passed_on(pid, start, status, usage)

    def start_of(self, pid: int) -> int:
        """When our own child began, in ticks. To ask takes a descriptor: one is kept for when there is no other left."""
        start = kernel.start_of(pid)
        if start is None and self.spare >= 0:
            os.close(self.spare)
            self.spare = -1
            start = kernel.start_of(pid)
        if self.spare < 0:
            with contextlib.suppress(OSError):
                self.spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return start or 0

    def passed_on(self, pid: int, start: int, status: int, usage: resource.struct_rusage) -> None:
        """An exit is news for the supervisor, unless it is the supervisor's own."""
        for who in (self.active, self.candidate):
            if who and who.pid == pid:
                self.hear(who)  # its last words count
                self.supervisor_ended(who, status)
                return
        # By hand: a worker is down until this is sent, and the encoder would take a third of the time.
        self.tell(
            b'{"op":"exit","id":%%d,"pid":%d,"start":%d,"status":%d,"at":%.6f,'
            b'"rusage":{"utime_s":%.6f,"stime_s":%.6f,"maxrss_bytes":%d}}'
            % (pid, start, status, time.monotonic(), usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)
        )

    def tell(self, news: bytes) -> None:
        """News (its id goes where %d is) is kept until it is acknowledged, whichever supervisor hears it."""
        self.last_news += 1
        self.news[self.last_news] = news = news % self.last_news
        if self.active:
            self.active.link.send_encoded(news)

    # -- the supervisor's lives -------------------------------------------------------------------------------------

    def supervisor_ended(self, who: Supervisor, status: int) -> None:
        """Start the next one, promote the candidate, or leave with the code we were told to leave with."""
        who.link.close()
        if who is self.candidate:
            self.candidate = None
            why = self.errors_of(who) or who.fault or describe(status)
            if self.active:
                self.active.link.send({"op": "upgrade_failed", "why": why})
            return
        self.active = None
        if who.leaving is not None:
            self.leave(who.leaving)
        retired = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        self.last_exit = {
            "how": "upgrade" if retired and self.candidate else describe(status),
            "status": status,
            "at": time.monotonic(),
        }
        lived = time.monotonic() - who.started
        self.failures = 0 if lived > YOUNG or retired else self.failures + 1
        if not self.ever_up and self.failures >= HOPELESS:
            self.leave(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
        # One that was killed from outside is wanted back at once, however often; one that fails by itself must not spin.
        killed = who.up and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        delay = 0.0 if self.failures <= 2 else min(0.1 * 2.0 ** (self.failures - 3), 0.1 if killed else 5.0)
        if self.candidate and self.candidate.up:
            self.promote()
        else:
            self.restart_at = time.monotonic() + delay

    def restart(self, now: float) -> None:
        """Another supervisor, at once or a little later."""
        try:
            self.active = self.start_supervisor("active")
        except OSError as error:
            print(f"anchor: cannot start a supervisor: {error}", file=sys.stderr, flush=True)
            self.restart_at = now + AGAIN_AFTER
            return
        self.restart_at = None
        self.resumes += 1
        self.replay(self.active)

    def promote(self) -> None:
        """The candidate becomes the supervisor."""
        self.active, self.candidate = self.candidate, None
        assert self.active is not None
        if self.active.errors is not None:  # from here on it speaks on our own stderr
            os.close(self.active.errors)
            self.active.errors = None
        self.restart_at = None
        self.resumes += 1
        self.replay(self.active)

    def errors_of(self, who: Supervisor) -> str:
        """The last line a candidate wrote to its stderr."""
        if who.errors is None:
            return ""
        size = os.fstat(who.errors).st_size
        text = os.pread(who.errors, 4096, max(0, size - 4096)).decode("utf-8", "replace").strip()
        os.close(who.errors)
        return text.rpartition("\n")[2]

    def check_supervisors(self, now: float) -> None:
        """Kill a supervisor that fell silent, unless it only wanted CPU and did not get it."""
        for who in (self.active, self.candidate):
            if who is None or now - who.heard < (SILENT_AFTER if who.up else STARTS_WITHIN):
                continue
            if who is self.candidate and who.up:
                continue  # it waits for the old one to leave
            delay = kernel.run_delay_s(who.pid)
            starved = who.waited_s is not None and delay is not None and delay - who.waited_s > SILENT_AFTER / 4
            if (who.waited_s is None or starved) and now - who.heard < 5 * SILENT_AFTER and not self.is_stopped(who):
                # Looked at once more, a little later: a loaded machine is no reason to restart.
                if who.waited_s is None:
                    who.waited_s = delay or 0.0
                    who.heard += SILENT_AFTER / 2
                continue
            who.fault = f"it said nothing for {now - who.heard:.0f} s"
            os.kill(who.pid, signal.SIGKILL)  # our own child, not reaped yet: the pid cannot be another's
            who.heard = now

    def is_stopped(self, who: Supervisor) -> bool:
        """Whether somebody stopped it with a signal."""
        now = kernel.stat(who.pid)
        return now is not None and now.state in "Tt"

    # -- the loop ---------------------------------------------------------------------------------------------------

    def leave(self, code: int) -> None:
        """Nothing of ours stays behind."""
        for _, fds in self.notes.values():  # to find what is ours takes descriptors
            for fd in fds:
                os.close(fd)
        spare = frozenset({os.getpid()})
        deadline = time.monotonic() + 2.0
        while kernel.kill_branded(self.nonce, spare=spare) and time.monotonic() < deadline:
            time.sleep(0.005)
        os._exit(code)

    def on_signals(self) -> None:
        """SIGCHLD is ours; the others are news."""
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self.wake_r, 4096):
                if number == signal.SIGCHLD:
                    continue
                # A terminal that is closed sends SIGHUP as well; nobody asked for a reload then.
                gone = number == signal.SIGHUP and self.terminal and not os.isatty(1)
                name = "SIGTERM" if gone else signal.Signals(number).name
                self.tell(b'{"op":"signal","id":%%d,"name":"%s"}' % name.encode())
        self.reap()

    def turn(self) -> None:
        """One turn of the loop."""
        now = time.monotonic()
        if self.restart_at is not None and now >= self.restart_at:
            self.restart(now)
        self.check_supervisors(now)
        wait = 1.0 if self.restart_at is None else max(0.0, self.restart_at - now)
        if self.lines:
            self.poll.register(self.events_w, select.POLLOUT)
        ready = self.poll.poll(min(wait, 0.5) * 1000)
        if self.lines:
            self.poll.unregister(self.events_w)
            self.lines.write()
        for fd, event in ready:
            if fd == self.wake_r:
                self.on_signals()
            for who in (self.active, self.candidate):
                if who and who.link.sock.fileno() == fd:
                    if event & select.POLLOUT:
                        who.link.flush()
                    if event & (select.POLLIN | select.POLLHUP):
                        self.hear(who)


def truncated(packet: dict[str, Any]) -> dict[str, Any]:
    """What is left of a packet whose descriptors we had no room for: a commit keeps all but those."""
    if packet["op"] != "commit":
        return {**packet, "lost": [packet.get("key")]}
    lost = dict(packet.get("fds", ()))
    return {**packet, "fds": [(key, 0) for key in lost], "lost": list(lost)}


def main(argv: list[str]) -> int:
    """Be the anchor until told to leave."""
    kernel.become_subreaper()
    kernel.name_process("nl-anchor")
    anchor = Anchor(argv)
    failed = 0
    while True:
        try:
            anchor.turn()
            failed = 0
        except Exception:
            # A mistake of ours, said on stderr: to die of it would be the death of every worker.
            failed += 1
            traceback.print_exc()
            if failed >= TURNS_FAILED:
                raise
