"""The template with real processes; this process plays the supervisor and the anchor."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import kernel
from tests.real.template_world import PATIENCE, Life, World, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = """
import json, os, random, resource, signal, sys, time

def plain(number=1):
    print("number", number)

def hearty(heart):
    heart.ready("up")
    while not heart.wait(30):
        pass
    print("stopped well")

def tell():
    drawn = [float(sys.modules["numpy.random"].random())] if "numpy.random" in sys.modules else []
    print(json.dumps({
        "umask": os.umask(0), "cwd": os.getcwd(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cpus": sorted(os.sched_getaffinity(0)),
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
        "env": dict(os.environ), "fds": [fd for fd in range(100) if os.path.lexists(f"/proc/self/fd/{fd}")],
        "sid": os.getsid(0), "pid": os.getpid(),
        "rttime": resource.getrlimit(15)[0], "parent": os.getppid(),
        "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "argv": sys.argv, "drawn": drawn,
        "random": random.random(), "dumpable": os.stat("/proc/self/environ").st_uid == os.getuid()}))

def give(how):
    if how == "raise": raise ValueError("as asked")
    if how == "exit": sys.exit(7)
    if how == "sentence": sys.exit("a sentence")
    if how == "interrupt": raise KeyboardInterrupt
    if how == "segfault":
        import ctypes; ctypes.string_at(0)
    if how == "quit": exit(4)
    if how == "thread":
        import threading, atexit
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread done"))).start()
    return {"seven": 7, "true": True, "text": "x"}.get(how)

def children():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
"""
PREPARED = """
made = []
def prepare(heart): made.append(heart.name)
def main(heart, word):
    import os
    heart.ready()
    print(made, heart.name, heart.replica, os.environ["NINELIVES_NAME"], os.environ["ADDED"], word)
"""
THREADED = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("modules")
    path.chmod(0o755)
    path.parent.chmod(0o755)
    modules = {"odd": MODULE, "prepared": PREPARED, "threaded": THREADED, "broken": "1 / 0\n"}
    for name, text in modules.items():
        (path / f"{name}.py").write_text(text)
    return str(path)


@pytest.fixture
def world(folder: str) -> Iterator[World]:
    with World("odd", path=(folder,)) as one:
        yield one


def told(life: Life) -> dict[str, Any]:
    assert life.until("ready")
    return dict(json.loads(life.read(life.out)))


def ended(life: Life) -> int:
    life.until("hello")
    return life.ended()


def test_a_plain_function_is_ready_when_it_starts(world: World) -> None:
    """hello, hello with what was learnt, started, ready, leaving, end: and the output came through its own pipe."""
    life = world.ask(target="odd:plain", args={"number": 9})
    kinds = []
    while (message := life.next()) is not None:
        kinds.append(message.kind)
    assert kinds == ["hello", "hello", "started", "ready", "leaving"]
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
    assert int(lines[-1], 16) == 0


def test_a_standby_waits_for_its_go(world: World, folder: str) -> None:
    """A standby has run prepare; the go tells it who it is, and it runs."""
    life = world.ask(target="prepared:main", standby=True, path=[folder], args={"word": "hi"})
    life.until("prepared")
    life.say_go(name="it-2", replica=2, cpus=[0], env={"ADDED": "yes"})
    life.until("ready")
    assert life.ended() == 0
    assert life.read(life.out) == "['it'] it-2 2 it-2 yes hi\n"


def test_a_program_can_stand_by(world: World) -> None:
    """A standby that is a program is executed after the go."""
    life = world.ask(command=["sh", "-c", "echo $NINELIVES_NAME"], standby=True)
    life.until("prepared")
    life.say_go(name="it-1", replica=1)
    assert life.ended() == 0
    assert life.read(life.out) == "it-1\n"


def test_a_standby_without_a_go_leaves(world: World) -> None:
    """When the pipe ends without a go the standby ends, well; SIGTERM ends it at once."""
    for end in ("close", "term"):
        life = world.ask(target="odd:plain", standby=True)
        life.until("prepared")
        if end == "close":
            os.close(life.go)
            life.go = -1
        else:
            os.kill(life.pid, signal.SIGTERM)
        assert life.ended() == (0 if end == "close" else -signal.SIGTERM)


def test_twenty_requests_are_twenty_workers(world: World) -> None:
    """Requests that wait together are all answered, each on its own pipe, and draw other random numbers."""
    lives = [world.ask(target="odd:tell") for _ in range(20)]
    seen = [told(life) for life in lives]
    assert len({life.pid for life in lives}) == 20
    assert {one["rttime"] for one in seen} == {kernel.brand(world.nonce, number) for number in range(1, 21)}
    assert len({one["random"] for one in seen}) == 20


@pytest.mark.numpy
def test_siblings_draw_different_numbers(folder: str) -> None:
    """NumPy's global generator, preloaded and so shared, is reseeded in every worker."""
    pytest.importorskip("numpy")
    with World("numpy.random", "random", path=(folder,)) as world:
        seen = [told(world.ask(target="odd:tell", path=[folder])) for _ in range(4)]
        assert len({one["drawn"][0] for one in seen}) == 4
        assert len({one["random"] for one in seen}) == 4


def test_a_failed_preload_is_said_and_the_worker_runs(folder: str) -> None:
    """A module that cannot be imported is named with its error; the template goes on without it."""
    with World("broken", "odd", path=(folder,)) as world:
        failed = world.said.until("failed").fields
        assert (failed["what"], failed["module"]) == ("preload", "broken")
        assert "ZeroDivisionError" in failed["error"]
        world.ready()
        assert ended(world.ask(target="odd:plain")) == 0


def test_a_template_with_threads_refuses(folder: str) -> None:
    """A fork with a second thread is refused, request by request; a --once process takes the job."""
    with World("threaded", "odd", path=(folder,)) as world:
        world.ready()
        for _ in range(2):
            life = world.ask(target="odd:plain")
            assert "2 threads" in life.until("refused").fields["why"]
            assert life.next() is None
    with World("threaded", "odd", path=(folder,), once=True) as world:  # which says nothing of itself
        life = world.ask(target="odd:plain")
        assert ended(life) == 0
        assert life.pid == world.pid


def test_garbage_is_refused_and_costs_nothing(world: World) -> None:
    """Packets that are no requests are refused where possible, and the next request is served."""
    world.ready()
    for data in (b"", b"\xff", b"[]", b'{"kind":"dance"}', b'{"kind":"spawn"}', b"[" * 100_000):
        world.channel.send(data)
        read, write = os.pipe()
        socket.send_fds(world.channel, [data or b"{}"], [write] * 5)
        os.close(write)
        assert select.select([read], [], [], PATIENCE)[0]
        assert b"refused" in os.read(read, 4096)
        assert os.read(read, 4096) == b""
        os.close(read)
    life = world.ask(target="odd:plain", command=["true"])
    assert "exactly one" in life.until("refused").fields["why"]
    assert ended(world.ask(target="odd:plain", a_field_of_tomorrow=1)) == 0


def test_what_was_never_born_is_seen_as_such(world: World) -> None:
    """kill -9 of the template midway: each worker asked for says hello and lives, or its pipe just ends."""
    world.ready()
    lives = [world.ask(target="odd:hearty") for _ in range(20)]
    assert lives[0].until("hello")
    os.kill(world.pid, signal.SIGKILL)
    world.channel.close()
    born = 0
    for life in lives:
        message = life.next()
        if message is None:
            assert life.pid == 0
            continue
        born += 1
        life.until("ready")
        os.kill(life.pid, signal.SIGTERM)
        assert life.ended() == 0
    assert born >= 1


def test_grandchildren_carry_the_brand(world: World) -> None:
    """A cleared environment and a new session do not hide what a worker started."""
    script = "env -i setsid sh -c 'echo $$; exec sleep 60' & echo $$; exec sleep 60"
    life = world.ask(command=["sh", "-c", script])
    life.until("hello")
    with os.fdopen(os.dup(life.out)) as output:
        pids = [int(output.readline()), int(output.readline())]
    assert life.pid in pids
    assert {kernel.read_brand(pid) for pid in pids} == {kernel.brand(world.nonce, 1)}


def test_a_closed_channel_ends_the_template_and_no_worker(world: World) -> None:
    """When the supervisor is gone the template leaves; its workers are the anchor's and live on."""
    life = world.ask(target="odd:hearty")
    life.until("ready")
    world.channel.close()
    assert os.waitstatus_to_exitcode(os.waitpid(world.pid, 0)[1]) == 0
    assert world.branded() == [life.pid]


@pytest.mark.parametrize("user", [None, pytest.param("nobody", marks=pytest.mark.root)])
def test_nothing_outlives_the_anchor(folder: str, user: str | None) -> None:
    """kill -9 of the anchor: template, worker (of another user too) and a daemonised grandchild are gone."""
    if user is not None and os.geteuid() != 0:
        pytest.skip("changing users takes root")
    read, write = os.pipe()
    anchor = os.fork()
    if anchor == 0:
        world = World("odd", path=(folder,))
        life = world.ask(target="odd:hearty", user=user, cwd="/")
        life.until("ready")
        daemon = world.ask(command=["sh", "-c", "setsid sh -c 'echo; exec sleep 60' & exec sleep 61"])
        daemon.until("hello")
        os.read(daemon.out, 1)
        os.write(write, json.dumps([world.nonce, world.branded()]).encode())
        signal.pause()
    os.close(write)
    kernel.become_subreaper()
    nonce, pids = json.loads(os.read(read, 4096))
    os.close(read)
    pidfds = [os.pidfd_open(pid) for pid in pids]
    os.kill(anchor, signal.SIGKILL)
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], PATIENCE)[0]
        os.close(pidfd)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    assert kernel.kill_branded(nonce) == 0

