"""The template with real processes: what a worker is, and how it ends. This process plays the supervisor and the anchor."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from supervisor import kernel
from tests.real.template_world import World, ended, environment, told


def test_a_plain_function_is_ready_when_it_starts(world: World) -> None:
    """hello, hello with what was learnt, ready, leaving, end: and the output came through its own pipe."""
    life = world.ask(target="odd:plain", args={"number": 9})
    kinds = []
    while (message := life.next()) is not None:
        kinds.append(message.kind)
    assert kinds == ["hello", "hello", "ready", "leaving"]
    assert life.ended() == 0
    assert life.read(life.out) == "number 9\n"


def test_a_worker_is_the_anchors_child_in_its_own_session(world: World) -> None:
    """Parent, session, brand, descriptors, signals and environment are those of the contract."""
    life = world.ask(target="odd:tell", env={"A": "b"}, cwd="/", umask=0o27, nice=3, cpus=[0])
    seen = told(life)
    assert seen["parent"] == os.getpid()
    assert seen["sid"] == seen["pid"] == life.pid
    assert seen["rttime"] == kernel.brand(world.nonce, 1)
    assert seen["fds"] == [0, 1, 2, 3, 5]
    assert (seen["umask"], seen["cwd"], seen["nice"], seen["cpus"]) == (0o27, "/", 3, [0])
    assert seen["env"] == {"A": "b"}
    assert seen["sigint"]
    assert seen["argv"] == ["odd:tell"]
    assert life.ended() == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="changing users takes root")
def test_a_user_is_changed_with_all_groups(world: World) -> None:
    """User, group, supplementary groups and HOME are the account's, and /proc/self is the worker's own."""
    seen = told(world.ask(target="odd:tell", user="nobody", cwd="/"))
    assert seen["uid"] == 65534
    assert seen["gid"] not in (0, os.getgid())
    assert 0 not in seen["groups"]
    assert (seen["env"]["USER"], seen["dumpable"]) == ("nobody", True)
    assert told(world.ask(target="odd:tell", user=12345, group=54321))["gid"] == 54321


@pytest.mark.parametrize(
    ("request_", "what", "code"),
    [
        ({"target": "odd:plain", "cwd": "/nowhere"}, "chdir", 200),
        ({"command": ["/nowhere/program"]}, "exec", 203),
        ({"command": ["no-such-program"]}, "exec", 203),
        ({"target": "odd:plain", "cpus": [4000]}, "cpus", 214),
        ({"target": "odd:plain", "nice": "much"}, "nice", 201),
        ({"target": "odd:plain", "group": "no-such-group"}, "group", 216),
        ({"target": "odd:plain", "user": "no-such-user"}, "user", 217),
        ({"target": "odd:plain", "umask": "x"}, "umask", 218),
        ({"target": "no_such_module:main"}, "import", 1),
        ({"target": "odd:no_such_function"}, "import", 1),
    ],
)
def test_a_failing_step_is_named(world: World, request_: dict[str, Any], what: str, code: int) -> None:
    """The step that failed is said on the beat pipe, and the exit code is systemd's for it."""
    life = world.ask(**request_)
    life.until("hello")
    assert life.until("failed").fields["what"] == what
    assert life.ended() == code
    assert ("Traceback" in life.read(life.err)) == (what == "import")


@pytest.mark.parametrize(
    ("how", "code"),
    [("raise", 1), ("exit", 7), ("sentence", 1), ("interrupt", -2), ("segfault", -11), ("quit", 4),
     ("seven", 7), ("true", 0), ("text", 0)],
)  # fmt: skip
def test_an_end_is_that_of_a_python_program(world: World, how: str, code: int) -> None:
    """Return values, exceptions and signals become the exit status a script would have."""
    life = world.ask(target="odd:give", args={"how": how})
    assert ended(life) == code
    error = life.read(life.err)
    assert ("ValueError: as asked" in error) == (how == "raise")
    assert "supervisor/" not in error
    assert ("Segmentation fault" in life.stacks()) == (how == "segfault")


def test_threads_and_exit_handlers_are_finished_first(world: World) -> None:
    """A thread still running is waited for, then exit handlers run, and their output is not lost."""
    life = world.ask(target="odd:give", args={"how": "thread"})
    assert ended(life) == 0
    assert life.read(life.out) == "thread done\nat exit\n"


def test_a_worker_may_use_multiprocessing(world: World) -> None:
    """A pool of forked processes works inside a worker, and it ends."""
    life = world.ask(target="odd:children")
    assert ended(life) == 0
    assert life.read(life.out) == "[1, 2]\n"


def test_a_heart_is_given_and_hears_sigterm(world: World) -> None:
    """A function that takes a heart says ready itself, and SIGTERM is a request to it."""
    life = world.ask(target="odd:hearty")
    assert [life.until("hello").fields["heart"], life.until("hello").fields["heart"]] == [False, True]
    assert life.until("ready").fields["status"] == "up"
    os.kill(life.pid, signal.SIGTERM)
    assert life.ended() == 0
    assert life.read(life.out) == "stopped well\n"


def test_a_stack_is_written_on_request(world: World) -> None:
    """The stack signal writes where the function is, and the function goes on."""
    life = world.ask(target="odd:hearty")
    life.until("ready")
    os.kill(life.pid, kernel.STACK_SIGNAL)
    os.kill(life.pid, signal.SIGTERM)
    assert life.ended() == 0
    assert "hearty" in life.stacks()


def test_a_program_is_executed_with_its_environment(world: World) -> None:
    """A command is looked up in the worker's PATH; 0-3 are its descriptors and SIGPIPE ends it."""
    script = "echo $A; echo; ls /proc/self/fd; grep SigIgn /proc/self/status; echo >&3"
    life = world.ask(command=["sh", "-c", script], env={**environment(), "A": "b"})
    assert life.until("hello").fields["stacks"] is False
    assert life.until("started")
    assert life.ended() == 0  # the last echo went to descriptor 3, which is open
    lines = life.read(life.out).split()
    assert lines[0] == "b"
    assert lines[1:5] == ["0", "1", "2", "3"]
    assert int(lines[-1], 16) & ~(3 << 31) == 0  # 32 and 33 are the C library's own
