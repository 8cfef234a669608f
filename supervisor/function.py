"""A worker's function: found, looked at, prepared, run; and an end like that of any Python program.

Return values and exceptions become exit codes as for a script: nothing, 0, True and other objects are 0, an
int is
its own code, SystemExit is honoured, an exception is a traceback on stderr and 1, KeyboardInterrupt is a
death by SIGINT.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib
import os
import signal
import sys

from supervisor import kernel
from workers.hints import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workers.heart import Heart


class Function:
    """`module:function` with its keyword arguments, and the `prepare(heart)` beside it, if there is one."""

    def __init__(self, target: str, args: Mapping[str, Any], path: Sequence[str]) -> None:
        self._target = target
        self._args = dict(args)
        self._path = path
        self._main: Callable[..., object]
        self._prepare: Callable[..., object] | None = None
        self._stack: int | None = None
        self.takes_heart = False

    def load(self, stack: int) -> None:
        """Import the target; stacks go to the descriptor `stack`. Raises whatever the import raises."""
        self._stack = stack
        # With -X dev the template began with one; at birth signals were reset, and enable() would not set its handlers again.
        faulthandler.disable()
        # 0: fatal signals are somebody else's, a JVM's say. (CPython takes it for 1, like any text that is not empty.)
        if os.environ.get("PYTHONFAULTHANDLER") != "0":
            faulthandler.enable(file=stack, all_threads=True)
        faulthandler.register(kernel.STACK_SIGNAL, file=stack, all_threads=True, chain=False)
        sys.path[:0] = self._path
        sys.argv[:] = [self._target]
        module_name, _, names = self._target.partition(":")
        found: Any = importlib.import_module(module_name)
        prepare = getattr(found, "prepare", None)
        for name in (names or "main").split("."):
            found = getattr(found, name)
        self._main = found
        self.takes_heart = _takes_heart(found)
        # Many a module has a `prepare` of another kind; ours takes a heart.
        if callable(prepare) and prepare is not found and _takes_heart(prepare):
            self._prepare = prepare

    def prepared(self, heart: Heart) -> bool:
        """Run prepare(heart), if there is one; False when it failed."""
        return self._prepare is None or self._exit_code(self._prepare, {"heart": heart}) == 0

    def run(self, heart: Heart) -> int:
        """Run the function; its exit code, negative for a signal to die by."""
        if self.takes_heart:
            heart.listen_for_stop()
            code = self._exit_code(self._main, {**self._args, "heart": heart})
        else:
            heart.ready()
            code = self._exit_code(self._main, self._args)
        _finish()
        heart.leaving()
        return code

    def _exit_code(self, function: Callable[..., object], arguments: Mapping[str, Any]) -> int:
        try:
            result = function(**arguments)
        except SystemExit as wish:
            result = wish.code
            if result is not None and not isinstance(result, int):
                print(result, file=sys.stderr)
                return 1
        except BaseException as error:  # noqa: BLE001 told on stderr, as the interpreter does at top level
            frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
            self.tell(error.with_traceback(frames))
            return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        return result & 0xFF if isinstance(result, int) and not isinstance(result, bool) else 0

    def tell(self, error: BaseException) -> None:
        """A traceback on stderr, for people, and beside the other stacks, for the event of the ending."""
        with contextlib.suppress(Exception):  # a hook that fails, for want of memory perhaps, changes no exit code
            sys.excepthook(type(error), error, error.__traceback__)
        if self._stack is not None:
            with contextlib.suppress(OSError):  # closed by the worker: it has been said on stderr
                os.write(self._stack, _in_full(error))


def _in_full(error: BaseException) -> bytes:
    """Its traceback; no more than its name where no memory is left, which may be what it is about."""
    try:
        import traceback  # noqa: PLC0415 3 ms of a start; rehearsals have imported it

        return "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace")
    except MemoryError:
        return type(error).__name__.encode("utf-8", "backslashreplace") + b" (no memory is left to say where)\n"


def _takes_heart(function: Callable[..., object]) -> bool:
    inner = function
    while hasattr(inner, "__wrapped__"):  # a decorator that says (*args, **kwargs) hides the name
        inner = inner.__wrapped__
    code = getattr(inner, "__code__", None)
    if code is not None:
        return "heart" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    import inspect  # noqa: PLC0415 10 ms that only callables of rarer kinds need

    try:
        return "heart" in inspect.signature(function).parameters
    except (ValueError, TypeError):
        return False


def _finish() -> None:
    """What the interpreter does at a normal end: wait for threads, run exit handlers, flush."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()  # noqa: SLF001 the interpreter's own way
    atexit._run_exitfuncs()  # noqa: SLF001
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, replaced, or nobody reads it any more
            continue


def leave(code: int) -> NoReturn:
    """End the process, without what the template would run at its end. Negative: die by that signal."""
    _flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
