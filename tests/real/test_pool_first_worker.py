"""The first worker of a pool is born of its root itself, not of a template: what that changes, and what it does not."""

from __future__ import annotations

import builtins
import gc
import os
import signal
import sys
from typing import Any

from supervisor.pool import Pool
from supervisor.pool.engine import TARGET
from tests.real.pool_engine_rig import Rig, described, eventually


def surroundings() -> dict[str, Any]:
    """All a function may find out about the process it runs in, but for numbers that differ each time."""
    found = described()
    with open("/proc/self/comm") as comm:
        return {
            **{key: value for key, value in found.items() if key not in {"pid", "parent"}},
            "comm": comm.read().strip().split()[0],
            "is leader": os.getsid(0) == os.getpid(),
            "is the root's": found["parent"],
            "flushes at once": sys.stdout.line_buffering,
            "collects": gc.isenabled(),
            "can exit": hasattr(builtins, "exit"),
            "environment": dict(os.environ),
            "handled": [
                str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
            ],
            "argv": sys.argv,
        }


def test_the_first_worker_finds_what_all_others_find() -> None:
    """Descriptors, paths, environment, signals, output, parent: as in one that is born of a template."""
    with Pool(1, standby=0) as pool:
        first = pool.submit(surroundings).result(20)
        one = pool.submit(os.getpid).result(20)
        pool.options(retries=0).submit(os.kill, one, signal.SIGKILL).exception(20)
        second = pool.submit(surroundings).result(20)
        assert pool.submit(os.getpid).result(20) != one
    assert first == second


def test_no_template_is_made_before_the_first_worker_is_born() -> None:
    """It would be waited for, or share the machine with that worker's start; afterwards there is one."""
    with Rig(TARGET) as rig:
        rig.engine.start()
        numbers = [rig.spawn() for _ in range(3)]
        assert rig.engine._trunk._templates == 0
        assert {rig.until("born", number) for number in numbers} <= set(
            rig.named("pool 1") + rig.named("pool 2") + rig.named("pool 3")
        )
        assert eventually(lambda: rig.named("template pool"))
        assert rig.engine._trunk._templates == 1
        later = rig.until("born", rig.spawn())
        assert rig.named("pool 4") == [later]


def test_what_is_preloaded_is_waited_for() -> None:
    """With something of the user's to import first all workers are born of the template, which imports it once."""
    with Rig(TARGET, preload=["wave"]) as rig:
        rig.engine.start()
        assert rig.engine._trunk._templates == 1
        rig.until("born", rig.spawn())


def test_a_first_worker_that_is_killed_while_it_is_born_is_told_once() -> None:
    """And the next one is born."""
    with Rig(TARGET) as rig:
        number = rig.spawn()
        rig.engine.kill(number)
        assert rig.outcome(number)[0] in {"unborn", "born"}
        assert rig.until("born", rig.spawn())
        assert [told[0] for told in rig.told if told[1] == number] in (["unborn"], ["born", "ended"])


def test_after_the_death_of_a_root_the_next_bears_its_first_worker_too() -> None:
    """Everything begins anew."""
    with Rig(TARGET) as rig:
        rig.until("born", rig.spawn())
        rig.the("template pool")
        os.kill(rig.root, signal.SIGKILL)
        rig.until("lost")
        number = rig.spawn()
        assert rig.engine._trunk.bears
        assert rig.until("born", number) in rig.named("pool 2")
