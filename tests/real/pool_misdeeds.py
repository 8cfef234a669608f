"""What workers of a pool should not do, and are made to do in these tests: hang, leak, garble, and hold on to things."""

from __future__ import annotations

import collections
import contextlib
import gc
import itertools
import os
import resource
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

from supervisor.pool import worker
from tests.real.pool_tasks import ENDS, FOREVER, kill, note, noted, wait_for

if TYPE_CHECKING:
    import numpy as np


# -- what hangs -------------------------------------------------------------------------------------------------------


def spin() -> None:
    """A loop in Python."""
    while True:
        pass


def hang_in_c() -> None:
    """A loop in C that holds the GIL: no Python runs in this process again, no handler of a signal either."""
    collections.deque(itertools.repeat(None), maxlen=0)


def hang_deaf_to_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spin()


def stop() -> str:
    """Stopped by a signal; goes on if somebody continues it."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return "continued"


def spin_softly(path: str) -> str:
    """Hangs until it is told that time is up, and cleans up."""
    try:
        spin()
    except worker.SoftTimeout:
        note(path)
        return "cleaned up"
    return "never"


def leak(step: int) -> None:
    """Memory, so many bytes at a time, until something happens."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1) * step))
        time.sleep(0.001)


def hold(size: int, seen: list[bytearray] = []) -> int:  # noqa: B006 what one task leaves behind is the point
    """So many bytes more, for the rest of this worker's life."""
    seen.append(bytearray(os.urandom(1) * size))
    return os.getpid()


# -- what a worker should not do --------------------------------------------------------------------------------------


def close_everything() -> str:
    os.closerange(3, 1 << 16)
    return "closed"


def write_garbage(data: bytes, *, then: str = "") -> str:
    """On its socket to the parent."""
    os.write(worker.CHANNEL, data)
    if then:
        ENDS[then]()
    return "written"


def its_page() -> Any:
    """The mapping this worker shares with its parent."""

    return next(one for one in gc.get_objects() if type(one).__name__ == "Worker")._page


def scribble_words(word: int, value: int) -> str:
    """Over one word of the page."""
    its_page().words[word] = value
    return "scribbled"


def scribble_over_the_page() -> str:
    page = its_page()
    page._view[:] = os.urandom(len(page._view))
    return "scribbled"


def leave_a_grandchild(*, how: str = "") -> int:
    """A process that holds everything we have, our socket included, for ever; then perhaps the end of us."""
    child = os.fork()
    if child == 0:
        time.sleep(FOREVER)
        os._exit(0)
    if how:
        ENDS[how]()
    return child


def fork_and_both_return() -> int:
    """The child comes back from the task as well as the parent."""
    parent = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return parent


def exhaust_descriptors() -> int:
    """Opens all there are and leaves them open; how many."""
    count = 0
    with contextlib.suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)
            count += 1
    return count


def limited(resource_name: str, limit: int) -> None:

    which = getattr(resource, resource_name)
    resource.setrlimit(which, (limit, resource.getrlimit(which)[1]))


def few_descriptors() -> None:
    """An initializer: a limit that can be reached."""
    limited("RLIMIT_NOFILE", 128)


def die_while_writing(size: int) -> np.ndarray[Any, Any]:
    """A result of so many bytes, and a thread that kills us when a part of it is written."""
    import numpy as np  # noqa: PLC0415

    threading.Thread(target=_kill_half_way, args=(size,), daemon=True).start()
    return np.ones(size // 8)


def _kill_half_way(size: int) -> None:
    while True:
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if "memfd" in os.readlink(f"/proc/self/fd/{fd}") and os.fstat(int(fd)).st_size >= size:
                    kill()


def many(size: int) -> np.ndarray[Any, Any]:
    """An array of so many bytes."""
    import numpy as np  # noqa: PLC0415

    return np.ones(size // 8)


# -- initializers -----------------------------------------------------------------------------------------------------


def noted_failure(path: str, how: str) -> None:
    note(path)
    ENDS[how]()


def fail_at_first(path: str, times: int, how: str) -> None:
    note(path)
    if len(noted(path)) <= times:
        ENDS[how]()


def leak_then_end(path: str) -> int:
    """Which attempt it is: the first leaks, the second ends its worker."""
    note(path)
    attempt = len(noted(path))
    if attempt == 1:
        leak(8 << 20)
    if attempt == 2:
        ENDS["kill"]()
    return attempt


def hang_at_first(path: str) -> None:
    note(path)
    if len(noted(path)) == 1:
        spin()


def dot(size: int) -> float:
    """A product of two matrices, by whatever BLAS there is."""
    import numpy as np  # noqa: PLC0415

    matrix = np.ones((size, size))
    return float((matrix @ matrix)[0, 0])


def stdin_of_a_grandchild() -> bytes:

    return subprocess.run(["cat"], check=True, stdout=subprocess.PIPE).stdout


def spin_if(pair: tuple[int, int]) -> int:
    number, bad = pair
    if number == bad:
        spin()
    return 2 * number


def stop_noted(path: str) -> int:
    note(path)
    stop()
    return os.getpid()


def log(path: str, word: str) -> None:
    with open(path, "a") as file:
        file.write(f"{word}\n")


def leak_logged(path: str, gate: str) -> None:
    wait_for(gate)
    log(path, "leak")
    leak(8 << 20)


def logged_nap(path: str, seconds: float) -> float:
    log(path, "nap")
    time.sleep(seconds)
    log(path, "woke")
    return seconds


def lie_and_end(word: int, value: int) -> None:
    its_page().words[word] = value
    kill()


def lie_and_babble(word: int, value: int) -> None:
    its_page().words[word] = value
    write_garbage(b"?")
    spin()


def leave_a_grandchild_and_hang() -> None:
    leave_a_grandchild()
    spin()


def noted_spin(path: str) -> None:
    note(path)
    spin()


def fail_but_at_first(path: str) -> None:
    """Of all processes only the very first gets through."""
    note(path)
    if noted(path)[0] != os.getpid():
        kill()


def twice(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array * 2


def fork_until_it_fails(how: str = "") -> int:
    """As many children as there may be, which are there until we end; or until somebody sweeps them, if we end so."""
    children = []
    with contextlib.suppress(BlockingIOError):
        while True:
            child = os.fork()
            if child == 0:
                time.sleep(FOREVER)
                os._exit(0)
            children.append(child)
    if how:
        ENDS[how]()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)


def tell_a_lie(kind: int, sequence: int, payload: bytes) -> str:
    """A record of this kind; the sequence 0 stands for our own."""
    page = its_page()
    page.write(sequence or page.words[0], kind, payload)
    return "told"
