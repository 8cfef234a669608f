"""The hook of chaos in a worker's heart: orders to misbehave, obeyed in the worker's main thread.

Rules:
- It is there only where the service's config enables chaos and the worker's table says `chaos = true`
  (NINELIVES_CHAOS=1); no other worker imports this file.
- Orders and answers are lines of JSON in a memfd of the worker's own. The service finds it under
  /proc/PID/fd by its name, adds an order, and sends the signal ORDER; the handler adds an answer.
- An order names a kind of fault; its file in supervisor/chaos/faults is imported only when it is ordered.
- What is undone before it was begun is not begun.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import sys
from time import monotonic

from workers.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from workers.heart import Heart

NAME = "ninelives-chaos"
ORDER = signal.SIGRTMIN + 10
FAULTS = "supervisor.chaos.faults."


class Act:
    """One fault in the doing, as its file sees it.

    heart and beat_fd are the worker's (None once it has no pipe); `kept` is for what `end` must know;
    `over` becomes true when the fault is to end.
    """

    __slots__ = ("_answer", "_said", "beat_fd", "heart", "identity", "kept", "module", "over", "parameters")

    def __init__(self, identity: str, module: Any, parameters: dict[str, Any], heart: Heart, answer: Any) -> None:
        self.identity, self.module, self.parameters = identity, module, parameters
        self.heart = heart
        self.beat_fd = heart.fileno()
        self.kept: dict[str, Any] = {}
        self.over = False
        self._answer, self._said = answer, False

    def has_begun(self) -> None:
        """Say that it is done now; called by faults that do not return, for all others when they have."""
        if not self._said:
            self._said = True
            self._answer(self.identity, begun=monotonic())


class Hook:
    """What listens for orders. One a process."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._fd = os.memfd_create(NAME, os.MFD_CLOEXEC)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, os.O_APPEND)  # as the other end has it: no line is written over another
        self._read = 0  # bytes of the memfd that were looked at
        self._acts: dict[str, Act] = {}
        self._pid = os.getpid()
        signal.signal(ORDER, self._ordered)

    def _ordered(self, _number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a child the worker has forked: the order was not for it
            return
        size = os.fstat(self._fd).st_size
        data = os.pread(self._fd, size - self._read, self._read)
        whole = data.rfind(b"\n") + 1
        self._read += whole
        said = [json.loads(line) for line in data[:whole].splitlines()]
        orders = [each for each in said if "answer" not in each]
        undone = {each["id"] for each in orders if each.get("undo")}
        for order in orders:
            if order.get("undo"):
                self._end(order["id"])
            elif order["id"] in undone and order["id"] not in self._acts:
                self._answer(order["id"], failed="it was undone before it was begun")
            else:
                self._begin(order)

    def _begin(self, order: dict[str, Any]) -> None:
        try:
            module = importlib.import_module(FAULTS + order["do"].replace("-", "_"))
            act = Act(order["id"], module, order["with"], self._heart, self._answer)
            self._acts[act.identity] = act
            module.begin(act)
            act.has_begun()
            if not module.FAULT.lasting:
                self._acts.pop(act.identity, None)
        except Exception as error:  # noqa: BLE001 - told to the service; a fault that fails must not be one
            self._acts.pop(order["id"], None)
            self._answer(order["id"], failed=f"{type(error).__name__}: {error}")

    def _end(self, identity: str) -> None:
        act = self._acts.pop(identity, None)
        if act is None:
            return
        act.over = True
        try:
            end = getattr(act.module, "end", None)
            if end is not None:
                end(act)
            self._answer(identity, undone=monotonic())
        except Exception as error:  # noqa: BLE001 - told to the service
            self._answer(identity, failed=f"{type(error).__name__}: {error}")

    def _answer(self, identity: str, **said: Any) -> None:
        os.write(self._fd, json.dumps({"answer": identity, **said}).encode() + b"\n")


def listen(heart: Heart) -> None:
    """Put the hook into this process. Only from the main thread; says so on stderr where it cannot."""
    try:
        Hook(heart)
    except (OSError, ValueError) as error:
        print(f"ninelives: no hook for chaos: {error}", file=sys.stderr)
