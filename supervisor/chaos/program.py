"""The provider `process`: a program, called with a list of arguments. No shell is ever in between.

{"type": "process", "path": "df", "arguments": ["-P", "${folder}"], "timeout": 5} answers {"status", "stdout", "stderr"}.
Without `timeout` it may run until the run ends. It leads a session of its own: when it is killed, for being late or
because the run is over, its whole process group is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from supervisor.chaos.reading import named

if TYPE_CHECKING:
    from supervisor.chaos.reading import Spot
    from supervisor.chaos.variables import Variables

_KEYS = ("type", "path", "arguments", "timeout")


class Overdue(Exception):
    """It did not end in time, and was killed."""


class Programs:
    """The programs of a run. Its methods may be called by any thread."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._over = False

    def call(self, provider: dict[str, Any], variables: Variables) -> dict[str, Any]:
        """Run one to its end; OSError, Overdue."""
        argv = [found(variables.fill(provider["path"])), *arguments(variables.fill(provider.get("arguments", [])))]
        timeout = variables.fill(provider.get("timeout"))
        with self._lock:
            if self._over:
                raise Overdue("the run is over")
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
            self._running.add(child)
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(child)
            child.communicate()
            raise Overdue(f"{provider['path']} did not end within {timeout:g} s and was killed") from None
        finally:
            with self._lock:
                self._running.discard(child)
        return {"status": child.returncode, "stdout": _text(out), "stderr": _text(err)}

    def open(self) -> None:
        """A run begins: programs may be started, as before any run."""
        self._over = False

    def kill(self) -> None:
        """Kill those that run."""
        with self._lock:
            for child in self._running:
                _kill(child)

    def close(self) -> None:
        """The run is over: kill those that run, and start no more."""
        self._over = True
        self.kill()


def check(provider: dict[str, Any], spot: Spot, variables: Variables) -> None:
    """Tell `spot` all that is wrong with such a provider."""
    spot.keys(provider, _KEYS, {"secrets": "has no effect here; name them where they are wanted, as ${name}"})
    variables.check(provider.get("arguments"), spot.at("arguments"))
    for key in spot.needs(provider, ("path",)):
        path = spot.at(key).text(provider[key])
        if path is not None and variables.settled(path, spot.at(key)):
            try:
                found(str(variables.fill(path)))
            except OSError as error:
                spot.at(key).wrong(str(error))
    _check_arguments(provider.get("arguments", []), spot.at("arguments"))
    if provider.get("timeout") is not None and variables.settled(provider["timeout"], spot.at("timeout")):
        spot.at("timeout").seconds(variables.fill(provider["timeout"]))


def found(path: str) -> str:
    """Where the program is; FileNotFoundError, PermissionError."""
    there = os.path.expanduser(path)
    where = shutil.which(there)
    if where is not None:
        return where
    if os.path.exists(there):
        raise PermissionError(f"{path} is there, but cannot be executed")
    raise FileNotFoundError(f"there is no program {path}")


def arguments(given: Any) -> list[str]:
    """Return argv from a list, or from an object as older experiments have it (name, value, name, value …)."""
    items = [part for pair in given.items() for part in pair] if isinstance(given, dict) else given
    return [str(item) for item in items if item not in (None, "")]  # the specification: "" is an option without a value


def _check_arguments(given: Any, spot: Spot) -> None:
    if isinstance(given, str):
        spot.wrong("must be a list: there is no shell here to take a line apart")
    elif isinstance(given, dict):
        spot.warn("should be a list, which has an order; an object is the older form")
    elif not isinstance(given, list):
        spot.wrong(f"must be a list, not {named(given)}")


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The group: a program that forked may be gone itself while its child still holds the pipe we read. While we read,
    # one of them lives, so the id is nobody else's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
