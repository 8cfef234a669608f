"""Everything about a process that its own code may rely on: signals, environment, folder, priority, CPUs, user.

Each is a step with a name; one that fails raises Failed, which says which it was. The order matters in two places: CPUs and
priority before the rights to choose them are given up, and groups before the user.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal

from supervisor import kernel
from workers.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.birth import Request

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_PR_SET_DUMPABLE = 4


class Failed(Exception):
    """A step on the way to the worker's own code did not succeed."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what, error)
        self.what = what
        self.cause = error
        self.error = f"{type(error).__name__}: {error}"


class step:  # noqa: N801 it reads as a verb
    """Whatever fails in here failed at `what`. A class, not a generator: every worker owns ten pages less."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, Failed):
            raise Failed(self._what, error) from error  # whatever it is, the supervisor is told and the process ends


def become(request: Request) -> None:
    """Everything about a process that its own code may rely on."""
    _reset_signals(is_program=request.command is not None)
    with step("environment"):
        # Only what differs from the template's own: to clear and refill it all costs 0.6 ms and 400 KiB of copied pages.
        wanted = request.env or {}
        for name in [name for name in os.environ if name not in wanted]:
            del os.environ[name]
        for name, value in wanted.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
    with step("chdir"):
        if request.cwd is not None:
            os.chdir(request.cwd)
    with step("umask"):
        if request.umask is not None:
            os.umask(request.umask)
    with step("nice"):
        if request.nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, request.nice)
    pin(request.cpus)
    if request.user is not None or request.group is not None:
        _change_user(request)
    kernel.name_process(request.name)


def _reset_signals(*, is_program: bool) -> None:
    """What `warm_up` had to leave."""
    if not is_program:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return
    for number in (signal.SIGINT, *IGNORED_BY_PYTHON):  # "ignored" is inherited through execve
        signal.signal(number, signal.SIG_DFL)


def pin(cpus: list[int] | None) -> None:
    """Run on these CPUs only; None: wherever it may."""
    with step("cpus"):
        if cpus is not None:
            os.sched_setaffinity(0, cpus)


def _change_user(request: Request) -> None:
    """Groups, then user: the other way round there would be no right left to change groups."""
    account = None
    uid = os.geteuid()
    with step("user"):
        if request.user is not None:
            uid, account = _account(request.user)
    with step("group"):
        gid = account.pw_gid if account is not None else os.getegid()
        if request.group is not None:
            gid = request.group if isinstance(request.group, int) else grp.getgrnam(request.group).gr_gid
        if (uid, gid) != (os.geteuid(), os.getegid()):  # to stay who we are takes no rights
            if account is not None:
                os.initgroups(account.pw_name, gid)
            else:
                os.setgroups([gid])
            os.setgid(gid)
    with step("user"):
        if uid != os.geteuid():
            os.setuid(uid)
    if account is not None:
        os.environ.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
    # A change of credentials disarms PDEATHSIG and makes /proc/self (so /dev/stdout too) root's and core
    # dumps impossible.
    kernel.prctl(_PR_SET_DUMPABLE, 1)
    if not kernel.die_with_parent(request.anchor):
        os._exit(0)


def _account(user: str | int) -> tuple[int, pwd.struct_passwd | None]:
    if isinstance(user, str) and not user.isdigit():
        account = pwd.getpwnam(user)
        return account.pw_uid, account
    try:
        return int(user), pwd.getpwuid(int(user))
    except KeyError:  # a number without an account is a user all the same
        return int(user), None
